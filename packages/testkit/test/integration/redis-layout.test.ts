import { randomUUID } from 'node:crypto'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { keysUnder } from '@tidemark/shared/store/keys'
import { LayoutMismatch, StoreError } from '@tidemark/shared/store/ports/errors'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import { type RedisFixture, redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'
import {
  append,
  appendAndRead,
  appendOne,
  commitOf,
  keyUpdate,
  own,
  progressOf,
} from '../../src/store-contract/harness.ts'

function openOn(redis: RedisFixture, prefix: string, partitions: number | undefined) {
  return openRedisStore({ ...REDIS_STORE_DEFAULTS, url: redis.url, prefix, partitions, onFailure: () => {} })
}

describe.skipIf(!(await redisAvailable()))('opening the Redis store', () => {
  test('the first start fixes the number of partitions; another number is refused, none accepts it', async () => {
    await using redis = await startRedis()
    const prefix = `test-${randomUUID()}`
    await using first = await openOn(redis, prefix, 3)
    expect(first.partitions).toBe(3)
    await using second = await openOn(redis, prefix, undefined)
    expect(second.partitions).toBe(3)
    await expect(openOn(redis, prefix, 4)).rejects.toThrow(LayoutMismatch)
    await expect(openOn(redis, prefix, 4)).rejects.toThrow('set PARTITIONS to 3')
  })

  test('a heartbeat stores the layout again after Redis was emptied', async () => {
    await using redis = await startRedis()
    const prefix = `test-${randomUUID()}`
    await using store = await openOn(redis, prefix, 3)
    const client = rawClient(redis.url)
    await client.flushall()
    await store.analyzer.heartbeat('a', 60_000)
    await using other = await openOn(redis, prefix, undefined)
    expect(other.partitions).toBe(3)
    await client.flushall()
    await client.hset(keysUnder(prefix).meta, { partitions: '4' })
    client.disconnect()
    await expect(store.analyzer.heartbeat('a', 60_000)).rejects.toThrow('a deployment of 4 partitions')
  })

  test('a member notices within a few seconds that the layout was replaced', async () => {
    await using redis = await startRedis()
    const prefix = `test-${randomUUID()}`
    await using store = await openOn(redis, prefix, 3)
    await store.analyzer.heartbeat('a', 60_000)
    const client = rawClient(redis.url)
    await client.hset(keysUnder(prefix).meta, { partitions: '4' })
    client.disconnect()
    const heartbeats = async (): Promise<void> => {
      for (;;) await pause(20).then(() => store.analyzer.heartbeat('a', 60_000))
    }
    await expect(heartbeats()).rejects.toThrow('a deployment of 4 partitions')
  })

  test.each([
    ['999', /format 999, .* format 2: a newer version wrote it\. Start that version or a newer one\./],
    ['1', /format 1, .* format 2: start the version that wrote it/],
    ['two', /format two, .* format 2: start the version that wrote it/],
  ])('data of format %s is refused with what to do, and left as it is', async (format, message) => {
    await using redis = await startRedis()
    const prefix = `test-${randomUUID()}`
    const client = rawClient(redis.url)
    await client.hset(keysUnder(prefix).meta, { format, partitions: '3' })
    const refusal = openOn(redis, prefix, 3)
    await expect(refusal).rejects.toThrow(LayoutMismatch)
    await expect(refusal).rejects.toThrow(message)
    expect(await client.keys('*')).toEqual([keysUnder(prefix).meta])
    expect(await client.hgetall(keysUnder(prefix).meta)).toEqual({ format, partitions: '3' })
    client.disconnect()
  })

  test('two deployments under two prefixes do not see each other', async () => {
    await using redis = await startRedis()
    await using one = await openOn(redis, 'one', 2)
    await using two = await openOn(redis, 'two', 4)
    await append(one, 0, 5)
    await one.analyzer.heartbeat('a', 60_000)
    expect(await progressOf(two, 0)).toMatchObject({ accepted: 0 })
    expect(await two.analyzer.heartbeat('b', 60_000)).toEqual(['b'])
  })

  test('a key of a wrong type makes a commit fail permanently and without effect', async () => {
    await using redis = await startRedis()
    await using store = await openOn(redis, 'tm', 1)
    const lease = await own(store, 0)
    const entries = await appendAndRead(store, 0, 2)
    const client = rawClient(redis.url)
    await client.set(keysUnder('tm').partition(0).anomalies, 'not a stream')
    const changes = { keys: [keyUpdate('a')], anomalies: ['{}'] }
    const failed = store.analyzer.commit(lease, commitOf({ id: '0-0', offset: 0 }, entries, changes))
    await expect(failed).rejects.toMatchObject({ kind: 'fatal' })
    expect(await progressOf(store, 0)).toMatchObject({ checkpoint: '0-0', analysed: 0 })
    expect(await store.gateway.window({ partition: 0, key: 'a' })).toBeNull()
    client.disconnect()
  })

  test('calls fail at once while Redis is unavailable, and the open store works when it is back', async () => {
    await using redis = await startRedis()
    await using store = await openOn(redis, 'tm', 1)
    await own(store, 0)
    await appendOne(store, 0, 1)
    await redis.kill()
    const outcomes = await store.gateway.append([{ partition: 0, samples: '["a",1,2]', count: 1 }])
    expect(outcomes).toMatchObject([{ kind: 'failed' }])
    await expect(store.gateway.progress([0])).rejects.toThrow(StoreError)
    await expect(store.analyzer.read([0], { count: 1, blockMs: 100 })).rejects.toThrow(StoreError)
    await redis.start()
    await expect.poll(() => store.gateway.ping().catch(() => -1)).toBeGreaterThanOrEqual(0)
    expect(await progressOf(store, 0)).toMatchObject({ accepted: 1, backlog: 1 })
    expect(await store.analyzer.read([0], { count: 9, blockMs: 100 })).toHaveLength(1)
  })

  test('opening without a Redis is refused within seconds', async () => {
    const redis = await startRedis()
    await redis[Symbol.asyncDispose]()
    await expect(openOn(redis, 'tm', 1)).rejects.toMatchObject({ kind: 'refused' })
  })
})
