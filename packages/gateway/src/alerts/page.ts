import { z } from '@hono/zod-openapi'
import type { AlertRecord } from '@tidemark/shared/detection/alerts/record'
import { oneOf } from '@tidemark/shared/detection/rules/fields'
import type { AlertAt } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Principal } from '../access/principal.ts'
import { json, PAGE_PROBLEMS } from '../http/documentation.ts'
import type { Limiter } from '../http/limiter.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { membersOf } from './groups.ts'
import { FILTERS, hasFilters, listAlerts, newestFirst, passes } from './reading.ts'
import { ALERT_STATES, alertsPageSchema } from './schemas.ts'
import { alertView } from './view.ts'

/** Alerts that one request reads: a page with filters can be short and still have a next page. */
const SCANNED_MAX = 2000
const SCANNED_AT_ONCE = 500

const CURSOR = /^\d{1,16}(\.\d{1,16})?:(\d{1,4}|fleet)-[0-9a-f]{1,24}$/

const pageQuery = z.strictObject({
  state: oneOf(ALERT_STATES).default('firing').describe('Only alerts in this state.'),
  ...FILTERS,
  group: z
    .string()
    .regex(/^[0-9a-f]{16}$/, 'must be the id of a group of GET /alerts/groups')
    .optional()
    .describe('Only alerts of this group, of those that pass the other filters.'),
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

export function serveAlertsPage(router: Router, { services }: RulesOptions, limited: Limiter): void {
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
  const { state, limit } = query
  if (query.group !== undefined) return pageOf(await membersOf(store, { ...query, group: query.group }, caller), query)
  const count = hasFilters(query, caller) ? SCANNED_AT_ONCE : limit + 1
  const records: AlertRecord[] = []
  let after = query.cursor
  for (let scanned = 0; scanned < SCANNED_MAX; scanned += count) {
    const found = await listAlerts(store, { state, after, count })
    for (const at of found) {
      if (records.length === limit) return { records, next: after }
      after = at
      if (at.record?.state === state && passes(at.record, query, caller)) records.push(at.record)
    }
    if (found.length < count) return { records, next: undefined }
  }
  return { records, next: after }
}

/** Returns the page of the alerts of a group. */
function pageOf(members: readonly AlertRecord[], { state, limit, cursor: after }: PageQuery) {
  const ordered = members
    .map(record => ({ id: record.id, time: record.opened_at, record }))
    .filter(at => state === 'firing' && (after === undefined || newestFirst(at, after) > 0))
    .sort(newestFirst)
  const page = ordered.slice(0, limit)
  return { records: page.map(({ record }) => record), next: ordered.length > limit ? page.at(-1) : undefined }
}

async function countAlerts({ partitions, alerts }: Store): Promise<{ firing: number; resolved: number }> {
  const counts = await alerts.count(Array.from({ length: partitions }, (_, partition) => partition))
  return counts.reduce((a, b) => ({ firing: a.firing + b.firing, resolved: a.resolved + b.resolved }))
}

function encodeCursor({ time, id }: AlertAt): string {
  return `${time}:${id}`
}

function decodeCursor(text: string): AlertAt {
  const [time, id = ''] = text.split(':')
  return { time: Number(time), id }
}
