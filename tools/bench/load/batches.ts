import { Pool } from 'undici'
import { requestBody } from '../signal.ts'

/** Sends 1,000 samples per request, as many as possible. Takes a port and seconds. */
const [port = '', seconds = ''] = process.argv.slice(2)
const SAMPLES = 1000
const CONNECTIONS = 8
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS, pipelining: 1 })
// The bodies are built beforehand, so that sending is cheap.
const bodies = Array.from({ length: 200 }, (_, seed) =>
  Buffer.from(requestBody({ samples: SAMPLES, keys: 10_000, seed })),
)
const headers = { 'content-type': 'application/json' }
const begin = performance.now()
const end = begin + Number(seconds) * 1000
let sent = 0
let accepted = 0
let failed = 0

async function connection(): Promise<void> {
  while (performance.now() < end) {
    const body = bodies[sent++ % bodies.length] ?? ''
    const response = await pool.request({ path: '/ingest', method: 'POST', headers, body })
    await response.body.dump()
    if (response.statusCode === 202) accepted += SAMPLES
    else failed++
  }
}

await Promise.all(Array.from({ length: CONNECTIONS }, connection))
const took = (performance.now() - begin) / 1000
await pool.close()
process.stdout.write(`${JSON.stringify({ accepted, failed, perSecond: accepted / took })}\n`)
