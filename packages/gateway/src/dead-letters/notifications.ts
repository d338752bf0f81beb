import { z } from '@hono/zod-openapi'
import { formatReceipt } from '@tidemark/shared/sample/receipt'
import type { DeadNotification } from '@tidemark/shared/store/ports/alerts'
import type { Store } from '@tidemark/shared/store/ports/store'
import { COMMON_PROBLEMS, cursorMember, json, PROBLEMS, problem, timeMember } from '../http/documentation.ts'
import { RequestFault } from '../http/problem.ts'
import { createRoute, type Router, serve } from '../http/router.ts'
import type { RoutesOptions } from '../services.ts'
import { LETTER_ID, LETTER_UNKNOWN, pageQuery, readPage, receiptOfId } from './letters.ts'

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

const pageRoute = createRoute({
  method: 'get',
  path: '/dead/notifications',
  access: 'read',
  operationId: 'deadNotifications',
  summary: 'Dead letters of notifications: what a receiver did not take in time; newest first',
  request: { query: pageQuery },
  responses: { 200: json('A page.', deadNotificationsSchema), ...PROBLEMS },
})

const redriveRoute = createRoute({
  method: 'post',
  path: '/dead/notifications/{id}/put-back',
  access: 'operate',
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
  access: 'operate',
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
    return c.json(await readNotifications(store, c.req.valid('query')))
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

async function readNotifications(store: Store, query: z.output<typeof pageQuery>) {
  const { letters, cursor } = await readPage(store, query, (partition, range) =>
    store.alerts.deadNotifications(partition, range),
  )
  const keys = await readKeys(store, letters)
  const notifications = letters.map(({ partition, id, alert, status, receiver, reason, since }) => {
    const key = keys.get(alert) ?? null
    return { id: formatReceipt({ partition, id }), alert, key, status, receiver, reason, pending_since: since }
  })
  return { notifications, cursor }
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
