import { Agent, request } from 'node:http'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { expect, test } from 'vitest'
import { start } from '../support/server.ts'

/** Two clients without API keys: both addresses are of the loopback interface. */
const NOISY = '127.0.0.1'
const QUIET = '127.0.0.2'

const QUEUE_SAMPLES = 500
const NOISY_BATCH = 50
const NOISY_CONNECTIONS = 40
const QUIET_REQUESTS = 60

/** How long the store takes for a flush, whatever is in it. */
const STORE_MS = 20

interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly ms: number
}

function post(port: number, localAddress: string, agent: Agent, body: string): Promise<Answer> {
  const beginMs = performance.now()
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, path: '/ingest', method: 'POST', agent, localAddress },
      async incoming => {
        await incoming.toArray()
        const { statusCode: status = 0, headers } = incoming
        resolve({ status, retryAfter: headers['retry-after'], ms: performance.now() - beginMs })
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0
}

test('a client that sends 100 times as much as another fills the queue, and all samples of the other are accepted', async () => {
  const store = createMemoryStore()
  const { append } = store.gateway
  const flushes: number[] = []
  const slow: typeof append = async batches => {
    const beginMs = performance.now()
    await pause(STORE_MS)
    flushes.push(performance.now() - beginMs)
    return append(batches)
  }
  const settings = { QUEUE_SAMPLES_MAX: String(QUEUE_SAMPLES), REQUESTS_PER_CONNECTION_MAX: '0' }
  const { port } = await start(settings, async () => ({ ...store, gateway: { ...store.gateway, append: slow } }))
  await expect.poll(async () => (await post(port, QUIET, new Agent(), '{"key":"warm","value":1}')).status).toBe(202)

  const batch = JSON.stringify(Array.from({ length: NOISY_BATCH }, (_, i) => ({ key: `noisy/${i}`, value: i })))
  const noisy: Answer[] = []
  const quiet: Answer[] = []
  let isOver = false
  const hammer = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (!isOver) noisy.push(await post(port, NOISY, agent, batch))
    agent.destroy()
  }
  const hammers = Array.from({ length: NOISY_CONNECTIONS }, hammer)
  await expect.poll(() => noisy.some(({ status }) => status === 503)).toBe(true)

  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const noisyBefore = noisy.length
  while (quiet.length < QUIET_REQUESTS) {
    quiet.push(await post(port, QUIET, agent, `{"key":"quiet","value":${quiet.length}}`))
  }
  const noisySamples = (noisy.length - noisyBefore) * NOISY_BATCH
  isOver = true
  await Promise.all(hammers)
  agent.destroy()

  expect(noisySamples).toBeGreaterThan(100 * QUIET_REQUESTS)
  expect(quiet.map(({ status }) => status)).toEqual(Array(QUIET_REQUESTS).fill(202))
  // It waits for the flush before its own, and for its own. On a slow machine these take longer.
  expect(median(quiet.map(({ ms }) => ms))).toBeLessThan(20 * median(flushes))
  const refused = noisy.filter(({ status }) => status !== 202)
  expect(refused.length).toBeGreaterThan(0)
  for (const { status, retryAfter } of refused)
    expect([status, retryAfter]).toEqual([503, expect.stringMatching(/^[12]$/)])
  expect(noisy.filter(({ status }) => status === 202).length).toBeGreaterThan(0)
})
