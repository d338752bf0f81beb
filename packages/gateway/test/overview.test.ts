import { alertId } from '@tidemark/shared/detection/alerts/openings'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { rebalancesSchema } from '../src/overview/rebalances.ts'
import { keysPageSchema, overviewSchema } from '../src/overview/schemas.ts'
import { testKey } from './support/api-keys.ts'
import { createTestClient } from './support/client.ts'
import { analyseAll, commitEffects, createTestApp, NOW, type TestAppOptions } from './support/fixture.ts'

const PARTITIONS = 3
const KEYS = ['edge-1/a', 'edge-1/b', 'edge-2/A', 'other'] as const

/** An app with four analysed keys, one of them with a firing alert. */
async function createFleet(options: TestAppOptions = {}) {
  const store = createMemoryStore({ partitions: PARTITIONS, now: () => NOW })
  const { post } = createTestApp({ store, auth: 'off' })
  await post(JSON.stringify(KEYS.map((key, i) => ({ key, value: i, timestamp: 1_700_000_000 + i }))))
  await analyseAll(store)
  const key = 'edge-2/A'
  const partition = partitionOf(key, PARTITIONS)
  const id = alertId({ partition, kind: 'level_shift', key, count: 1, time: NOW })
  const cause = { kind: 'level_shift', value: 2, samples: 20 } as const
  const opening = { id, key, rule: null, severity: 'critical', opened_at: NOW - 60_000, cause } as const
  await commitEffects(store, partition, {
    alerts: { opened: [{ opening, openedBefore: 0, notifyAfterMs: 0 }], ended: [] },
  })
  const client = createTestClient({ store, auth: 'off', ...options })
  const names = async (query = '') => (await client.get(`/keys${query}`, keysPageSchema)).keys.map(row => row.key)
  return { ...client, store, alert: id, names }
}

test('GET /rebalances says who took each partition from whom, when and why', async () => {
  let now = NOW
  const store = createMemoryStore({ partitions: 2, now: () => now })
  const client = createTestClient({ store })
  expect(await client.get('/rebalances', rebalancesSchema)).toEqual({ rebalances: [] })
  const { analyzer } = store
  const at = (ms: number): void => {
    now = NOW + ms
  }
  await analyzer.acquireLease(0, 'a:1', 1000)
  await analyzer.acquireLease(1, 'a:2', 1000)
  at(500)
  await analyzer.releaseLease({ partition: 0, token: 'a:1' })
  at(600)
  await analyzer.acquireLease(0, 'b:1', 1000)
  at(2000)
  await analyzer.acquireLease(1, 'c:1', 1000)
  at(2500)
  await analyzer.releaseLease({ partition: 1, token: 'c:1' })
  const { rebalances } = await client.get('/rebalances', rebalancesSchema)
  expect(rebalances.map(one => [one.at - NOW, one.partition, one.from, one.to, one.reason])).toEqual([
    [2500, 1, 'c', null, 'released'],
    [2000, 1, 'a', 'c', 'expired'],
    [600, 0, 'a', 'b', 'handed_off'],
    [0, 0, null, 'a', 'first'],
    [0, 1, null, 'a', 'first'],
  ])
  expect((await client.get('/rebalances?limit=2', rebalancesSchema)).rebalances).toHaveLength(2)
})

describe('GET /keys', () => {
  test('has the keys in trouble first', async () => {
    const { get, alert } = await createFleet()
    const { keys, total, cursor } = await get('/keys', keysPageSchema)
    expect(keys[0]).toMatchObject({ key: 'edge-2/A', alert: { id: alert, severity: 'critical' } })
    expect([keys.length, total, cursor]).toEqual([4, 4, null])
  })

  test('sorts by name, and pages through with a cursor or an offset', async () => {
    const { get, names } = await createFleet()
    const first = await get('/keys?sort=name&limit=3', keysPageSchema)
    expect(first.keys.map(({ key }) => key)).toEqual(KEYS.slice(0, 3))
    expect(await names(`?sort=name&limit=3&cursor=${first.cursor}`)).toEqual(['other'])
    expect(await names('?sort=name&offset=1&limit=2')).toEqual(KEYS.slice(1, 3))
    expect(await names('?offset=9')).toEqual([])
  })

  test('goes on after the last key of a page wherever that is now', async () => {
    const { get, names } = await createFleet()
    const { cursor } = await get('/keys?sort=name&limit=2', keysPageSchema)
    expect(await names(`?sort=name&search=edge&cursor=${cursor}`)).toEqual(['edge-2/A'])
  })

  test('filters by prefix, text in any case, and state', async () => {
    const { names } = await createFleet()
    expect(await names('?prefix=edge-1&sort=name')).toEqual(['edge-1/a', 'edge-1/b'])
    expect(await names('?search=/a&sort=name')).toEqual(['edge-1/a', 'edge-2/A'])
    expect(await names('?state=alerting')).toEqual(['edge-2/A'])
    expect(await names('?state=warming')).toEqual([])
  })

  test('shows an API key only the keys of its prefix', async () => {
    const { token, record } = testKey({ scopes: ['read'], key_prefix: 'edge-1/' })
    const { send, read } = await createFleet({ keys: [record], auth: 'auto' })
    const headers = { Authorization: `Bearer ${token}` }
    const page = await read(await send('GET', '/keys?sort=name', undefined, headers), keysPageSchema)
    expect([page.keys.map(({ key }) => key), page.total]).toEqual([['edge-1/a', 'edge-1/b'], 2])
    const overview = await read(await send('GET', '/overview', undefined, headers), overviewSchema)
    expect(overview).toMatchObject({ keys: { total: 2, alerting: 0 }, worst: null, pipeline: null })
  })

  test('is 400 with both a cursor and an offset', async () => {
    const { send } = await createFleet()
    const cursor = Buffer.from('[0,"other"]').toString('base64url')
    const response = await send('GET', `/keys?cursor=${cursor}&offset=2`)
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining('cannot be combined')])
  })
})

describe('GET /overview', () => {
  test('counts keys by state, and names the worst and since when', async () => {
    const { get } = await createFleet()
    const overview = await get('/overview', overviewSchema)
    expect(overview.keys).toMatchObject({ total: 4, alerting: 1 })
    expect(overview.worst).toMatchObject({ key: 'edge-2/A', since: NOW - 60_000 })
    expect(overview.latency_p95_ms).toBeGreaterThanOrEqual(0)
    expect(overview.pipeline).toMatchObject({ backlog: 0, lost: 0, samples_per_s: null, store: null })
    expect(overview.pipeline?.partitions).toHaveLength(PARTITIONS)
  })

  test('of a deployment without keys is empty', async () => {
    const { get } = createTestClient()
    expect(await get('/overview', overviewSchema)).toMatchObject({
      keys: { total: 0 },
      worst: null,
      latency_p95_ms: null,
    })
  })
})
