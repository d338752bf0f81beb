import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { type AlertCause, type AlertRecord, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import type { AlertAt, AlertPage } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Context } from 'hono'
import { z } from 'zod'
import { createTurns, PAGE_TURNS } from '../http/limiter.ts'
import { integerParameter, readQuery } from '../http/query.ts'
import type { Services } from '../services.ts'
import { alertWords } from './view.ts'

export const ALERTS_LIMIT_DEFAULT = 50
export const ALERTS_LIMIT_MAX = 500
export const ALERT_STATES = ['firing', 'resolved'] as const satisfies readonly AlertPage['state'][]
export const ALERT_KINDS = [
  'anomaly',
  'silent',
  'level_shift',
  'storm',
] as const satisfies readonly AlertCause['kind'][]

/** Alerts that one request looks at. A filter that few pass then gives a short page, and a cursor to go on with. */
const SCANNED_MAX = 2000
const SCANNED_AT_ONCE = 500

const CURSOR = /^(\d{1,16}(?:\.\d{1,16})?):((?:\d{1,4}|fleet)-[0-9a-f]{1,24})$/

const pageQuery = z.strictObject({
  state: z.enum(ALERT_STATES, `must be one of ${ALERT_STATES.join(', ')}`).default('firing'),
  prefix: z.string().max(1024, 'must be at most 1024 characters').default(''),
  rule: z.string().max(64, 'must be the id of a rule').optional(),
  severity: z.enum(SEVERITIES, `must be one of ${SEVERITIES.join(', ')}`).optional(),
  kind: z.enum(ALERT_KINDS, `must be one of ${ALERT_KINDS.join(', ')}`).optional(),
  /** The last alert that the page before looked at. */
  cursor: z
    .string()
    .transform(decodeCursor)
    .pipe(z.custom<AlertAt>(at => at !== undefined, 'must be the cursor of a page'))
    .optional(),
  limit: integerParameter({ min: 1, max: ALERTS_LIMIT_MAX }).default(ALERTS_LIMIT_DEFAULT),
})

type PageQuery = z.output<typeof pageQuery>

/** `GET /alerts`: alerts of all partitions, newest first, by page, and how many there are. */
export function createAlertsPage({
  services,
}: {
  readonly services: () => Services
}): (c: Context) => Promise<Response> {
  const inTurn = createTurns(PAGE_TURNS)
  return async c => {
    const query = readQuery(c, pageQuery)
    const { store } = services()
    const [page, counts] = await inTurn(() => Promise.all([readPage(store, query), countAlerts(store)]))
    const next = page.next === undefined ? null : encodeCursor(page.next)
    return c.json({ alerts: page.records.map(alertWords), counts, cursor: next })
  }
}

interface Page {
  readonly records: readonly AlertRecord[]
  readonly next: AlertAt | undefined
}

/** Fills a page with alerts that pass the filters. One that changes its state meanwhile is in the list of the other state. */
async function readPage(store: Store, query: PageQuery): Promise<Page> {
  const { state, limit } = query
  const count = hasFilters(query) ? SCANNED_AT_ONCE : limit + 1
  const records: AlertRecord[] = []
  let after = query.cursor
  for (let scanned = 0; scanned < SCANNED_MAX; scanned += count) {
    const found = await listAlerts(store, { state, after, count })
    for (const at of found) {
      if (records.length === limit) return { records, next: after }
      after = at
      if (at.record?.state === state && passes(at.record, query)) records.push(at.record)
    }
    if (found.length < count) return { records, next: undefined }
  }
  return { records, next: after }
}

interface FoundAlert extends AlertAt {
  /** Undefined when it was forgotten meanwhile. */
  readonly record: AlertRecord | undefined
}

/** The newest alerts of all partitions, at most `count`. */
async function listAlerts({ partitions, alerts }: Store, page: AlertPage): Promise<FoundAlert[]> {
  const lists = await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      return (await alerts.list(partition, page)).map(at => ({ ...at, partition }))
    }),
  )
  const newest = lists.flat().sort(newestFirst).slice(0, page.count)
  const records = new Map<string, AlertRecord>()
  await Promise.all(
    [...Map.groupBy(newest, ({ partition }) => partition)].map(async ([partition, found]) => {
      const read = await alerts.read(
        partition,
        found.map(({ id }) => id),
      )
      for (const parts of read) if (parts !== null) records.set(parts.opening.id, assembleAlert(parts))
    }),
  )
  return newest.map(({ id, time }) => ({ id, time, record: records.get(id) }))
}

async function countAlerts({ partitions, alerts }: Store): Promise<{ firing: number; resolved: number }> {
  const counts = await alerts.count(Array.from({ length: partitions }, (_, partition) => partition))
  const sum = (state: 'firing' | 'resolved'): number => counts.reduce((total, one) => total + one[state], 0)
  return { firing: sum('firing'), resolved: sum('resolved') }
}

function hasFilters({ prefix, rule, severity, kind }: PageQuery): boolean {
  return prefix !== '' || rule !== undefined || severity !== undefined || kind !== undefined
}

function passes(record: AlertRecord, { prefix, rule, severity, kind }: PageQuery): boolean {
  return (
    (prefix === '' || record.key?.startsWith(prefix) === true) &&
    (rule === undefined || record.rule === rule) &&
    (severity === undefined || record.severity === severity) &&
    (kind === undefined || record.cause.kind === kind)
  )
}

/** As each partition orders its own: by falling time, then by falling id as code units. */
function newestFirst(a: AlertAt, b: AlertAt): number {
  if (a.time !== b.time) return b.time - a.time
  return a.id < b.id ? 1 : -1
}

function encodeCursor({ time, id }: AlertAt): string {
  return `${time}:${id}`
}

function decodeCursor(text: string): AlertAt | undefined {
  const [, time, id] = CURSOR.exec(text) ?? []
  return time === undefined || id === undefined ? undefined : { time: Number(time), id }
}
