import { Pool } from 'undici'
import { requestBody } from '../signal.ts'

/**
 * Nine requests with a sample to one question for the verdict on a sample that has just been accepted, at a steady rate. Takes a
 * port, seconds and requests a second; prints the delay from a sample's 202 to the verdict in hand, which is the way of a whole
 * request longer than from accepted to readable.
 *
 * One second more comes first and does not count: this very program opens its connections then, and its code is compiled. At 5,000
 * requests/s that alone holds requests up for 50 ms, which is more than one in a hundred of some seconds' requests.
 */
const [port = '', seconds = '', rate = ''] = process.argv.slice(2)
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 64, pipelining: 1 })
const headers = { 'content-type': 'application/json' }
const WARM_UP_MS = 1000
const count = (WARM_UP_MS / 1000 + Number(seconds)) * Number(rate)
const everyMs = 1000 / Number(rate)
const delays: number[] = []
const posts: number[] = []
let failed = 0

async function ask(number: number, followed: boolean): Promise<void> {
  const body = requestBody({ samples: 1, keys: 1000, seed: number })
  const sentAt = performance.now()
  const answer = await pool.request({ path: '/ingest', method: 'POST', headers, body })
  const answered = (await answer.body.json()) as { receipts?: string[] }
  const acceptedAt = performance.now()
  const counts = sentAt - begin >= WARM_UP_MS
  if (counts) posts.push(acceptedAt - sentAt)
  if (answer.statusCode !== 202) {
    failed++
    return
  }
  if (!followed) return
  const { key } = JSON.parse(body) as { key: string }
  const query = new URLSearchParams({ key, after: answered.receipts?.[0] ?? '' })
  const verdict = await pool.request({ path: `/analyze?${query}`, method: 'GET' })
  const { state } = (await verdict.body.json()) as { state?: string }
  if (verdict.statusCode !== 200 || state === undefined) failed++
  else if (counts) delays.push(performance.now() - acceptedAt)
}

const begin = performance.now()
const under: Promise<void>[] = []
// Of ten requests nine bring a sample, and the ninth sample is asked about.
for (let number = 0; number < count; number++) {
  const wait = begin + number * everyMs - performance.now()
  if (wait > 1) await new Promise(resolve => setTimeout(resolve, wait))
  if (number % 10 === 9) continue
  under.push(
    ask(number, number % 10 === 8).catch(() => {
      failed++
    }),
  )
}
await Promise.all(under)
await pool.close()

function at(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}
const [p50Ms, p99Ms] = [at(delays, 0.5), at(delays, 0.99)]
process.stdout.write(
  `${JSON.stringify({ verdicts: delays.length, failed, p50Ms, p99Ms, ingestP50Ms: at(posts, 0.5), ingestP99Ms: at(posts, 0.99) })}\n`,
)
