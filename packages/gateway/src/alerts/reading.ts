import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { type AlertCause, type AlertRecord, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { oneOf } from '@tidemark/shared/detection/rules/fields'
import type { AlertAt, AlertPage } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Principal } from '../access/principal.ts'
import { mayUse } from '../http/own-keys.ts'

const KINDS = ['anomaly', 'silent', 'level_shift', 'storm'] as const satisfies readonly AlertCause['kind'][]

/** Alerts read in one step, between which other requests are served. */
const READ_AT_ONCE = 500

/** The query parameters of routes that list alerts. */
export const FILTERS = {
  prefix: z
    .string()
    .max(1024, 'must be at most 1024 characters')
    .default('')
    .describe('Only alerts of keys with this prefix.'),
  rule: z.string().max(64, 'must be the id of a rule').optional().describe('Only alerts opened under this rule.'),
  severity: oneOf(SEVERITIES).optional().describe('Only alerts of this severity.'),
  kind: oneOf(KINDS).optional().describe('Only alerts with a cause of this kind.'),
}

export type Filters = z.output<z.ZodObject<typeof FILTERS>>

export function hasFilters({ prefix, rule, severity, kind }: Filters, caller: Principal): boolean {
  return prefix !== '' || caller.keyPrefix !== '' || (rule ?? severity ?? kind) !== undefined
}

/** Whether a caller may see an alert, and its filters let it pass. */
export function passes(record: AlertRecord, { prefix, rule, severity, kind }: Filters, caller: Principal): boolean {
  return (
    mayUse(caller, record.key) &&
    (record.key ?? '').startsWith(prefix) &&
    (rule === undefined || record.rule === rule) &&
    (severity === undefined || record.severity === severity) &&
    (kind === undefined || record.cause.kind === kind)
  )
}

/** Returns the newest alerts, at most `count`. One deleted after it was listed has no record. */
export async function listAlerts({ partitions, alerts }: Store, page: AlertPage) {
  const lists = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      return (await alerts.list(partition, page)).map(at => ({ ...at, partition }))
    }),
  )
  const newest = lists.flat().sort(newestFirst).slice(0, page.count)
  const records = new Map<string, AlertRecord>()
  for (let start = 0; start < newest.length; start += READ_AT_ONCE) {
    const some = newest.slice(start, start + READ_AT_ONCE)
    await Promise.all(
      [...Map.groupBy(some, ({ partition }) => partition)].map(async ([partition, found]) => {
        const ids = found.map(({ id }) => id)
        for (const parts of await alerts.read(partition, ids))
          if (parts !== null) records.set(parts.opening.id, assembleAlert(parts))
      }),
    )
  }
  return newest.map(({ id, time }) => ({ id, time, record: records.get(id) }))
}

/** The order in which each partition lists its own: falling time, then falling id (code units). */
export function newestFirst(a: AlertAt, b: AlertAt): number {
  if (a.time !== b.time) return b.time - a.time
  return a.id < b.id ? 1 : -1
}
