import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { describeGroup, nameGroup } from '@tidemark/shared/detection/alerts/group-name'
import { type AlertGroup, GROUPED_BY, groupAlerts } from '@tidemark/shared/detection/alerts/grouping'
import type { AlertRecord } from '@tidemark/shared/detection/alerts/record'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Principal } from '../access/principal.ts'
import { cursorMember, json, PAGE_PROBLEMS, timeMember } from '../http/documentation.ts'
import type { Limiter } from '../http/limiter.ts'
import { callerOf, exchangeOf } from '../http/pipeline.ts'
import { optionalInteger } from '../http/query.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RulesOptions } from '../rules/rule-sets.ts'
import { FILTERS, type Filters, listAlerts, passes } from './reading.ts'
import { alertSchema } from './schemas.ts'
import { alertView } from './view.ts'

/** The newest firing alerts, which are grouped. */
const GROUPED_MAX = 10_000

const CURSOR = /^\d{1,16}(\.\d{1,16})?:[0-9a-f]{16}$/

const groupsQuery = z.strictObject({
  ...FILTERS,
  /** The last group of the previous page. */
  cursor: z
    .string()
    .regex(CURSOR, 'must be the cursor of a page')
    .transform(decodeCursor)
    .describe('`cursor` of the previous page.')
    .optional(),
  limit: optionalInteger({ min: 1, max: 200, fallback: 50 }).describe('Groups per page.'),
  members: optionalInteger({ min: 0, max: 100, fallback: 10 }).describe(
    'Alerts listed of each group. `GET /alerts?group=ID` lists all, by page.',
  ),
})

const groupSchema = z
  .strictObject({
    id: z
      .string()
      .openapi({ examples: ['5f2c1f0a9be2d6c0'] })
      .describe('The same while its first alerts fire.'),
    name: z.string().openapi({ examples: ['7 metrics of edge-17 since 14:02 UTC'] }),
    by: z
      .enum(GROUPED_BY)
      .describe('What its alerts share besides the time: a device, a key prefix, or nothing. `key`: it is one alert.'),
    device: z.string().nullable(),
    prefix: z.string().nullable().describe('What all its keys begin with.'),
    severity: z.enum(SEVERITIES).describe('The worst of its alerts.'),
    since: timeMember.describe('When its first alert opened, in Unix milliseconds.'),
    last_opened_at: timeMember.describe('When its last alert opened, in Unix milliseconds.'),
    count: z.int().min(1).describe('Alerts in the group.'),
    keys: z.int().min(1).describe('Keys in the group: a key can have an anomaly and be silent.'),
    explanation: z.string().describe('A sentence for people.'),
    alerts: z.array(alertSchema).describe('The first of its alerts.'),
  })
  .openapi('AlertGroup')

export const groupsPageSchema = z
  .strictObject({
    groups: z.array(groupSchema),
    counts: z.strictObject({ groups: z.int().min(0), alerts: z.int().min(0) }).describe('With the filters applied.'),
    truncated: z.boolean().describe('Whether more alerts fire than the newest 10,000, which are grouped.'),
    cursor: cursorMember,
  })
  .openapi('AlertGroupsPage')

const route = createRoute({
  method: 'get',
  path: '/alerts/groups',
  access: 'read',
  ownKeys: true,
  operationId: 'alertGroups',
  summary: 'Firing alerts in groups that probably have one cause, newest first',
  description:
    'Alerts of one group follow each other within 10 seconds and share a device or a key prefix, or opened within 10 ' +
    'seconds altogether. Each alert is in one group. The filters apply to alerts before they are grouped.',
  request: { query: groupsQuery },
  responses: { 200: json('A page.', groupsPageSchema), ...PAGE_PROBLEMS },
})

export function serveGroups(router: Router, { services, now }: RulesOptions, limited: Limiter): void {
  serve(router, route, async c => {
    const query = c.req.valid('query')
    const { cursor, limit, members } = query
    const { store } = services()
    const { groups, count, isTruncated } = await limited(exchangeOf(c).client.pages, () =>
      readGroups(store, query, callerOf(c)),
    )
    const ordered = groups.sort(newestFirst).filter(group => cursor === undefined || newestFirst(group, cursor) > 0)
    const page = ordered.slice(0, limit)
    const last = ordered.length > limit ? page.at(-1) : undefined
    return c.json({
      groups: page.map(group => groupView(group, { members, now: now() })),
      counts: { groups: groups.length, alerts: count },
      truncated: isTruncated,
      cursor: last === undefined ? null : `${last.since}:${last.id}`,
    })
  })
}

/** Returns the alerts of a group; none when it is gone. */
export async function membersOf(
  store: Store,
  query: Filters & { readonly group: string },
  caller: Principal,
): Promise<readonly AlertRecord[]> {
  const { groups } = await readGroups(store, query, caller)
  return groups.find(({ id }) => id === query.group)?.alerts ?? []
}

async function readGroups(store: Store, filters: Filters, caller: Principal) {
  const listed = await listAlerts(store, { state: 'firing', count: GROUPED_MAX + 1 })
  const records = listed
    .slice(0, GROUPED_MAX)
    .flatMap(({ record }) => (record?.state === 'firing' && passes(record, filters, caller) ? [record] : []))
  return { groups: groupAlerts(records), count: records.length, isTruncated: listed.length > GROUPED_MAX }
}

function groupView(group: AlertGroup<AlertRecord>, { members, now }: { members: number; now: number }) {
  const { id, by, device, prefix, severity, since, lastOpenedAt, keyCount, alerts } = group
  return {
    id,
    name: nameGroup(group, now),
    by,
    device,
    prefix,
    severity,
    since,
    last_opened_at: lastOpenedAt,
    count: alerts.length,
    keys: keyCount,
    explanation: describeGroup(group, now),
    alerts: alerts.slice(0, members).map(alertView),
  }
}

function newestFirst(a: Pick<AlertGroup, 'since' | 'id'>, b: Pick<AlertGroup, 'since' | 'id'>): number {
  if (a.since !== b.since) return b.since - a.since
  return Number(a.id > b.id) - Number(a.id < b.id)
}

function decodeCursor(text: string): Pick<AlertGroup, 'since' | 'id'> {
  const [since, id = ''] = text.split(':')
  return { since: Number(since), id }
}
