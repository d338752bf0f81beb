import type { Store } from '@tidemark/shared/store/ports/store'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import {
  type RedisFixture,
  redisAvailable,
  redisClusterAvailable,
  startRedis,
  startRedisCluster,
} from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'
import {
  append,
  appendAndRead,
  appendOne,
  commitOf,
  keyUpdate,
  LONG_MS,
  own,
  packed,
  progressOf,
} from '../../src/store-contract/harness.ts'

function openOn(url: string): Promise<Store> {
  const options = { ...REDIS_STORE_DEFAULTS, url, cluster: url.includes(','), partitions: 4, onFailure: () => {} }
  return openRedisStore(options)
}

/** Sets a limit far below what any Redis uses, so that everything is refused that may be. */
async function limitMemory(nodes: readonly RedisFixture[], maxmemory: string): Promise<void> {
  for (const { url } of nodes) {
    const client = rawClient(url)
    await client.call('CONFIG', 'SET', 'maxmemory', maxmemory)
    client.disconnect()
  }
}

async function expectOnlyAppendsRefused(url: string, nodes: readonly RedisFixture[]): Promise<void> {
  await using store = await openOn(url)
  const lease = await own(store, 0)
  const entries = await appendAndRead(store, 0, 3, 2)
  const [later = ''] = await append(store, 0, 4)
  await appendOne(store, 1, 1)
  await limitMemory(nodes, '1mb')

  const once = { request: 'r', ttlMs: LONG_MS }
  const batch = { partition: 2, samples: packed(1), count: 1 }
  expect(await store.gateway.append([batch, { ...batch, once }])).toEqual([
    { kind: 'no-memory' },
    { kind: 'no-memory' },
  ])
  const claim = { partition: 2, name: 'n', content: 'c', ttlMs: LONG_MS }
  expect(await store.gateway.claimRequest(claim)).toEqual({ kind: 'no-memory' })
  expect(await progressOf(store, 2)).toMatchObject({ accepted: 0 })

  // The owner continues.
  const { analyzer, gateway } = store
  expect(await analyzer.heartbeat('a', LONG_MS)).toEqual(['a'])
  expect(await analyzer.renewLeases([lease], LONG_MS)).toEqual([true])
  expect(await analyzer.loadWindows(0, ['k'])).toEqual([null])
  const changes = { keys: [keyUpdate('k')], anomalies: ['{}'], deadLetters: [{ id: later, reason: 'r', samples: 's' }] }
  const commit = commitOf({ id: '0-0', offset: 0 }, entries, changes)
  expect(await analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
  expect(await analyzer.read([0], { count: 9, blockMs: 100 })).toMatchObject([{ entries: [{ id: later }] }])
  expect(await analyzer.readPending(0, '0-0', 9)).toMatchObject([{ id: later }])
  expect(await analyzer.noteAttempt(lease, { id: later, count: 1 })).toBe(true)
  await analyzer.acknowledge(0, [entries[0]?.id ?? ''])
  expect(await analyzer.backlogs([0])).toMatchObject([{ samples: 4, oldest: later }])
  expect(await gateway.lastAnalyses([{ partition: 0, key: 'k' }])).toEqual([keyUpdate('k').analysis])
  expect(await gateway.window({ partition: 0, key: 'k' })).not.toBeNull()

  // So does an analyzer that takes over a partition, which may have no group yet, and one that is
  // starting.
  await using other = await openOn(url)
  expect(await other.analyzer.heartbeat('b', LONG_MS)).toEqual(['a', 'b'])
  for (const partition of [1, 3]) {
    expect(await other.analyzer.acquireLease(partition, 'b:1', LONG_MS)).toBe(true)
    expect(await other.analyzer.loadCheckpoint(partition)).toMatchObject({ id: '0-0', offset: 0 })
  }
  expect(await other.analyzer.read([1, 3], { count: 9, blockMs: 100 })).toMatchObject([{ partition: 1 }])
  expect(await other.analyzer.releaseLease({ partition: 1, token: 'b:1' })).toBe(true)
  await other.analyzer.leave('b')

  await limitMemory(nodes, '0')
  expect(await store.gateway.append([batch, { ...batch, once }])).toMatchObject([
    { kind: 'stored' },
    { kind: 'stored' },
  ])
  expect(await store.gateway.claimRequest(claim)).toEqual({ kind: 'new' })
}

const SENTENCE = 'only appends are refused: analyzers continue, others take over, and reads work'

describe.skipIf(!(await redisAvailable()))('at the memory limit of Redis', () => {
  test(SENTENCE, async () => {
    await using redis = await startRedis()
    await expectOnlyAppendsRefused(redis.url, [redis])
  })
})

describe.skipIf(!(await redisClusterAvailable()))('at the memory limit of every node of a cluster', () => {
  test(SENTENCE, async () => {
    await using cluster = await startRedisCluster()
    await expectOnlyAppendsRefused(cluster.url, cluster.nodes)
  })
})
