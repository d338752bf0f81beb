import { Agent, request } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'

/** What the healthy clients met while something went on. */
export interface ProbeFigures {
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Answers that a healthy client must not get, and connections that broke, in words. */
  readonly failures: readonly string[]
  /** How long this computer kept the probe itself waiting at most: its own timers came so much too late. */
  readonly ownLagMaxMs: number
}

/** Between two requests of a healthy client. Three of them make about 100 requests a second. */
const INTERVAL_MS = 25

/** A client that got no answer for so long has failed. */
const PATIENCE_MS = 5000

/** What healthy clients ask, and the answer that each must get. */
const ASKED = [
  { method: 'POST', path: '/ingest', body: '{"key":"healthy","value":1}', status: 202 },
  { method: 'GET', path: '/analyze?key=healthy', body: '', status: 200 },
  { method: 'GET', path: '/livez', body: '', status: 200 },
] as const

const { port } = workerData as { port: number }
const agent = new Agent({ keepAlive: true })
let latencies: number[] = []
let failures: string[] = []
let ownLagMaxMs = 0

function ask({ method, path, body, status }: (typeof ASKED)[number]): Promise<void> {
  const begin = performance.now()
  return new Promise(resolve => {
    const done = (failure?: string): void => {
      latencies.push(performance.now() - begin)
      if (failure !== undefined) failures.push(`${method} ${path}: ${failure}`)
      resolve()
    }
    const sent = request({ host: '127.0.0.1', port, method, path, agent, timeout: PATIENCE_MS }, answer => {
      answer.resume()
      answer.on('end', () => done(answer.statusCode === status ? undefined : `${answer.statusCode}`))
    })
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)))
    sent.on('error', error => {
      // The gateway closes a connection after its thousandth request; one that was just being used is tried anew.
      if (sent.reusedSocket && 'code' in error && error.code === 'ECONNRESET') void ask(ASKED[2]).then(() => done())
      else done(error.message)
    })
    sent.end(body)
  })
}

/** Of each healthy client the request that is under way. */
const underWay = new Map<string, Promise<void>>()

async function repeat(asked: (typeof ASKED)[number]): Promise<never> {
  for (;;) {
    const answered = ask(asked)
    underWay.set(asked.path, answered)
    await answered
    await new Promise(resolve => setTimeout(resolve, INTERVAL_MS))
  }
}

for (const asked of ASKED) void repeat(asked)

let lastTick = performance.now()
setInterval(() => {
  const now = performance.now()
  ownLagMaxMs = Math.max(ownLagMaxMs, now - lastTick - 10)
  lastTick = now
}, 10)

async function tell(): Promise<void> {
  // Those that wait just now are the ones that wait for longest.
  await Promise.all(underWay.values())
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  const figures: ProbeFigures = {
    requests: sorted.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
    failures: failures.slice(0, 10),
    ownLagMaxMs,
  }
  latencies = []
  failures = []
  ownLagMaxMs = 0
  parentPort?.postMessage(figures)
}

parentPort?.on('message', () => void tell())
