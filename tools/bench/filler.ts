import { pause } from '@tidemark/shared/runtime/lifecycle'
import { Pool } from 'undici'
import { cycleBody, HISTORY_SAMPLES, historyBody } from './signal.ts'
import { type BenchRedis, drained, progressOf, startMeasuredAnalyzer, startMeasuredGateway } from './stack.ts'

/** Samples per request. An entry has a sixteenth of them. */
export const REQUEST_SAMPLES = 1000

const HISTORY_KEYS = REQUEST_SAMPLES / HISTORY_SAMPLES

/** Concurrent requests of the history. Those of a backlog follow each other, as its samples do. */
const CONNECTIONS = 4

/** Unprocessed samples while a history is analysed: more would only need memory. */
const HISTORY_BACKLOG_MAX = 2_000_000

const RETRY_MS = 100

export interface Filler extends AsyncDisposable {
  /** Has the history of each key analysed, by an analyzer that stops then. */
  history(keys: number): Promise<void>
  /** Sends samples that cycle through the keys, after those sent before. */
  backlog(samples: number, keys: number): Promise<void>
}

/**
 * Starts a gateway of the subject and fills Redis through it: what that and its analyzers store has
 * the format of their version, whichever that is.
 */
export async function openFiller(redis: BenchRedis): Promise<Filler> {
  await using starting = new AsyncDisposableStack()
  // These services are not measured, and write no CPU profiles.
  const { NODE_OPTIONS: _, ...settings } = redis.subject.settings
  const unmeasured = { ...redis, subject: { ...redis.subject, settings } }
  const gateway = starting.use(await startMeasuredGateway(unmeasured))
  const pool = new Pool(`http://127.0.0.1:${gateway.port}`, { connections: CONNECTIONS, pipelining: 1 })
  starting.defer(() => pool.close())
  const resources = starting.move()
  let cycles = 0
  return {
    async history(keys) {
      await using _analyzer = await startMeasuredAnalyzer(unmeasured)
      let next = 0
      async function send(): Promise<void> {
        while (next < keys) {
          const first = next
          next += HISTORY_KEYS
          await post(pool, historyBody(first, Math.min(next, keys)))
          // Not after each request, which would slow them.
          while (first % (100 * HISTORY_KEYS) === 0 && (await progressOf(redis)).backlog > HISTORY_BACKLOG_MAX) {
            await pause(RETRY_MS)
          }
        }
      }
      await Promise.all(Array.from({ length: CONNECTIONS }, send))
      await drained(redis)
    },
    async backlog(samples, keys) {
      let sent = Promise.resolve()
      const cycle = cycles
      cycles += Math.ceil(samples / keys)
      for (let first = 0; first < samples; first += REQUEST_SAMPLES) {
        // The next body is made while the last one is stored.
        const body = cycleBody({ first, samples: Math.min(REQUEST_SAMPLES, samples - first), keys, cycle })
        await sent
        sent = post(pool, body)
        sent.catch(() => {})
      }
      await sent
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Sends samples again while the gateway cannot store them, of which it then stored none. */
async function post(pool: Pool, body: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  for (;;) {
    const response = await pool.request({ path: '/ingest', method: 'POST', headers, body })
    const text = await response.body.text()
    if (response.statusCode === 202) return
    if (response.statusCode !== 503) throw new Error(`the samples were not stored: ${response.statusCode} ${text}`)
    await pause(RETRY_MS)
  }
}
