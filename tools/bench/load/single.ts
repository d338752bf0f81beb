import autocannon from 'autocannon'
import { requestBody } from '../signal.ts'

/** Sends one sample per request over 64 connections. Takes a port, seconds and maybe an API key. */
const [port, seconds, token] = process.argv.slice(2)
const credentials = token === undefined ? {} : { authorization: `Bearer ${token}` }
const requests = Array.from({ length: 500 }, (_, seed) => ({
  method: 'POST' as const,
  path: '/ingest',
  headers: { 'content-type': 'application/json', ...credentials },
  body: requestBody({ samples: 1, keys: 10_000, seed }),
}))
const url = `http://127.0.0.1:${port}`
const {
  requests: sent,
  non2xx,
  errors,
} = await autocannon({ url, connections: 64, duration: Number(seconds), requests })
const figures = { accepted: sent.total - non2xx, failed: non2xx + errors, perSecond: sent.average }
process.stdout.write(`${JSON.stringify(figures)}\n`)
