import { Pool } from 'undici'

const CONNECTIONS = 8

/**
 * Sends bodies of so many samples to a gateway over several connections, as fast as it responds and
 * `next` has one; prints as JSON what became of them. `next` resolves with undefined at the end.
 */
export async function sendBodies(
  port: string,
  samples: number,
  next: (number: number) => Promise<string | Buffer | undefined>,
): Promise<void> {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS, pipelining: 1 })
  const headers = { 'content-type': 'application/json' }
  const begin = performance.now()
  let sent = 0
  let accepted = 0
  let failed = 0

  async function connection(): Promise<void> {
    for (;;) {
      const body = await next(sent++)
      if (body === undefined) return
      const response = await pool.request({ path: '/ingest', method: 'POST', headers, body })
      await response.body.dump()
      if (response.statusCode === 202) accepted += samples
      else failed++
    }
  }

  await Promise.all(Array.from({ length: CONNECTIONS }, connection))
  const took = (performance.now() - begin) / 1000
  await pool.close()
  process.stdout.write(`${JSON.stringify({ accepted, failed, perSecond: accepted / took })}\n`)
}
