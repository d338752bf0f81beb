import { Writable } from 'node:stream'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { readConfig } from '@tidemark/shared/runtime/config'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { keysUnder, type PartitionKeys } from '@tidemark/shared/store/keys'
import type { Store } from '@tidemark/shared/store/ports/store'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { eventually } from '@tidemark/testkit/eventually'
import { type RedisFixture, redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { packSamples } from '@tidemark/testkit/samples'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startAnalyzer } from '../../src/analyzer.ts'
import { analyzerSettings } from '../../src/config.ts'

/** Commands that an analyzer of two partitions may send in a second while one is stuck. */
const COMMANDS_MAX = 1200

const BY = { who: 'ada', why: 'test', at: 0 }

/** The partition whose data is odd, and one that must not notice. */
const ODD = 0
const OTHER = 1

interface World extends AsyncDisposable {
  readonly store: Store
  readonly client: ReturnType<typeof rawClient>
  readonly keys: PartitionKeys
  readonly log: string[]
  metric(name: string): Promise<number>
  append(partition: number, ...values: number[]): Promise<void>
  /** Waits until all samples of a partition are analysed; returns their number. */
  drained(partition: number): Promise<number>
}

describe.skipIf(!(await redisAvailable()))('odd data in Redis', () => {
  let redis: RedisFixture
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis[Symbol.asyncDispose]())

  let worlds = 0
  async function open(): Promise<World> {
    const stack = new AsyncDisposableStack()
    const prefix = `odd-${worlds++}`
    const store = stack.use(
      await openRedisStore({ ...REDIS_STORE_DEFAULTS, url: redis.url, prefix, partitions: 2, onFailure: () => {} }),
    )
    const client = stack.adopt(rawClient(redis.url), one => one.disconnect())
    const lines: string[] = []
    const stream = new Writable({
      write(chunk, _, done) {
        lines.push(String(chunk))
        done()
      },
    })
    const config = readConfig(analyzerSettings, { REDIS_URL: redis.url, HEARTBEAT_MS: '50' })
    const registry = new Registry()
    stack.use(startAnalyzer({ config, store, log: createLogger('analyzer', 'info', { stream }), registry }))
    let time = 0
    const drained = (partition: number): Promise<number> =>
      eventually(async () => {
        const [progress] = await store.gateway.progress([partition])
        expect(progress).toMatchObject({ backlog: 0 })
        return progress?.analysed ?? 0
      })
    return {
      store,
      client,
      keys: keysUnder(prefix).partition(ODD),
      log: lines,
      async metric(name) {
        const { values } = (await registry.getSingleMetric(name)?.get()) ?? { values: [] }
        return values.reduce((sum, { value }) => sum + value, 0)
      },
      async append(partition, ...values) {
        const samples = packSamples(values.map(value => ({ key: 'k', value, timestamp: ++time })))
        const [outcome] = await store.gateway.append([{ partition, samples, count: values.length }])
        expect(outcome?.kind).toBe('stored')
      },
      drained,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  }

  async function commandsIn(ms: number, client: World['client']): Promise<number> {
    const processed = async (): Promise<number> =>
      Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))?.[1])
    const before = await processed()
    await new Promise(resolve => setTimeout(resolve, ms))
    return (await processed()) - before
  }

  test.each([
    'samples',
    'checkpoint',
    'windows',
    'windowTails',
    'guardMemories',
    'lastAnalysis',
    'anomalies',
    'deadLetters',
    'verdicts',
    'timers',
    'notificationChecks',
    'outbox',
    'outboxPositions',
    'alerts',
    'ruleCounts',
    'keyAlerts',
    'ruleAlerts',
    'lease',
  ] as const)('a %s of another type stops at most its partition, is logged, and loses nothing', async name => {
    await using world = await open()
    const { client, keys, append, drained, log, store } = world
    await append(ODD, 1, 2)
    await append(OTHER, 1)
    await drained(ODD)
    await drained(OTHER)
    const key = keys[name]
    const kept = await client.dump(key).catch(() => null)
    const dump = (await client.callBuffer('DUMP', key)) as Buffer | null
    expect(kept === null).toBe(dump === null)
    await client.del(key)
    await client.lpush(key, 'odd')
    await append(OTHER, 2, 3)
    if (name !== 'samples' && name !== 'checkpoint') await append(ODD, 3)
    expect(await drained(OTHER)).toBe(3)
    expect(await commandsIn(1000, client)).toBeLessThan(COMMANDS_MAX)
    const unused = ['anomalies', 'alerts', 'notificationChecks', 'outbox', 'outboxPositions', 'ruleCounts']
    const isUsed = ![...unused, 'keyAlerts', 'ruleAlerts'].includes(name)
    if (isUsed)
      await eventually(() => expect([name, log.join('')].join()).toMatch(/WRONGTYPE|not of the type|lost the lease/))

    // At once: the analyzer makes a missing stream again.
    if (dump !== null && name !== 'lease') await client.callBuffer('RESTORE', key, 0, dump, 'REPLACE')
    else await client.del(key)
    await append(ODD, 4)
    const analysed = await drained(ODD)
    expect(analysed).toBe(name === 'samples' || name === 'checkpoint' ? 3 : 4)
    const [progress] = await store.gateway.progress([ODD])
    expect(progress).toMatchObject({ lost: 0, dead: 0 })
  })

  test.each<[string, Record<string, string>, RegExp | null]>([
    ['an offset that is no number', { offset: 'abc' }, /field \\"offset\\" of the Redis key odd-\d+:\{0\}:checkpoint/],
    ['an id that is none', { id: 'abc' }, /field \\"id\\" of the Redis key odd-\d+:\{0\}:checkpoint/],
    ['an attempt that is none', { attempt: 'x y z' }, null],
    ['an analysed count that is no number', { analysed: 'x' }, /:checkpoint is not of the type .* or a count/],
    ['a dead count that is no number', { dead: '1.5' }, /:checkpoint is not of the type .* or a count/],
    ['a version of rules that is no number', { rules: 'x' }, null],
  ])('a checkpoint with %s loses nothing and is logged', async (_, fields, logged) => {
    await using world = await open()
    const { client, keys, append, drained, log } = world
    await append(ODD, 1, 2)
    await drained(ODD)
    const before = await client.hgetall(keys.checkpoint)
    await client.hset(keys.checkpoint, fields)
    // The owner finds it when it recovers.
    await client.del(keys.lease)
    await append(OTHER, 1)
    // Without an offset the backlog is unknown, so appends are refused.
    if (fields.offset === undefined) await append(ODD, 3)
    await drained(OTHER)
    expect(await commandsIn(1000, client)).toBeLessThan(COMMANDS_MAX)
    if (logged !== null) {
      await eventually(() => expect(log.join('')).toMatch(logged))
      for (const [name, value] of Object.entries(before)) await client.hset(keys.checkpoint, name, value)
      if (before.dead === undefined) await client.hdel(keys.checkpoint, 'dead')
    }
    if (fields.offset !== undefined) await append(ODD, 3)
    await drained(ODD)
    const checkpoint = await client.hgetall(keys.checkpoint)
    expect([checkpoint.offset, checkpoint.analysed]).toEqual(['3', '3'])
  })

  test.each<[string, (world: World) => Promise<unknown>, number]>([
    ['the group is deleted', ({ client, keys }) => client.xgroup('DESTROY', keys.samples, 'analyzers'), 4],
    [
      'the consumer is deleted',
      ({ client, keys }) => client.xgroup('DELCONSUMER', keys.samples, 'analyzers', 'owner'),
      4,
    ],
    ['the group is moved back', ({ client, keys }) => client.xgroup('SETID', keys.samples, 'analyzers', '0'), 4],
    [
      'the group is moved ahead',
      async ({ client, keys, append }) => {
        await append(ODD, 3)
        return client.xgroup('SETID', keys.samples, 'analyzers', '$')
      },
      5,
    ],
    [
      'another consumer reads entries',
      async ({ client, keys, append }) => {
        await append(ODD, 3)
        return client.xreadgroup('GROUP', 'analyzers', 'operator', 'COUNT', 10, 'STREAMS', keys.samples, '>')
      },
      5,
    ],
    ['the last id is set far ahead', ({ client, keys }) => client.call('XSETID', keys.samples, '4102444800000-0'), 4],
    ['applied entries are trimmed', ({ client, keys }) => client.xtrim(keys.samples, 'MAXLEN', 0), 4],
    ['the row is cut off', ({ client, keys }) => client.hset(keys.windows, 'k', 'short'), 4],
    ['the tail is cut off', ({ client, keys }) => client.hset(keys.windowTails, 'k', 'short'), 4],
    ['the memory of a guard is cut off', ({ client, keys }) => client.hset(keys.guardMemories, 'k', 'short'), 4],
    ['a timer is set for a key that does not exist', ({ client, keys }) => client.zadd(keys.timers, 1, 'nobody'), 4],
    ['a timer is set that never expires', ({ client, keys }) => client.zadd(keys.timers, '+inf', 'k'), 4],
    [
      'a check is scheduled for an alert that does not exist',
      ({ client, keys }) => client.zadd(keys.notificationChecks, 1, 'x'),
      4,
    ],
    [
      'a stranger is a member',
      ({ client, keys }) => client.zadd(keys.samples.replace(/:\{.*/, ':members'), 1, 'x y'),
      4,
    ],
    [
      'an entry has a field twice and no value',
      ({ client, keys }) => client.xadd(keys.samples, '*', 's', '[]', 's', '', 'n', '1', 'n', 'x', 'o', '-1'),
      4,
    ],
  ])('%s: later samples are analysed, and Redis is not flooded', async (_, disturb, analysed) => {
    await using world = await open()
    const { client, append, drained } = world
    await append(ODD, 1, 2)
    await append(OTHER, 1)
    await drained(ODD)
    await drained(OTHER)
    await disturb(world)
    await append(ODD, 3, 4)
    await append(OTHER, 2)
    expect(await drained(ODD)).toBe(analysed)
    expect(await drained(OTHER)).toBe(2)
    expect(await commandsIn(1000, client)).toBeLessThan(COMMANDS_MAX)
  })

  test('a count of a rule that is no number begins again, and the commit is applied once', async () => {
    await using world = await open()
    const { client, keys, store, append, drained } = world
    const document = withRule(EMPTY_DOCUMENT, { id: 'all', pattern: '*', window: 20 }, BY)
    const change = { ...BY, version: 1, kind: 'rule_put', id: 'all', content: { pattern: '*', window: 20 } } as const
    expect(await store.rules.replace(document, change, await store.rules.digest())).toBe(true)
    await eventually(async () => expect(await world.metric('analyzer_rules_version')).toBe(1))
    // Only scores are counted.
    await append(ODD, ...Array.from({ length: 40 }, (_, i) => i % 7))
    await drained(ODD)
    const counts = await eventually(async () => {
      const found = Object.keys(await client.hgetall(keys.ruleCounts))
      expect(found).not.toEqual([])
      return found
    })
    for (const name of counts) await client.hset(keys.ruleCounts, name, 'odd')
    await append(ODD, 2, 3)
    expect(await drained(ODD)).toBe(42)
    expect(Object.values(await client.hgetall(keys.ruleCounts))).not.toContain('odd')
    expect(await world.metric('analyzer_store_errors_total')).toBe(0)
  })
})
