import { keysUnder } from '@tidemark/shared/store/keys'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'

const COUNT = 1000
const KEYS = keysUnder('tm')

/** A store, and a function that measures the bytes that Redis sends during a read. */
async function open() {
  const stack = new AsyncDisposableStack()
  const { url } = stack.use(await startRedis())
  const store = stack.use(await openRedisStore({ ...REDIS_STORE_DEFAULTS, url, partitions: 2, onFailure: () => {} }))
  const client = stack.adopt(rawClient(url), one => one.disconnect())
  const sent = async (): Promise<number> => {
    const [, bytes] = /total_net_output_bytes:(\d+)/.exec(await client.info('stats')) ?? []
    return Number(bytes)
  }
  const measured = async (read: () => Promise<unknown>): Promise<number> => {
    const overhead = -(await sent()) + (await sent())
    const before = await sent()
    await read()
    return (await sent()) - before - overhead
  }
  return { store, client, measured, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

describe.runIf(await redisAvailable())('a read of few entries', () => {
  test('of the rule changes reads few, not all', async () => {
    await using setup = await open()
    const { store, client, measured } = setup
    const by = { who: 'ada', why: 'the winter', at: 1_700_000_000_000 }
    for (let version = 1; version <= COUNT; version++) {
      const change = { version, kind: 'rule_deleted', id: `rule-${version}`, content: null, ...by }
      await client.xadd(KEYS.ruleChanges, '*', 'c', JSON.stringify(change))
    }
    const all = await measured(() => store.rules.changes({ count: COUNT }))
    expect(all).toBeGreaterThan(COUNT * 100)
    for (const count of [1, 2, 51]) {
      const bytes = await measured(async () => expect(await store.rules.changes({ count })).toHaveLength(count))
      expect(bytes).toBeLessThan((all / COUNT) * (count + 3))
    }
    const versions = (await store.rules.changes({ upTo: 400, count: 3 })).map(({ version }) => version)
    expect(versions).toEqual([400, 399, 398])
    expect(await store.rules.changes({ upTo: 0, count: 3 })).toEqual([])
  })

  test('of what a shadow rule would have flagged stops when it has enough', async () => {
    await using setup = await open()
    const { store, client, measured } = setup
    const { shadowed } = KEYS.partition(0)
    for (let i = 1; i <= COUNT; i++) {
      const rule = i === 1 ? 'rare' : i % 2 === 0 ? 'even' : 'odd'
      await client.xadd(shadowed, '*', 'r', rule, 'a', JSON.stringify({ i, padding: 'x'.repeat(100) }))
    }
    const all = await measured(() => store.gateway.shadowed(0, 'rare', 1))
    expect(all).toBeGreaterThan(COUNT * 100)
    const bytes = await measured(async () => {
      const found = await store.gateway.shadowed(0, 'even', 20)
      expect(found.map(text => JSON.parse(text).i)).toEqual(Array.from({ length: 20 }, (_, n) => COUNT - 2 * n))
    })
    expect(bytes).toBeLessThan(all / 10)
    expect(await store.gateway.shadowed(0, 'rare', 5)).toHaveLength(1)
    expect(await store.gateway.shadowed(0, 'none', 5)).toEqual([])
  })
})
