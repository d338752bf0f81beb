import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { Client } from '@tidemark/tools/stack/client'
import { startGateway } from '@tidemark/tools/stack/service-process'
import { beforeAll, describe, expect, test } from 'vitest'

/** What a client got within some seconds, and how long that took. */
interface Sent {
  readonly statuses: number[]
  /** From the first response to the last request; from the first request to the last response. */
  readonly leastS: number
  readonly mostS: number
}

/** Sends without a pause to all gateways, over `concurrent` connections each. */
async function flood(clients: readonly Client[], concurrent: number, forMs: number, body: string): Promise<Sent> {
  const statuses: number[] = []
  const begin = performance.now()
  let firstResponse = 0
  let lastRequest = 0
  async function send(client: Client): Promise<void> {
    while (performance.now() - begin < forMs) {
      lastRequest = performance.now()
      const response = await client.post(body)
      await response.text()
      if (statuses.length === 0) firstResponse = performance.now()
      statuses.push(response.status)
      if (response.status === 429) expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    }
  }
  await Promise.all(clients.flatMap(client => Array.from({ length: concurrent }, () => send(client))))
  return { statuses, leastS: (lastRequest - firstResponse) / 1000, mostS: (performance.now() - begin) / 1000 }
}

/** Only clients that send much more than their limit use all of it. */
const SENT_PER_LIMIT = 5

describe.runIf(await redisAvailable())('the limit of a client over two gateways', () => {
  let requestsPerS: number
  beforeAll(async () => {
    await using redis = await startRedis()
    await using gateway = await startGateway({ REDIS_URL: redis.url, REQUESTS_PER_CONNECTION_MAX: '0' })
    const client = new Client(gateway.port)
    await eventually(async () => expect((await client.post('{"key":"a","value":1}')).status).toBe(202))
    const { statuses, mostS } = await flood([client], 3, 2000, '{"key":"a","value":1}')
    requestsPerS = statuses.length / mostS
  })

  // A slow machine gets lower limits, which its clients can exceed.
  test.each([
    ['100 requests a second', 'REQUESTS_PER_S_MAX', 1, 100, 1],
    ['1 request a second', 'REQUESTS_PER_S_MAX', 1, 1, 1],
    ['490 samples a second, and 980 at once', 'SAMPLES_PER_S_MAX', 7, 490, 2],
  ])('is exact: %s', async (_, setting, samples, perSMax, burstS) => {
    const perS = Math.min(perSMax, samples * Math.max(1, Math.floor(requestsPerS / SENT_PER_LIMIT)))
    const burst = perS * burstS
    await using redis = await startRedis()
    const limits = { [setting]: String(perS), RATE_BURST_S: String(burstS) }
    const env = { REDIS_URL: redis.url, REQUESTS_PER_CONNECTION_MAX: '0', ...limits }
    await using one = await startGateway(env)
    await using two = await startGateway(env)
    const clients = [new Client(one.port), new Client(two.port)]
    for (const client of clients) await eventually(async () => expect((await client.get('/readyz')).status).toBe(200))

    const body = JSON.stringify(Array.from({ length: samples }, (_, i) => ({ key: `k${i}`, value: 1 })))
    const { statuses, leastS, mostS } = await flood(clients, 3, 5000, body)
    expect(new Set(statuses)).toEqual(new Set([202, 429]))
    const admitted = statuses.filter(status => status === 202).length * samples
    // No more than allowed, and no less but for what was not asked for at the right moment.
    expect(admitted).toBeLessThanOrEqual(burst + perS * mostS)
    expect(admitted).toBeGreaterThanOrEqual(Math.floor((burst + perS * leastS) * 0.95) - samples)
  })

  test('holds while Redis is unavailable, with 429 and 503 but no other failure', async () => {
    const redis = await startRedis()
    const env = { REDIS_URL: redis.url, REQUESTS_PER_S_MAX: '20', STORE_TIMEOUT_MS: '500' }
    await using gateway = await startGateway(env)
    const client = new Client(gateway.port)
    await eventually(async () => expect((await client.post('{"key":"a","value":1}')).status).toBe(202))
    await redis[Symbol.asyncDispose]()
    const { statuses, mostS } = await flood([client], 2, 3000, '{"key":"a","value":1}')
    const admitted = statuses.filter(status => status !== 429)
    expect(new Set(admitted)).toEqual(new Set([503]))
    expect(admitted.length).toBeLessThanOrEqual(20 + 20 * mostS)
    expect(statuses.filter(status => status === 429).length).toBeGreaterThan(0)
  })
})
