import type { Item } from '@tidemark/client/types'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Sample } from '@tidemark/shared/sample/sample'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { Random } from '@tidemark/testkit/random'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { Client } from '@tidemark/tools/stack/client'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { SECURED } from './support/secured.ts'
import { OTHER_PARTITION_COUNT } from './support/service-messages.ts'

const PARTITIONS = 16
const KEYS = 200
const SAMPLES = 50_000

/** Concurrent clients. A key belongs to one of them, so its samples have an order. */
const WRITERS = 8

/** Keys of devices, so that every body format can carry them. */
function keysOf(writer: number): string[] {
  return Array.from({ length: KEYS / WRITERS }, (_, i) => `edge-${writer}/metric ${i} {é}`)
}

/** Noise with spikes, ties, flat stretches and huge values: every verdict state occurs. */
function valueAt(random: Random, n: number): number {
  const kind = random.uniform()
  if (kind < 0.02) return (random.uniform() - 0.5) * 1e15
  if (n % 400 > 300) return 21.5
  return Math.round((20 + 4 * (random.uniform() - 0.5)) * 1000) / 1000
}

/** Posts samples in one of five formats. */
async function post(client: Client, format: number, writer: number, samples: readonly Sample[]): Promise<void> {
  const [first] = samples
  if (first === undefined) return
  if (format === 0) {
    for (const sample of samples) await client.ingest(sample)
    return
  }
  const lines = samples.map(sample => JSON.stringify(sample)).join('\n')
  const bodies: [string | Item | readonly Item[], string][] = [
    [samples, 'application/json'],
    [`${lines}\n`, 'application/x-ndjson'],
    [lines, 'application/x-www-form-urlencoded'],
    [samples.map(({ key, value, timestamp }) => deviceBody(writer, timestamp, [[key, value]])), 'application/json'],
  ]
  const [body, type] = bodies[format - 1] ?? bodies[0] ?? ['', '']
  const { accepted, rejected } = await client.ingest(body, { headers: { 'Content-Type': type } })
  expect({ accepted, rejected }).toEqual({ accepted: samples.length, rejected: [] })
}

function deviceBody(writer: number, timestamp: number, metrics: readonly (readonly [string, number])[]) {
  const device = `edge-${writer}`
  return {
    device,
    timestamp,
    metrics: Object.fromEntries(metrics.map(([key, value]) => [key.slice(device.length + 1), value])),
  }
}

describe.runIf(await redisAvailable())('the pipeline', () => {
  test('two gateways and changing analyzers give every key the verdicts of the oracle', async () => {
    await using redis = await startRedis(SECURED)
    const env = { REDIS_URL: redis.url, PARTITIONS: String(PARTITIONS), LOG_LEVEL: 'info' }
    await using stack = new AsyncDisposableStack()
    const gateways = [stack.use(await startGateway(env)), stack.use(await startGateway(env))]
    const clients = gateways.map(({ port }) => new Client(port))
    const analyzers: Service[] = []
    for (let i = 0; i < 3; i++) analyzers.push(stack.use(await startAnalyzer({ ...env, ANALYZER_ID: `analyzer-${i}` })))

    const accepted = new Map<string, Sample[]>()
    let posted = 0
    async function write(writer: number): Promise<void> {
      const random = new Random(writer + 1)
      const keys = keysOf(writer)
      const share = SAMPLES / WRITERS
      for (let n = 0; n < share; ) {
        const size = Math.min(share - n, 1 + Math.floor(random.uniform() ** 4 * 300))
        const samples = Array.from({ length: size }, (_, i): Sample => {
          const key = keys[Math.floor(random.uniform() * keys.length)] ?? ''
          return { key, value: valueAt(random, n + i), timestamp: 1_700_000_000_000 + 250 * (n + i) }
        })
        const client = clients[Math.floor(random.uniform() * clients.length)] ?? clients[0]
        if (client === undefined) return
        // One sample per request is slow, so only small batches use that format.
        await post(
          client,
          size > 20 ? 1 + Math.floor(random.uniform() * 4) : Math.floor(random.uniform() * 5),
          writer,
          samples,
        )
        for (const sample of samples) accepted.set(sample.key, [...(accepted.get(sample.key) ?? []), sample])
        n += size
        posted += size
      }
    }
    const writing = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)))

    const untilPosted = (share: number) => eventually(() => expect(posted).toBeGreaterThan(share * SAMPLES))
    await untilPosted(0.3)
    stack.use(await startAnalyzer({ ...env, ANALYZER_ID: 'analyzer-added' }))
    await untilPosted(0.6)
    const begin = performance.now()
    await analyzers[0]?.child.stop()
    // A stop that waits for something takes the 20 s until the process ends itself.
    expect(performance.now() - begin).toBeLessThan(10_000)
    await writing

    expect(posted).toBe(SAMPLES)
    const [client] = clients
    for (const [key, samples] of accepted) {
      const expected = oracleAnalysis(key, samples, VERDICT_DEFAULTS)
      await eventually(async () => expect((await client?.analysis(key))?.count).toBe(expected.count))
      const { id, analyzed_at, ...analysis } = (await client?.analysis(key)) ?? {}
      expect(analysis).toEqual(expected)
      expect(id).toMatch(new RegExp(`^${partitionOf(key, PARTITIONS)}:`))
      expect(analyzed_at).toBeGreaterThan(1_700_000_000_000)
    }
    expect(accepted.size).toBe(KEYS)
  })

  test('a receipt leads to the verdict on its own sample, even if newer ones follow at once', async () => {
    await using redis = await startRedis(SECURED)
    const env = { REDIS_URL: redis.url }
    await using gateway = await startGateway(env)
    await using _analyzer = await startAnalyzer(env)
    const client = new Client(gateway.port)

    const receipts: string[] = []
    for (let value = 0; value < 100; value++) {
      const {
        receipts: [receipt = ''],
      } = await client.ingest({ key: 'busy', value })
      receipts.push(receipt)
    }
    for (const [value, receipt] of receipts.entries()) {
      expect(await client.analysis('busy', receipt)).toMatchObject({ value, count: value + 1, id: receipt })
    }

    const requests: number[] = []
    const waits: number[] = []
    for (let value = 0; value < 50; value++) {
      const begin = performance.now()
      const {
        receipts: [receipt = ''],
      } = await client.ingest({ key: 'quick', value })
      const accepted = performance.now()
      expect(await client.analysis('quick', receipt)).toMatchObject({ value, id: receipt })
      requests.push(accepted - begin)
      waits.push(performance.now() - accepted)
    }
    // A verdict takes a few requests to Redis: a poll would show as its interval.
    expect(median(waits)).toBeLessThan(20 + 5 * median(requests))
  })

  test('while Redis is unavailable ingest responds 503 at once, and everything recovers by itself', async () => {
    await using redis = await startRedis(SECURED)
    const env = { REDIS_URL: redis.url, LEASE_TTL_MS: '2000', STORE_TIMEOUT_MS: '20000' }
    await using gateway = await startGateway(env)
    await using analyzer = await startAnalyzer(env)
    const client = new Client(gateway.port)
    await client.ingest({ key: 'k', value: 1 })
    await eventually(async () => expect(await client.analysis('k')).toMatchObject({ count: 1 }))

    await redis.stop()
    const begin = performance.now()
    const response = await client.post('{"key":"k","value":2}')
    expect(performance.now() - begin).toBeLessThan(10_000)
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect(response.headers.get('content-type')).toMatch('application/problem+json')
    expect((await client.get('/analyze?key=k')).status).toBe(503)
    expect((await client.get('/livez')).status).toBe(200)

    await redis.start()
    await eventually(async () => expect((await client.post('{"key":"k","value":3}')).status).toBe(202))
    await eventually(async () => expect(await client.analysis('k')).toMatchObject({ value: 3, count: 2 }))
    for (const service of [gateway, analyzer]) {
      expect(await Promise.race([service.child.exited, 'running'])).toBe('running')
    }
  })

  test('a process with another partition count is refused with a clear message', async () => {
    await using redis = await startRedis(SECURED)
    await using _gateway = await startGateway({ REDIS_URL: redis.url, PARTITIONS: '8' })
    await eventually(async () => {
      const other = startAnalyzer({ REDIS_URL: redis.url, PARTITIONS: '9' })
      await expect(other).rejects.toThrow(OTHER_PARTITION_COUNT)
    })
    await using _same = await startAnalyzer({ REDIS_URL: redis.url })
  })
})

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN
}
