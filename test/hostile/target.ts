import { pause } from '@tidemark/shared/runtime/lifecycle'
import { eventually } from '@tidemark/testkit/eventually'
import { startRedis } from '@tidemark/testkit/redis-fixture'
import { Client } from '@tidemark/tools/stack/client'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { expect } from 'vitest'
import { CLOSED_WITHIN_MS } from './connection.ts'
import { watchContention } from './contention.ts'
import { MemoryWatch, residentBytes } from './memory.ts'
import { Probe } from './probe.ts'
import type { Figure, Report } from './report.ts'

const MIB = 1024 * 1024

/** Shorter than in production, so that tests can wait for the timeouts. */
export const SETTINGS = {
  HEADERS_TIMEOUT_MS: 2000,
  REQUEST_TIMEOUT_MS: 3000,
  BODIES_BYTES_MAX: 32 * MIB,
} as const

/** As in a container of 512 MiB, whose heap limit ends a leaking process. */
const HEAP_MIB_MAX = 224
const RESIDENT_MIB_MAX = 512

/**
 * Bounds of a healthy client's latency during an attack; without one it is 1 ms. Disconnecting
 * 2,000 clients in one turn blocks the event loop for about 200 ms; a fault blocks it for ten
 * seconds and more. Attackers, probe, Redis and
 * analyzer share two cores with the gateway. So both bounds are multiplied by the gateway's
 * slowdown (contention.ts), and the delay of the probe's own timers is added. With few requests the
 * 99th percentile is the maximum.
 */
const P99_MS_MAX = 500
const LONGEST_MS_MAX = 2000
const P99_REQUESTS_MIN = 200

/** A gateway and an analyzer with their own Redis, and healthy clients that never stop. */
export interface Target extends AsyncDisposable {
  readonly port: number
  readonly client: Client
  /** All log lines of the two services. */
  readonly lines: readonly string[]
  /** Runs an attack, then checks that the gateway runs and healthy clients were not affected. */
  attack(name: string, run: () => Promise<Readonly<Record<string, unknown>>>): Promise<void>
  /** Returns the page of /metrics. */
  scrape(): Promise<string>
  /** Whether the gateway has closed all connections of attackers. */
  isAlone(): Promise<boolean>
}

export async function startTarget(report: Report): Promise<Target> {
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedis())
  const lines: string[] = []
  const keep = (line: string): void => {
    lines.push(line)
  }
  const env = { REDIS_URL: redis.url, LOG_LEVEL: 'debug' }
  const settings = Object.fromEntries(Object.entries(SETTINGS).map(([name, value]) => [name, String(value)]))
  const options = { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB_MAX}` }
  const gateway = starting.use(await startGateway({ ...env, ...settings, ...options }, keep))
  starting.use(await startAnalyzer(env, keep))
  const contention = watchContention(gateway.pid)
  const client = new Client(gateway.port)
  const scrape = async (): Promise<string> => (await client.get('/metrics')).text()
  const sockets = async (): Promise<number> => {
    const found = /^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)$/m.exec(await scrape())
    return Number(found?.[1] ?? 0)
  }

  await client.ingest({ key: 'healthy', value: 1 })
  await eventually(async () => expect((await client.analysis('healthy')).count).toBe(1))
  const probe = starting.use(new Probe(gateway.port))
  // Compilation and caches at startup are not the effect of an attack.
  await pause(1500)
  await probe.figures()
  const memory = starting.use(new MemoryWatch(gateway.pid))
  const restMiB = Math.round((await residentBytes(gateway.pid)) / MIB)
  const socketsAtRest = await sockets()

  const isAlone = async (): Promise<boolean> => (await sockets()) <= socketsAtRest + 1

  const resources = starting.move()
  return {
    port: gateway.port,
    isAlone,
    client,
    lines,
    scrape,
    async attack(name, run) {
      await probe.figures()
      await memory.peak()
      const slowedBy = contention.since()
      const begin = performance.now()
      const notes = await run()
      const seconds = Math.round((performance.now() - begin) / 100) / 10

      const { requests, p50Ms, p99Ms, maxMs, failures, ownLagMaxMs } = await probe.figures()
      const peak = await memory.peak()
      const slowed = slowedBy()
      const boundOf = (ms: number): number => Math.round(ms * slowed + ownLagMaxMs)
      const released = await waitUntil(isAlone)
      const memoryPeak: Figure = {
        what: 'memory',
        measured: Math.round(peak / MIB),
        bound: RESIDENT_MIB_MAX,
        unit: 'MiB',
      }
      const p99: Figure = {
        what: 'healthy p99',
        measured: Math.round(p99Ms),
        bound: boundOf(requests < P99_REQUESTS_MIN ? LONGEST_MS_MAX : P99_MS_MAX),
        unit: 'ms',
      }
      const longest: Figure = {
        what: 'healthy longest',
        measured: Math.round(maxMs),
        bound: boundOf(LONGEST_MS_MAX),
        unit: 'ms',
      }
      const figures = [memoryPeak, p99, longest]
      const rounded = Math.round(slowed * 10) / 10
      const healthy = { requests, p50Ms: Math.round(p50Ms * 10) / 10, probeLateMs: Math.round(ownLagMaxMs) }
      report.add({
        attack: name,
        seconds,
        figures,
        notes: { ...notes, healthy, slowedBy: rounded, memoryAtRestMiB: restMiB },
      })

      expect(await Promise.race([gateway.child.exited, 'running'])).toBe('running')
      expect((await client.get('/readyz')).status).toBe(200)
      expect(failures).toEqual([])
      expect(figures.filter(({ measured, bound }) => measured > bound)).toEqual([])
      expect([released, 'connections are closed']).toEqual([true, 'connections are closed'])
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function waitUntil(holds: () => Promise<boolean>): Promise<boolean> {
  for (const deadline = performance.now() + CLOSED_WITHIN_MS; performance.now() < deadline; await pause(100)) {
    if (await holds()) return true
  }
  return holds()
}
