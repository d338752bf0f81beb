import { partitionOf } from '@tidemark/shared/sample/partition'
import { keysUnder } from '@tidemark/shared/store/keys'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { RepartitionRefused } from '@tidemark/shared/store/redis/repartition/preconditions'
import { repartition } from '@tidemark/shared/store/redis/repartition/repartition'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import { type RedisFixture, redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'

const PREFIX = 'tm'
const keys = keysUnder(PREFIX)

function optionsOn(redis: RedisFixture, partitions: number, onProgress: (text: string) => void = () => {}) {
  const { access, cluster } = REDIS_STORE_DEFAULTS
  const connection = { url: redis.url, access, cluster, commandTimeoutMs: 10_000, onFailure: () => {} }
  return {
    ...connection,
    prefix: PREFIX,
    partitions,
    onProgress: (_: number, __: number, text: string) => onProgress(text),
  }
}

/** Creates a deployment of some partitions without samples. */
async function deploy(redis: RedisFixture, partitions: number): Promise<void> {
  const settings = { ...REDIS_STORE_DEFAULTS, url: redis.url, prefix: PREFIX, partitions, onFailure: () => {} }
  await using _store = await openRedisStore(settings)
}

describe.skipIf(!(await redisAvailable()))('changing the number of partitions is refused', () => {
  test.each<[string, (client: ReturnType<typeof rawClient>) => Promise<unknown>, RegExp]>([
    [
      'while a process runs',
      async client => client.hset(keys.processes, 'gateway-1', `${Date.now() + 60_000} x {}`),
      /processes run.*gateway-1/,
    ],
    [
      'while an analyzer has a lease',
      async client => client.set(keys.partition(1).lease, 'a:b'),
      /lease of partition 1/,
    ],
    [
      'with a backlog',
      async client => client.set(keys.partition(2).accepted, '7'),
      /partition 2 has a backlog \(7 samples\)/,
    ],
    [
      'with an entry that was added by hand',
      async client => client.xadd(keys.partition(0).samples, '*', 's', '[]', 'n', '0', 'o', '0'),
      /partition 0 has a backlog/,
    ],
    [
      'with a key in a partition that this version does not know',
      async client => client.mset('tm:{1}:forecasts', 'x', 'tm:{1}:aggregates_6h:a:b', 'x', 'tm:{rules}:other', 'x'),
      /does not know and cannot move: tm:\{1\}:forecasts\. If a newer version/,
    ],
    ['without room in Redis', async client => client.config('SET', 'maxmemory', '1000kb'), /raise maxmemory/],
    ['of another format', async client => client.hset(keys.meta, 'format', '9'), /format 9/],
    ['without a deployment', async client => client.del(keys.meta), /no deployment under the prefix tm/],
  ])('%s, and changes nothing', async (_, change, message) => {
    await using redis = await startRedis()
    await deploy(redis, 3)
    const client = rawClient(redis.url)
    await change(client)
    await client.config('SET', 'maxmemory-policy', 'noeviction')
    const before = [(await client.keys('*')).toSorted(), await client.hgetall(keys.meta)]
    const refusal = repartition(optionsOn(redis, 5))
    await expect(refusal).rejects.toThrow(RepartitionRefused)
    await expect(refusal).rejects.toThrow(message)
    expect([(await client.keys('*')).toSorted(), await client.hgetall(keys.meta)]).toEqual(before)
    client.disconnect()
  })

  test('to the number that there is, and to another one once the data of an interrupted run is complete', async () => {
    await using redis = await startRedis()
    await deploy(redis, 3)
    await expect(repartition(optionsOn(redis, 3))).rejects.toThrow('this deployment has 3 partitions already')
    const stop = (text: string): void => {
      if (text.startsWith('replacing partition 1')) throw new Error('interrupted')
    }
    await expect(repartition(optionsOn(redis, 5, stop))).rejects.toThrow('interrupted')
    await expect(deploy(redis, 5)).rejects.toThrow(
      'npm run repartition moves the data of this Redis, or was interrupted',
    )
    await expect(repartition(optionsOn(redis, 4))).rejects.toThrow('run it again with 5 first')
    expect(await repartition(optionsOn(redis, 5))).toMatchObject({ from: 3, to: 5, isResumed: true })
    await deploy(redis, 5)
  })

  test('to begin with, an interrupted run can be undone', async () => {
    await using redis = await startRedis()
    await deploy(redis, 3)
    const client = rawClient(redis.url)
    const before = (await client.keys('*')).toSorted()
    const stop = (text: string): void => {
      if (text === 'copying streams') throw new Error('interrupted')
    }
    await expect(repartition(optionsOn(redis, 5, stop))).rejects.toThrow('interrupted')
    expect(await repartition(optionsOn(redis, 3))).toMatchObject({ from: 3, to: 3, isResumed: true })
    expect((await client.keys('*')).toSorted()).toEqual(before)
    client.disconnect()
    await deploy(redis, 3)
  })

  test('the rings of aggregates move with their keys, and an undone run leaves none behind', async () => {
    await using redis = await startRedis()
    await deploy(redis, 3)
    const client = rawClient(redis.url)
    const names = Array.from({ length: 20 }, (_, n) => `edge-${n}/cpu`)
    const ringsIn = (partitions: number): Record<string, string> =>
      Object.fromEntries(
        names.flatMap(name => {
          const { aggregatesHours, aggregatesDays } = keys.partition(partitionOf(name, partitions))
          return [
            [`${aggregatesHours}:${name}`, `hours of ${name}`],
            [`${aggregatesDays}:${name}`, `days of ${name}`],
          ]
        }),
      )
    const stored = async (): Promise<Record<string, string | null>> => {
      const found = (await client.keys('*:aggregates_*')).toSorted()
      return Object.fromEntries(await Promise.all(found.map(async name => [name, await client.get(name)] as const)))
    }
    for (const name of names) {
      const { aggregates } = keys.partition(partitionOf(name, 3))
      await client.hset(aggregates, name, 'open')
    }
    await client.mset(ringsIn(3))
    const stop = (text: string): void => {
      if (text === 'copying streams') throw new Error('interrupted')
    }
    await expect(repartition(optionsOn(redis, 5, stop))).rejects.toThrow('interrupted')
    await repartition(optionsOn(redis, 3))
    expect(await stored()).toEqual(ringsIn(3))
    await repartition(optionsOn(redis, 5))
    expect(await stored()).toEqual(ringsIn(5))
    for (const name of names) {
      const { aggregates } = keys.partition(partitionOf(name, 5))
      expect(await client.hget(aggregates, name)).toBe('open')
    }
    client.disconnect()
  })
})
