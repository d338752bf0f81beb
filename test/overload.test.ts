import { eventually } from '@tidemark/testkit/eventually'
import { type RedisFixture, redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { keysOf } from '@tidemark/testkit/samples'
import { Client } from '@tidemark/tools/stack/client'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { MEMORY_LIMIT_REACHED, PARTITION_FULL } from './support/service-messages.ts'

/** Samples in one request: enough for each request to change the used memory noticeably. */
const SAMPLES = 200
const KEYS = 20

interface NotStored {
  readonly type: string
  readonly accepted: number
  readonly receipts: readonly string[]
  readonly rejected: readonly { readonly index: number; readonly reason: string }[]
}

function bodyOf(keys: readonly string[]): string {
  return JSON.stringify(Array.from({ length: SAMPLES }, (_, i) => ({ key: keys[i % keys.length], value: i % 7 })))
}

async function limitMemory(redis: RedisFixture, spareBytes: number | undefined): Promise<void> {
  const client = rawClient(redis.url)
  const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
  await client.call('CONFIG', 'SET', 'maxmemory', String(spareBytes === undefined ? 0 : used + spareBytes))
  client.disconnect()
}

/** Returns the body of a 503 and its Retry-After in seconds. */
async function rejectionOf(response: Response): Promise<{ problem: NotStored; retryAfterS: number }> {
  expect(response.status).toBe(503)
  const problem = (await response.json()) as NotStored
  expect(problem.type).toBe('urn:tidemark:problem:samples-not-stored')
  return { problem, retryAfterS: Number(response.headers.get('retry-after')) }
}

async function metricOf(client: Client, line: string): Promise<number> {
  const text = await (await client.get('/metrics')).text()
  const value = text.split('\n').find(one => one.startsWith(`${line} `))
  return Number(value?.slice(line.length + 1))
}

describe.runIf(await redisAvailable())('overload', () => {
  test('at the memory limit samples are rejected, reads continue, and analysis drains until ingest recovers', async () => {
    await using redis = await startRedis()
    // Kept verdicts use memory too, so few are kept: draining then has an effect at once.
    const env = { REDIS_URL: redis.url, LEASE_TTL_MS: '2000', VERDICTS_KEPT: '200' }
    await using gateway = await startGateway(env)
    const client = new Client(gateway.port)
    const keys = Array.from({ length: KEYS }, (_, i) => `key ${i}`)
    const counts = new Map(keys.map(key => [key, 0]))
    /** Posts once. A 503 lists accepted samples by partition, so each request has one key. */
    async function postOne(key: string): Promise<Response> {
      const response = await client.post(bodyOf([key]))
      if (response.status === 202) counts.set(key, (counts.get(key) ?? 0) + SAMPLES)
      return response
    }
    async function expectAllAnalysed(): Promise<void> {
      for (const [key, count] of counts) {
        await eventually(async () => expect((await client.analysis(key)).count).toBe(count))
      }
    }

    // The first samples are analysed, so that reads return something.
    const first = await startAnalyzer(env)
    for (const key of keys) expect((await postOne(key)).status).toBe(202)
    await expectAllAnalysed()
    await first[Symbol.asyncDispose]()

    // Without an analyzer memory fills up.
    await limitMemory(redis, 1_500_000)
    let posts = 0
    for (; posts < 2000; posts++) if ((await postOne(keys[posts % KEYS] ?? '')).status === 503) break
    expect(posts).toBeGreaterThan(20)
    expect(posts).toBeLessThan(2000)
    const rejectedBefore = await metricOf(client, 'gateway_samples_rejected_total{reason="memory"}')
    expect(rejectedBefore).toBe(SAMPLES)

    // Far enough below its usage: what other processes write and free must not make room.
    await limitMemory(redis, -300_000)
    const waits = new Set<number>()
    for (let i = 0; i < 30; i++) {
      if (i === 15) await new Promise(resolve => setTimeout(resolve, 600))
      const { problem, retryAfterS } = await rejectionOf(await postOne(keys[0] ?? ''))
      expect(problem).toMatchObject({ accepted: 0, receipts: [] })
      expect(problem.rejected).toHaveLength(SAMPLES)
      expect(problem.rejected[0]?.reason).toContain(MEMORY_LIMIT_REACHED)
      expect(retryAfterS).toBeGreaterThanOrEqual(1)
      expect(retryAfterS).toBeLessThanOrEqual(75)
      waits.add(retryAfterS)
    }
    // Without an analyzer the wait becomes long. It differs between clients because of the jitter.
    expect(Math.max(...waits)).toBeGreaterThanOrEqual(45)
    expect(waits.size).toBeGreaterThan(4)
    expect((await client.get('/readyz')).status).toBe(200)
    expect((await client.get('/analyze')).status).toBe(200)
    expect(await client.analysis(keys[0] ?? '')).toMatchObject({ count: SAMPLES })
    expect((await client.get(`/history?key=${encodeURIComponent(keys[0] ?? '')}`)).status).toBe(200)

    // An analyzer that starts at the limit drains the backlog without further help.
    await using _analyzer = await startAnalyzer(env)
    await eventually(async () => expect((await postOne(keys[0] ?? '')).status).toBe(202))
    await expectAllAnalysed()

    // A limit below the current usage: the analyzer survives it and continues afterwards.
    await limitMemory(redis, -500_000)
    const { retryAfterS } = await rejectionOf(await postOne(keys[1] ?? ''))
    expect(retryAfterS).toBeGreaterThanOrEqual(1)
    await new Promise(resolve => setTimeout(resolve, 2500))
    expect((await client.get('/analyze')).status).toBe(200)
    await limitMemory(redis, undefined)
    for (const key of keys) expect((await postOne(key)).status).toBe(202)
    await expectAllAnalysed()
  })

  test('of a request for a full and other partitions, only the samples of the full one are rejected', async () => {
    await using redis = await startRedis()
    const partitions = 4
    const env = { REDIS_URL: redis.url, PARTITIONS: String(partitions), BACKLOG_SAMPLES_MAX: '1000' }
    await using gateway = await startGateway(env)
    const client = new Client(gateway.port)
    await eventually(async () => expect((await client.get('/readyz')).status).toBe(200))
    const hot = keysOf(0, partitions, 5)
    const cold = keysOf(1, partitions, 5)
    for (let i = 0; i < 5; i++) await client.ingest(JSON.parse(bodyOf(hot)))

    const { problem, retryAfterS } = await rejectionOf(await client.post(bodyOf([...hot, ...cold])))
    expect(problem.accepted).toBe(SAMPLES / 2)
    expect(problem.receipts).toEqual([expect.stringMatching(/^1:/)])
    expect(problem.rejected.map(({ index }) => index)).toEqual(
      Array.from({ length: SAMPLES }, (_, i) => i).filter(i => i % 10 < 5),
    )
    expect(problem.rejected[0]?.reason).toContain(PARTITION_FULL)
    expect(retryAfterS).toBeGreaterThanOrEqual(1)
    expect(await client.ingest(JSON.parse(bodyOf(cold)))).toMatchObject({ accepted: SAMPLES, rejected: [] })
    expect(await metricOf(client, 'gateway_samples_rejected_total{reason="full"}')).toBe(SAMPLES / 2)

    await using _analyzer = await startAnalyzer(env)
    await eventually(async () => expect((await client.post(bodyOf(hot))).status).toBe(202))
    const expected = new Map([
      [hot[0], (5 * SAMPLES) / 5 + SAMPLES / 5],
      [cold[0], SAMPLES / 10 + SAMPLES / 5],
    ])
    for (const [key = '', count] of expected) {
      await eventually(async () => expect((await client.analysis(key)).count).toBe(count))
    }
  })
})
