import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { commitAlerts, openingOf } from '@tidemark/testkit/alert-commits'
import { describe, expect, test } from 'vitest'
import { alertWithSamplesSchema } from '../src/alerts/schemas.ts'
import { deadNotificationsSchema } from '../src/dead-letters/notifications.ts'
import { addDeadNotifications, createTestApp } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const PARTITIONS = 4
const NOW = 1_700_000_000_000

async function page({ app }: ReturnType<typeof createTestApp>, query = '') {
  const response = await app.request(`/dead/notifications${query}`)
  expect(response.status).toBe(200)
  return deadNotificationsSchema.parse(await response.json())
}

/** A store with a firing alert in partition 1. */
async function withAlert() {
  const store: MemoryStore = createMemoryStore({ partitions: PARTITIONS, now: () => NOW })
  const lease = { partition: 1, token: 'test:1' }
  await store.analyzer.acquireLease(1, lease.token, 60_000)
  const opening = openingOf({ partition: 1, key: 'edge-17/cpu', at: NOW })
  await commitAlerts(store, lease, { opened: [opening] })
  return { store, opening, test: createTestApp({ store }) }
}

describe('GET /dead/notifications', () => {
  test('lists those of all partitions by page, with the keys of their alerts', async () => {
    const { store, opening, test } = await withAlert()
    const ids = [
      ...(await addDeadNotifications(store, ['0-000000000000000000000abc', '0-000000000000000000000abd'], 0)),
      ...(await addDeadNotifications(store, [opening.id], 1)),
    ]
    const all = (await page(test)).notifications
    expect(all.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
    expect(all.find(({ alert }) => alert === opening.id)).toEqual({
      id: ids[2],
      alert: opening.id,
      key: 'edge-17/cpu',
      status: 'firing',
      receiver: 'hook',
      reason: 'status 403',
      pending_since: 5,
    })
    expect(all.filter(({ key }) => key === null)).toHaveLength(2)
    const paged: string[] = []
    for (let query = '?limit=1'; ; ) {
      const { notifications, cursor } = await page(test, query)
      paged.push(...notifications.map(({ id }) => id))
      if (cursor === null) break
      query = `?limit=1&cursor=${cursor}`
    }
    expect(paged).toEqual(all.map(({ id }) => id))
  })

  test.each(['?limit=0', '?cursor=x', '?receiver=a'])('%s is refused', async query => {
    expect((await createTestApp().app.request(`/dead/notifications${query}`)).status).toBe(400)
  })
})

describe('POST /dead/notifications/{id}/put-back', () => {
  test('schedules the notifications of its alert for its receiver, once', async () => {
    const { store, opening, test } = await withAlert()
    const [id = ''] = await addDeadNotifications(store, [opening.id], 1)
    const path = `/dead/notifications/${id}/put-back`
    const response = await test.app.request(path, { method: 'POST' })
    expect([response.status, await response.json()]).toEqual([202, { scheduled: id }])
    expect(await store.alerts.dueRetries(1, 'hook', { now: NOW, count: 10 })).toEqual([opening.id])
    expect((await page(test)).notifications).toEqual([])
    expect((await test.app.request(path, { method: 'POST' })).status).toBe(404)
    expect(await test.registry.metrics()).toContain('gateway_dead_notifications_settled_total{how="put_back"} 1')
    const alert = alertWithSamplesSchema.parse(await (await test.app.request(`/alerts/${opening.id}`)).json())
    expect(alert.receivers).toEqual([
      { receiver: 'hook', told: 0, told_at: 0, told_resolved: false, failing_since: NOW },
    ])
  })

  test('is 409 when its alert is no longer kept, and it stays', async () => {
    const { store, test } = await withAlert()
    const [id = ''] = await addDeadNotifications(store, ['1-000000000000000000000abc'], 1)
    const response = await test.app.request(`/dead/notifications/${id}/put-back`, { method: 'POST' })
    expect(response.status).toBe(409)
    expect((await problemOf(response)).detail).toMatch(/its alert is no longer kept\. It can only be discarded/)
    expect((await page(test)).notifications).toHaveLength(1)
  })
})

describe('POST /dead/notifications/{id}/discard', () => {
  test('deletes it, once', async () => {
    const { store, opening, test } = await withAlert()
    const [a = '', b = ''] = await addDeadNotifications(store, [opening.id, opening.id], 1)
    const response = await test.app.request(`/dead/notifications/${a}/discard`, { method: 'POST' })
    expect([response.status, await response.json()]).toEqual([200, { discarded: a }])
    expect((await test.app.request(`/dead/notifications/${a}/discard`, { method: 'POST' })).status).toBe(404)
    expect((await page(test)).notifications.map(({ id }) => id)).toEqual([b])
  })

  test.each(['put-back', 'discard'])('an id that cannot exist is unknown to %s', async action => {
    for (const id of ['x', '9:1-0', '0:1-0', '0:1', '%00']) {
      const path = `/dead/notifications/${id}/${action}`
      expect((await createTestApp().app.request(path, { method: 'POST' })).status).toBe(404)
    }
  })
})
