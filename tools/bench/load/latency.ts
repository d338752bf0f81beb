import { Pool } from 'undici'
import { requestBody } from '../signal.ts'

/**
 * Sends requests at a steady rate: of ten requests, nine ingest a sample, and one reads the verdict
 * on the last of these. Takes a port, seconds and requests/s. Prints the latency from a sample's
 * 202 to its verdict, which is one request longer than the latency from accepted to readable.
 */
const [port = '', seconds = '', rate = ''] = process.argv.slice(2)
/** Does not count: this program is compiled, and at 5,000 requests/s it catches up for seconds. */
const WARM_UP_MS = 5000
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 64, pipelining: 1 })
const headers = { 'content-type': 'application/json' }
const count = (WARM_UP_MS / 1000 + Number(seconds)) * Number(rate)
const everyMs = 1000 / Number(rate)
const latencies: number[] = []
let failed = 0

async function send(number: number, readsVerdict: boolean): Promise<void> {
  const body = requestBody({ samples: 1, keys: 1000, seed: number })
  const isWarm = performance.now() - begin >= WARM_UP_MS
  const response = await pool.request({ path: '/ingest', method: 'POST', headers, body })
  const { receipts } = (await response.body.json()) as { receipts?: string[] }
  const acceptedAt = performance.now()
  if (response.statusCode !== 202) {
    failed++
    return
  }
  if (!readsVerdict) return
  const { key } = JSON.parse(body) as { key: string }
  const query = new URLSearchParams({ key, after: receipts?.[0] ?? '' })
  const verdict = await pool.request({ path: `/analyze?${query}`, method: 'GET' })
  const { state } = (await verdict.body.json()) as { state?: string }
  if (verdict.statusCode !== 200 || state === undefined) failed++
  else if (isWarm) latencies.push(performance.now() - acceptedAt)
}

const begin = performance.now()
const pending: Promise<void>[] = []
for (let number = 0; number < count; number++) {
  const wait = begin + number * everyMs - performance.now()
  if (wait > 1) await new Promise(resolve => setTimeout(resolve, wait))
  // The tenth request is the read of the ninth sample's verdict.
  if (number % 10 === 9) continue
  pending.push(
    send(number, number % 10 === 8).catch(() => {
      failed++
    }),
  )
}
await Promise.all(pending)
await pool.close()

const sorted = latencies.toSorted((a, b) => a - b)
function quantile(share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}
process.stdout.write(`${JSON.stringify({ failed, p50Ms: quantile(0.5), p99Ms: quantile(0.99) })}\n`)
