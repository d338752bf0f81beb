import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { type AlertCause, type AlertRecord, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { oneOf } from '@tidemark/shared/detection/rules/fields'
import type { AlertAt, AlertPage } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Principal } from '../access/principal.ts'
import { json, PAGE_PROBLEMS } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { mayUse } from '../http/own-keys.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { ALERT_STATES, alertsPageSchema } from './schemas.ts'
import { alertView } from './view.ts'

/** Alerts that one request reads: a page with filters can be short and still have a next page. */
const SCANNED_MAX = 2000
const SCANNED_AT_ONCE = 500

const CURSOR = /^\d{1,16}(\.\d{1,16})?:(\d{1,4}|fleet)-[0-9a-f]{1,24}$/
const KINDS = ['anomaly', 'silent', 'level_shift', 'storm'] as const satisfies readonly AlertCause['kind'][]

const pageQuery = z.strictObject({
  state: oneOf(ALERT_STATES).default('firing').describe('Only alerts in this state.'),
  prefix: z
    .string()
    .max(1024, 'must be at most 1024 characters')
    .default('')
    .describe('Only alerts of keys with this prefix.'),
  rule: z.string().max(64, 'must be the id of a rule').optional().describe('Only alerts opened under this rule.'),
  severity: oneOf(SEVERITIES).optional().describe('Only alerts of this severity.'),
  kind: oneOf(KINDS).optional().describe('Only alerts with a cause of this kind.'),
  /** The last alert that the previous page read. */
  cursor: z
    .string()
    .regex(CURSOR, 'must be the cursor of a page')
    .transform(decodeCursor)
    .describe('`cursor` of the previous page.')
    .optional(),
  limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Alerts per page.'),
})

type PageQuery = z.output<typeof pageQuery>

const route = createRoute({
  method: 'get',
  path: '/alerts',
  access: 'read',
  ownKeys: true,
  operationId: 'alerts',
  summary: 'Alerts of one state, newest first, and how many there are',
  description: 'Firing alerts are sorted by when they opened, resolved alerts by when they were resolved.',
  request: { query: pageQuery },
  responses: { 200: json('A page.', alertsPageSchema), ...PAGE_PROBLEMS },
})

export function serveAlertsPage(router: Router, { metrics, services }: RulesOptions): void {
  const limited = createLimiter({ ...PAGE_LIMITS, limit: 'alert_pages', metrics })
  serve(router, route, async c => {
    const query = c.req.valid('query')
    const { store } = services()
    const caller = callerOf(c)
    const [page, counts] = await limited(exchangeOf(c).client.pages, () =>
      Promise.all([readPage(store, query, caller), caller.keyPrefix === '' ? countAlerts(store) : null]),
    )
    const next = page.next === undefined ? null : encodeCursor(page.next)
    return c.json({ alerts: page.records.map(alertView), counts, cursor: next })
  })
}

/** Fills a page with alerts that pass the filters. Meanwhile an alert can change its state. */
async function readPage(store: Store, query: PageQuery, caller: Principal) {
  const { state, limit, prefix, rule, severity, kind } = query
  const hasFilters = prefix !== '' || caller.keyPrefix !== '' || (rule ?? severity ?? kind) !== undefined
  const count = hasFilters ? SCANNED_AT_ONCE : limit + 1
  const records: AlertRecord[] = []
  let after = query.cursor
  for (let scanned = 0; scanned < SCANNED_MAX; scanned += count) {
    const found = await listAlerts(store, { state, after, count })
    for (const at of found) {
      if (records.length === limit) return { records, next: after }
      after = at
      if (at.record?.state === state && mayUse(caller, at.record.key) && passes(at.record, query))
        records.push(at.record)
    }
    if (found.length < count) return { records, next: undefined }
  }
  return { records, next: after }
}

/** Returns the newest alerts, at most `count`. One deleted after it was listed has no record. */
async function listAlerts({ partitions, alerts }: Store, page: AlertPage) {
  const lists = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      return (await alerts.list(partition, page)).map(at => ({ ...at, partition }))
    }),
  )
  const newest = lists.flat().sort(newestFirst).slice(0, page.count)
  const records = new Map<string, AlertRecord>()
  await Promise.all(
    [...Map.groupBy(newest, ({ partition }) => partition)].map(async ([partition, found]) => {
      const ids = found.map(({ id }) => id)
      for (const parts of await alerts.read(partition, ids))
        if (parts !== null) records.set(parts.opening.id, assembleAlert(parts))
    }),
  )
  return newest.map(({ id, time }) => ({ id, time, record: records.get(id) }))
}

async function countAlerts({ partitions, alerts }: Store): Promise<{ firing: number; resolved: number }> {
  const counts = await alerts.count(Array.from({ length: partitions }, (_, partition) => partition))
  return counts.reduce((a, b) => ({ firing: a.firing + b.firing, resolved: a.resolved + b.resolved }))
}

function passes(record: AlertRecord, { prefix, rule, severity, kind }: PageQuery): boolean {
  return (
    (record.key ?? '').startsWith(prefix) &&
    (rule === undefined || record.rule === rule) &&
    (severity === undefined || record.severity === severity) &&
    (kind === undefined || record.cause.kind === kind)
  )
}

/** The order in which each partition lists its own: falling time, then falling id (code units). */
function newestFirst(a: AlertAt, b: AlertAt): number {
  if (a.time !== b.time) return b.time - a.time
  return a.id < b.id ? 1 : -1
}

function encodeCursor({ time, id }: AlertAt): string {
  return `${time}:${id}`
}

function decodeCursor(text: string): AlertAt {
  const [time, id = ''] = text.split(':')
  return { time: Number(time), id }
}
