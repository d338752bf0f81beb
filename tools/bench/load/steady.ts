import { Pool } from 'undici'
import { cycleBody } from '../signal.ts'

/**
 * Sends samples at a steady rate, 1,000 per request. They cycle through the keys, with later
 * timestamps in each cycle. Takes a port, seconds, samples/s, keys, and the cycles before.
 */
const [port = '', seconds = '', rate = '', keys = '', cycle = ''] = process.argv.slice(2)
const SAMPLES = 1000
const CONNECTIONS = 8
const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS, pipelining: 1 })
const headers = { 'content-type': 'application/json' }
const begin = performance.now()
const end = begin + 1000 * Number(seconds)
const everyMs = (1000 * SAMPLES) / Number(rate)
let sent = 0
let accepted = 0
let failed = 0

async function connection(): Promise<void> {
  for (;;) {
    const number = sent++
    const wait = begin + number * everyMs - performance.now()
    if (performance.now() + Math.max(0, wait) >= end) return
    const body = cycleBody({ first: number * SAMPLES, samples: SAMPLES, keys: Number(keys), cycle: Number(cycle) })
    if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait))
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
