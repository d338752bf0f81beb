import { pause } from '@tidemark/shared/runtime/lifecycle'
import { startRedisProcess } from '@tidemark/testkit/redis-process'
import { Failure } from '../lib/options.ts'
import { findServer } from '../stack/redis.ts'
import { startAnalyzer, startGateway } from '../stack/service-process.ts'
import type { Target } from './prometheus.ts'

/** The durability of production: append-only file, fsync every second. */
const REDIS_ARGS = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec']

const READY_DEADLINE_MS = 60_000
const READY_POLL_MS = 50

/** Starts a temporary gateway, analyzers and a Redis for a load; `targets` are their metrics. */
export async function startStack(analyzers: number) {
  const program = findServer()
  if (program === undefined) {
    throw new Failure('neither redis-server nor valkey-server is on PATH. Install it: apt-get install redis-server')
  }
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedisProcess(program, REDIS_ARGS))
  const env = { REDIS_URL: redis.url, METRICS_HOST: '127.0.0.1' }
  const targets: Target[] = []
  const add = (job: string, instance: string, port: number) =>
    targets.push({ job, instance, address: `127.0.0.1:${port}` })
  for (let i = 1; i <= analyzers; i++) {
    const { metricsPort } = starting.use(await startAnalyzer(env))
    add('analyzer', `analyzer ${i}`, metricsPort)
  }
  const gateway = starting.use(await startGateway(env))
  add('gateway', 'gateway', gateway.metricsPort)
  const url = `http://127.0.0.1:${gateway.port}`
  // The gateway listens before it is connected to its store.
  const deadline = performance.now() + READY_DEADLINE_MS
  for (let state = await readiness(url); state !== 'ready'; state = await readiness(url)) {
    if (performance.now() > deadline) throw new Failure(`the gateway is not ready: ${state} at ${url}`)
    await pause(READY_POLL_MS)
  }
  const resources = starting.move()
  return { url, analyzers, targets, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

/** Returns "ready", or why a gateway is not. */
export async function readiness(url: string): Promise<string> {
  const response = await fetch(new URL('/readyz', url)).catch(() => undefined)
  await response?.body?.cancel()
  if (response === undefined) return 'no gateway responds'
  return response.ok ? 'ready' : `/readyz returns ${response.status}`
}
