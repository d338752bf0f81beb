import { createRoute, z } from '@hono/zod-openapi'
import { formatReceipt, type Receipt } from '@tidemark/shared/sample/receipt'
import type { DeadNotification } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import { COMMON_PROBLEMS, cursorMember, json, PROBLEMS, problem, timeMember } from '../http/documentation.ts'
import { RequestFault } from '../http/problem.ts'
import { idParameter, optionalInteger } from '../http/query.ts'
import { type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { newestFirst, receiptOfId, receiptParameter } from './receipts.ts'

const letterSchema = z.strictObject({
  id: z.string().openapi({ examples: ['3:1700000000000-0'] }),
  alert: z.string().describe('The id of its alert, see GET /alerts/{id}.'),
  key: z.string().nullable().describe('Null if the alert is no longer kept, and for an alert of the whole fleet.'),
  status: z.enum(['firing', 'resolved']).describe('What the receiver was to be notified of.'),
  receiver: z
    .string()
    .describe('Kind and address, hashed. Analyzers log both when they start.')
    .openapi({ examples: ['webhook-5f2c1f0a9be2'] }),
  reason: z.string().openapi({ examples: ['the receiver responded with status 403: token expired'] }),
  pending_since: timeMember,
})

export const deadNotificationsSchema = z
  .strictObject({ notifications: z.array(letterSchema), cursor: cursorMember })
  .openapi('DeadNotifications')

const LETTER_ID = idParameter('The id of the dead letter, from GET /dead/notifications.', '3:1700000000000-0')
const LETTER_UNKNOWN = {
  404: problem('No dead letter with this id: it may have been redriven, discarded or trimmed.', 'dead-unknown'),
}

const pageRoute = createRoute({
  method: 'get',
  path: '/dead/notifications',
  operationId: 'deadNotifications',
  summary: 'Dead letters of notifications: what a receiver did not take in time; newest first',
  request: {
    query: z.strictObject({
      /** The last dead letter of the previous page. */
      cursor: receiptParameter.describe('`cursor` of the previous page.').optional(),
      limit: optionalInteger({ min: 1, max: 500, fallback: 50 }).describe('Dead letters per page.'),
    }),
  },
  responses: { 200: json('A page.', deadNotificationsSchema), ...PROBLEMS },
})

const redriveRoute = createRoute({
  method: 'post',
  path: '/dead/notifications/{id}/put-back',
  operationId: 'putBackDeadNotification',
  summary: 'Redrives a dead letter: notifies its receiver of the start of the alert, and of its end if it has ended',
  request: { params: LETTER_ID },
  responses: {
    202: json('Scheduled.', z.strictObject({ scheduled: z.string() }), {
      redriven: { scheduled: '3:1700000000000-0' },
    }),
    ...COMMON_PROBLEMS,
    ...LETTER_UNKNOWN,
    409: problem('Its alert is no longer kept, so it can only be discarded.', 'dead-unreadable'),
  },
})

const discardRoute = createRoute({
  method: 'post',
  path: '/dead/notifications/{id}/discard',
  operationId: 'discardDeadNotification',
  summary: 'Deletes a dead letter of a notification',
  request: { params: LETTER_ID },
  responses: {
    200: json('Deleted.', z.strictObject({ discarded: z.string() }), { discarded: { discarded: '3:1700000000000-0' } }),
    ...COMMON_PROBLEMS,
    ...LETTER_UNKNOWN,
  },
})

/** `GET /dead/notifications`, and `POST /dead/notifications/{id}/put-back` and `/discard`. */
export function serveDeadNotifications(router: Router, { metrics, services }: RoutesOptions): void {
  serve(router, pageRoute, async c => {
    const { store } = services()
    return c.json(await readPage(store, c.req.valid('query')))
  })

  serve(router, redriveRoute, async c => {
    const { store } = services()
    const { partition, id } = receiptOfId(store, c.req.valid('param').id)
    const [letter] = await store.alerts.deadNotifications(partition, { upTo: id, count: 1 })
    if (letter?.id !== id) throw new RequestFault({ kind: 'dead-unknown' })
    const outcome = await store.alerts.redriveNotification(partition, letter)
    if (outcome === 'unknown') throw new RequestFault({ kind: 'dead-unknown' })
    if (outcome === 'alert-unknown') {
      throw new RequestFault({ kind: 'dead-unreadable', reason: 'its alert is no longer kept' })
    }
    metrics.deadNotificationSettled('put_back')
    return c.json({ scheduled: formatReceipt({ partition, id }) }, 202)
  })

  serve(router, discardRoute, async c => {
    const { store } = services()
    const { partition, id } = receiptOfId(store, c.req.valid('param').id)
    if (!(await store.alerts.discardDeadNotification(partition, id))) throw new RequestFault({ kind: 'dead-unknown' })
    metrics.deadNotificationSettled('discarded')
    return c.json({ discarded: formatReceipt({ partition, id }) })
  })
}

/** Returns a page of the dead letters of all partitions, newest first. */
async function readPage(store: Store, { cursor, limit }: { cursor?: Receipt | undefined; limit: number }) {
  const found = await Promise.all(
    Array.from({ length: store.partitions }, async (_, partition) => {
      const letters = await store.alerts.deadNotifications(partition, { upTo: cursor?.id, count: limit + 1 })
      return letters.map(letter => ({ ...letter, partition }))
    }),
  )
  const rest = found
    .flat()
    .filter(letter => cursor === undefined || newestFirst(letter, cursor) > 0)
    .sort(newestFirst)
  const listed = rest.slice(0, limit)
  const keys = await readKeys(store, listed)
  const notifications = listed.map(({ partition, id, alert, status, receiver, reason, since }) => {
    const key = keys.get(alert) ?? null
    return { id: formatReceipt({ partition, id }), alert, key, status, receiver, reason, pending_since: since }
  })
  const last = rest.length > limit ? notifications.at(-1) : undefined
  return { notifications, cursor: last?.id ?? null }
}

/** Returns the keys of the letters' alerts, by the id of the alert. */
async function readKeys({ alerts }: Store, letters: readonly (DeadNotification & { readonly partition: number })[]) {
  const keys = new Map<string, string | null>()
  await Promise.all(
    [...Map.groupBy(letters, ({ partition }) => partition)].map(async ([partition, found]) => {
      const ids = [...new Set(found.map(({ alert }) => alert))]
      for (const parts of await alerts.read(partition, ids)) if (parts) keys.set(parts.opening.id, parts.opening.key)
    }),
  )
  return keys
}
