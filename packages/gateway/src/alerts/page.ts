import { createRoute, z } from '@hono/zod-openapi'
import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { type AlertRecord, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import type { AlertAt, AlertPage } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import { json, PAGE_PROBLEMS } from '../http/documentation.ts'
import { createLimiter, PAGE_LIMITS } from '../http/limiter.ts'
import { optionalInteger } from '../http/query.ts'
import { type Router, serve } from '../http/router.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { ALERT_KINDS, ALERT_STATES, alertsPageSchema } from './schemas.ts'
import { alertView } from './view.ts'

/**
 * Alerts that one request reads. With filters that few pass, the page is short and has a cursor to
 * continue from.
 */
const SCANNED_MAX = 2000
const SCANNED_AT_ONCE = 500

const CURSOR = /^(\d{1,16}(?:\.\d{1,16})?):((?:\d{1,4}|fleet)-[0-9a-f]{1,24})$/

const pageQuery = z.strictObject({
  state: z
    .enum(ALERT_STATES, `must be one of ${ALERT_STATES.join(', ')}`)
    .default('firing')
    .describe('Only alerts in this state.'),
  prefix: z
    .string()
    .max(1024, 'must be at most 1024 characters')
    .default('')
    .describe('Only alerts of keys with this prefix.'),
  rule: z.string().max(64, 'must be the id of a rule').optional().describe('Only alerts opened under this rule.'),
  severity: z
    .enum(SEVERITIES, `must be one of ${SEVERITIES.join(', ')}`)
    .optional()
    .describe('Only alerts of this severity.'),
  kind: z
    .enum(ALERT_KINDS, `must be one of ${ALERT_KINDS.join(', ')}`)
    .optional()
    .describe('Only alerts with a cause of this kind.'),
  /** The last alert that the previous page read. */
  cursor: z
    .string()
    .transform(decodeCursor)
    .pipe(z.custom<AlertAt>(at => at !== undefined, 'must be the cursor of a page'))
    .describe('`cursor` of the previous page.')
    .optional(),
  limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Alerts per page.'),
})

type PageQuery = z.output<typeof pageQuery>

const route = createRoute({
  method: 'get',
  path: '/alerts',
  operationId: 'alerts',
  summary: 'Alerts of one state, newest first, and how many there are',
  description: 'Firing alerts are sorted by when they opened, resolved alerts by when they were resolved.',
  request: { query: pageQuery },
  responses: { 200: json('A page.', alertsPageSchema), ...PAGE_PROBLEMS },
})

export function serveAlertsPage(router: Router, { services }: RulesOptions): void {
  const limited = createLimiter(PAGE_LIMITS)
  serve(router, route, async c => {
    const query = c.req.valid('query')
    const { store } = services()
    const [page, counts] = await limited(() => Promise.all([readPage(store, query), countAlerts(store)]))
    const next = page.next === undefined ? null : encodeCursor(page.next)
    return c.json({ alerts: page.records.map(alertView), counts, cursor: next })
  })
}

interface Page {
  readonly records: readonly AlertRecord[]
  readonly next: AlertAt | undefined
}

/**
 * Fills a page with alerts that pass the filters. An alert that changes its state meanwhile is in
 * the list of the other.
 */
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

interface ListedAlert extends AlertAt {
  /** Undefined if it was deleted after it was listed. */
  readonly record: AlertRecord | undefined
}

/** Returns the newest alerts of all partitions, at most `count`. */
async function listAlerts({ partitions, alerts }: Store, page: AlertPage): Promise<ListedAlert[]> {
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

/**
 * The order in which each partition lists its own: descending by time, then by the code units of
 * the id.
 */
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
