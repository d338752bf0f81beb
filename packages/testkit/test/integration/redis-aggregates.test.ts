import { keysUnder } from '@tidemark/shared/store/keys'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { describe, expect, test } from 'vitest'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'
import { appendAndRead, commitOf, own } from '../../src/store-contract/harness.ts'
import { aggregatesOf } from '../../src/stored-aggregates.ts'

const BEGIN = 1_700_000_100_000
const KEY = 'edge-17/rps'

function samplesFor(ms: number) {
  return Array.from({ length: Math.ceil(ms / 5000) }, (_, i) => {
    const timestamp = BEGIN + 5000 * i
    return { value: 20 + (i % 7), timestamp, time: timestamp, isFlagged: false }
  })
}

describe.skipIf(!(await redisAvailable()))('aggregates in Redis', () => {
  test.each([
    ['8 seconds', 8000, 600],
    ['a minute', 60_000, 600],
    ['ten minutes', 600_000, 7900],
    ['eight days', 8 * 86_400_000, 16 * 1024],
  ])('of a key that lives %s take little memory, in commits as they come', async (_, ms, bytesMax) => {
    await using redis = await startRedis()
    const options = { ...REDIS_STORE_DEFAULTS, url: redis.url, partitions: 1, onFailure: () => {} }
    await using store = await openRedisStore(options)
    const lease = await own(store, 0)
    const { states, writes } = aggregatesOf(KEY, samplesFor(ms))
    let from = { id: '0-0', offset: 0 }
    const size = Math.max(1, Math.ceil(writes.length / 20))
    for (let at = 0; at === 0 || at < writes.length; at += size) {
      const entries = await appendAndRead(store, 0, 1)
      const commit = commitOf(from, entries, { aggregates: { states, writes: writes.slice(at, at + size) } })
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      from = commit.to
    }
    const client = rawClient(redis.url)
    const at = keysUnder('tm').partition(0)
    const used = await Promise.all(
      [at.aggregates, `${at.aggregatesHours}:${KEY}`, `${at.aggregatesDays}:${KEY}`].map(async name =>
        Number((await client.call('MEMORY', 'USAGE', name)) ?? 0),
      ),
    )
    client.disconnect()
    const sum = used.reduce((all, one) => all + one, 0)
    expect(sum, `bytes of states and rings: ${used}`).toBeLessThanOrEqual(bytesMax)
    expect(sum).toBeGreaterThan(200)
  })
})
