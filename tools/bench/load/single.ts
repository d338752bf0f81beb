import autocannon from 'autocannon'
import { requestBody } from '../signal.ts'

/** Sends one sample per request over 64 connections. Takes a port and seconds. */
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
const { non2xx, errors, latency } = result
const figures = {
  requests: result.requests.total,
  perSecond: result.requests.average,
  failed: non2xx + errors,
  p50Ms: latency.p50,
  p99Ms: latency.p99,
}
process.stdout.write(`${JSON.stringify(figures)}\n`)
