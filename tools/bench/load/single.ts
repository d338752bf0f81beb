import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import autocannon from 'autocannon'
import { temporaryFolder } from '../../lib/project.ts'
import { requestBody } from '../signal.ts'

/** Sends one sample per request, by wrk or autocannon. Takes which, a port, seconds, an API key. */
const [generator, port, seconds = '', token] = process.argv.slice(2)
const CONNECTIONS = 64
/** Of wrk, whose 2 s are too short on a busy machine. */
const TIMEOUT = '60s'
const url = `http://127.0.0.1:${port}`
const bodies = Array.from({ length: 500 }, (_, seed) => requestBody({ samples: 1, keys: 10_000, seed }))
process.stdout.write(`${generator === 'wrk' ? await runWrk() : await runAutocannon()}\n`)

/** The script prints the figures as JSON, which follow the summary of wrk. */
async function runWrk(): Promise<string> {
  await using folder = await temporaryFolder('wrk')
  const file = join(folder.path, 'bodies')
  await writeFile(file, bodies.map(body => `${body}\n`).join(''))
  const script = fileURLToPath(new URL('./single.lua', import.meta.url))
  const options = ['--threads', '1', '--connections', String(CONNECTIONS), '--duration', seconds]
  const args = [
    ...options,
    '--timeout',
    TIMEOUT,
    '--script',
    script,
    url,
    '--',
    file,
    ...(token === undefined ? [] : [token]),
  ]
  const { stdout } = await promisify(execFile)('wrk', args)
  const figures = stdout.split('\n').find(line => line.startsWith('{'))
  if (figures === undefined) throw new Error(`wrk printed no figures:\n${stdout}`)
  return figures
}

async function runAutocannon(): Promise<string> {
  const credentials = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const headers = { 'content-type': 'application/json', ...credentials }
  const requests = bodies.map(body => ({ method: 'POST' as const, path: '/ingest', headers, body }))
  const options = { url, connections: CONNECTIONS, duration: Number(seconds), requests }
  const { requests: sent, non2xx, errors } = await autocannon(options)
  return JSON.stringify({ accepted: sent.total - non2xx, failed: non2xx + errors, perSecond: sent.average })
}
