import { keysUnder } from '@tidemark/shared/store/keys'
import { REQUEST_BYTES } from '@tidemark/shared/store/ports/store'
import { REDIS_STORE_DEFAULTS } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { expect, test } from 'vitest'
import { redisAvailable, startRedis } from '../../src/redis-fixture.ts'
import { rawClient } from '../../src/redis-probe.ts'

const COUNT = 20_000
const PER_CALL = 1000

test.runIf(await redisAvailable())('a remembered request takes at most the memory that is documented', async () => {
  await using redis = await startRedis()
  const { url } = redis
  await using store = await openRedisStore({ ...REDIS_STORE_DEFAULTS, url, partitions: 1, onFailure: () => {} })
  for (let first = 0; first < COUNT; first += PER_CALL) {
    const batches = Array.from({ length: PER_CALL }, (_, i) => {
      // As long as the gateway's digests.
      const request = String(first + i).padStart(22, 'x')
      return { partition: 0, samples: '["a",1,1]', count: 1, once: { request, ttlMs: 600_000 } }
    })
    const outcomes = await store.gateway.append(batches)
    expect(outcomes.every(({ kind }) => kind === 'stored')).toBe(true)
  }
  const client = rawClient(url)
  const { requests, requestTimes } = keysUnder('tm').partition(0)
  const sizes = await Promise.all([requests, requestTimes].map(key => client.memory('USAGE', key, 'SAMPLES', 0)))
  client.disconnect()
  const each = sizes.reduce<number>((sum, bytes) => sum + Number(bytes), 0) / COUNT
  expect(each).toBeGreaterThan(REQUEST_BYTES / 2)
  expect(each).toBeLessThanOrEqual(REQUEST_BYTES)
})
