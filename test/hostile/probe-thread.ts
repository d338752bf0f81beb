import { Agent, request } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'

/** What the healthy clients measured during an attack. */
export interface ProbeFigures {
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Unexpected responses and broken connections, as text. */
  readonly failures: readonly string[]
  /** The maximum delay of the probe's own timers, which is due to the machine. */
  readonly ownLagMaxMs: number
}

/** Pause between two requests of a healthy client. Three clients send about 100 requests/s. */
const INTERVAL_MS = 25

/** Only ends a hang: how long requests may take is a bound of the attacks. */
const TIMEOUT_MS = 45_000

/** The requests of the healthy clients, with the status that each must get. */
const REQUESTS = [
  { method: 'POST', path: '/ingest', body: '{"key":"healthy","value":1}', status: 202 },
  { method: 'GET', path: '/analyze?key=healthy', body: '', status: 200 },
  { method: 'GET', path: '/livez', body: '', status: 200 },
] as const

const { port } = workerData as { port: number }
const agent = new Agent({ keepAlive: true })
let latencies: number[] = []
let failures: string[] = []
let ownLagMaxMs = 0

function send({ method, path, body, status }: (typeof REQUESTS)[number]): Promise<void> {
  const begin = performance.now()
  return new Promise(resolve => {
    const done = (failure?: string): void => {
      latencies.push(performance.now() - begin)
      if (failure !== undefined) failures.push(`${method} ${path}: ${failure}`)
      resolve()
    }
    const sent = request({ host: '127.0.0.1', port, method, path, agent, timeout: TIMEOUT_MS }, response => {
      response.resume()
      response.on('end', () => done(response.statusCode === status ? undefined : `${response.statusCode}`))
    })
    sent.on('timeout', () => sent.destroy(new Error(`no response within ${TIMEOUT_MS} ms`)))
    sent.on('error', error => {
      // The gateway closes a connection after 1,000 requests, so a request may have to be retried.
      if (sent.reusedSocket && 'code' in error && error.code === 'ECONNRESET') void send(REQUESTS[2]).then(() => done())
      else done(error.message)
    })
    sent.end(body)
  })
}

/** The current request of each healthy client, by path. */
const inFlight = new Map<string, Promise<void>>()

async function repeat(item: (typeof REQUESTS)[number]): Promise<never> {
  for (;;) {
    const completed = send(item)
    inFlight.set(item.path, completed)
    await completed
    await new Promise(resolve => setTimeout(resolve, INTERVAL_MS))
  }
}

for (const item of REQUESTS) void repeat(item)

let lastTick = performance.now()
setInterval(() => {
  const now = performance.now()
  ownLagMaxMs = Math.max(ownLagMaxMs, now - lastTick - 10)
  lastTick = now
}, 10)

async function report(): Promise<void> {
  // Current requests may be the slowest ones, so wait for them.
  await Promise.all(inFlight.values())
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

parentPort?.on('message', () => void report())
