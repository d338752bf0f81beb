import { pause } from '@tidemark/shared/runtime/lifecycle'
import { startRedis } from '@tidemark/testkit/redis-fixture'
import { Client } from '@tidemark/tools/stack/client'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { expect, vi } from 'vitest'
import { watchContention } from './contention.ts'
import { MemoryWatch, residentBytes } from './memory.ts'
import { Probe } from './probe.ts'
import type { Figure, Report } from './report.ts'

const MIB = 1024 * 1024

/** Shorter than in production, so that the time-outs can be waited for. */
export const SETTINGS = {
  HEADERS_TIMEOUT_MS: 2000,
  REQUEST_TIMEOUT_MS: 3000,
  STORE_TIMEOUT_MS: 1000,
  ANALYZE_WAIT_MAX_MS: 1000,
  BODIES_BYTES_MAX: 32 * MIB,
} as const

/** Time-outs are looked at once a second; the rest is what two busy cores may need for it. */
export const TIMEOUT_SLACK_MS = 2500

/** As in a container of 512 MiB: the heap's limit is what ends the process when garbage is none. */
const HEAP_MIB_MAX = 224

/** What the gateway may take: the heap, the bodies that it may hold at one time (twice, for their text), and node itself. */
const RESIDENT_BYTES_MAX = (HEAP_MIB_MAX + 128) * MIB + 2 * SETTINGS.BODIES_BYTES_MAX

/**
 * How long a healthy client may wait while an attack goes on; without one it is 1 ms. The event loop must not be blocked for
 * much more than 200 ms: that is what 2,000 connections that are cut off in one turn take. On two cores the attackers, the
 * probe, Redis, the analyzer and whatever else this computer does run beside the gateway, so the longest wait has room, both
 * are multiplied by how much the gateway was slowed down (contention.ts), and what the probe's own timers were late is added.
 * Of few requests the 99th percentile is the longest.
 */
const P99_MS_MAX = 250
const LONGEST_MS_MAX = 600
const P99_REQUESTS_MIN = 200

/** Connections, other than the healthy ones, must be gone so soon after an attack. */
const RELEASED_WITHIN_MS = 5000

/** A gateway and an analyzer on a Redis of their own, with healthy clients that never stop. */
export interface Target extends AsyncDisposable {
  readonly port: number
  readonly client: Client
  /** All lines that the two services ever wrote. */
  readonly lines: readonly string[]
  /** Runs an attack, and then checks what must hold after each: the gateway lives, and healthy clients noticed nothing. */
  attack(name: string, run: () => Promise<Readonly<Record<string, unknown>>>): Promise<void>
  /** A page of /metrics. */
  scrape(): Promise<string>
  /** Whether all connections of attackers are closed, seen from the gateway: a client that does not read would not notice. */
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
  const client = new Client(gateway.port)
  const scrape = async (): Promise<string> => (await client.get('/metrics')).text()
  const sockets = async (): Promise<number> => {
    const found = /^nodejs_active_resources\{type="TCPSocketWrap"\} (\d+)$/m.exec(await scrape())
    return Number(found?.[1] ?? 0)
  }

  await client.ingest({ key: 'healthy', value: 1 })
  await vi.waitFor(async () => expect((await client.analysis('healthy')).count).toBe(1), { timeout: 10_000 })
  const probe = starting.use(new Probe(gateway.port))
  // What is compiled and cached once is no harm done by an attacker.
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
      const slowedBy = await watchContention(gateway.pid)
      const begin = performance.now()
      const notes = await run()
      const seconds = Math.round((performance.now() - begin) / 100) / 10

      const { requests, p50Ms, p99Ms, maxMs, failures, ownLagMaxMs } = await probe.figures()
      const peak = await memory.peak()
      const slowed = await slowedBy()
      const boundOf = (ms: number): number => Math.round(ms * slowed + ownLagMaxMs)
      const released = await settles(isAlone)
      const memoryPeak: Figure = {
        what: 'memory',
        measured: Math.round(peak / MIB),
        bound: RESIDENT_BYTES_MAX / MIB,
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
      expect([released, 'connections are released']).toEqual([true, 'connections are released'])
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function settles(holds: () => Promise<boolean>): Promise<boolean> {
  for (const deadline = performance.now() + RELEASED_WITHIN_MS; performance.now() < deadline; await pause(100)) {
    if (await holds()) return true
  }
  return holds()
}
