import autocannon from 'autocannon'
import { requestBody } from '../signal.ts'

/** One sample a request over 64 connections, as fast as they are answered. Takes a port and seconds; prints what it saw. */
const [port, seconds] = process.argv.slice(2)
const requests = Array.from({ length: 500 }, (_, seed) => ({
  method: 'POST' as const,
  path: '/ingest',
  headers: { 'content-type': 'application/json' },
  body: requestBody({ samples: 1, keys: 10_000, seed }),
}))
const result = await autocannon({
  url: `http://127.0.0.1:${port}`,
  connections: 64,
  duration: Number(seconds),
  requests,
})
const { non2xx, errors, requests: answered, latency } = result
process.stdout.write(
  `${JSON.stringify({ requests: answered.total, perSecond: answered.average, failed: non2xx + errors, p50Ms: latency.p50, p99Ms: latency.p99 })}\n`,
)
