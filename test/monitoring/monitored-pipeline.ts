import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '@tidemark/testkit/redis-fixture'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { compressedAlertmanager, compressedPrometheus, compressedRules } from './compressed.ts'
import { startAlertmanager, startCanary, startPrometheus, startRedisExporter } from './programs.ts'
import { shortened } from './promql.ts'
import { type SignalLoad, startLoad } from './signal-load.ts'
import { startWebhook, type Webhook } from './webhook.ts'

/**
 * Times are divided by a factor. By 30 half an hour takes a minute: a scrape takes half a second,
 * five minutes take ten seconds. A machine on which the pipeline takes longer to start than
 * `START_MS` gets more time.
 */
const FACTOR_MAX = 30
const FACTOR_MIN = 5
const START_MS = 8000

/** Two gateways, two analyzers and a Redis under load, monitored as the project configures it. */
export interface MonitoredPipeline extends AsyncDisposable {
  /** By which all times of the configuration are divided. */
  readonly factor: number
  readonly gateways: readonly Service[]
  readonly analyzers: readonly Service[]
  readonly load: SignalLoad
  /** Receives Alertmanager's notifications. */
  readonly webhook: Webhook
  /** Calls Prometheus' API, by the path after /api/v1/. */
  query<T>(path: string): Promise<T>
  /** Whether an expression returns a number other than NaN. */
  hasData(expr: string): Promise<boolean>
}

/** Starts the pipeline with all times of the configuration divided by a factor. */
export async function startMonitoredPipeline(): Promise<MonitoredPipeline> {
  const begin = performance.now()
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedis({ args: ['--maxmemory', '256mb', '--maxmemory-policy', 'noeviction'] }))
  const env = { REDIS_URL: redis.url }
  const gateways = [starting.use(await startGateway(env)), starting.use(await startGateway(env))]
  const analyzers = [starting.use(await startAnalyzer(env)), starting.use(await startAnalyzer(env))]
  const exporter = starting.use(await startRedisExporter(redis.url))
  const canary = starting.use(await startCanary(`http://127.0.0.1:${gateways[0]?.port}`))
  const webhook = starting.use(await startWebhook())
  const factor = factorFor(performance.now() - begin)
  const alertmanager = starting.use(await startAlertmanager(compressedAlertmanager(webhook.url, factor)))

  const rulesFolder = await mkdtemp(join(tmpdir(), 'tidemark-rules-'))
  starting.defer(() => rm(rulesFolder, { recursive: true }))
  for (const { name, text } of compressedRules(factor)) await writeFile(join(rulesFolder, name), text)
  const targets = {
    gateway: gateways.map(metricsAddress),
    analyzer: analyzers.map(metricsAddress),
    'redis-exporter': [exporter.address],
    canary: [canary.address],
  }
  const config = compressedPrometheus({ targets, alertmanager: alertmanager.address, rulesFolder }, factor)
  const prometheus = starting.use(
    await startPrometheus(config, [
      `--query.lookback-delta=${shortened('5m', factor)}`,
      '--enable-feature=exemplar-storage',
    ]),
  )
  const load = starting.use(startLoad(gateways.map(({ port }) => port)))

  async function query<T>(path: string): Promise<T> {
    const response = await fetch(`http://${prometheus.address}/api/v1/${path}`)
    const { status, error, data } = (await response.json()) as { status: string; error?: string; data: T }
    if (status !== 'success') throw new Error(`Prometheus does not respond to ${path}: ${error}`)
    return data
  }
  const resources = starting.move()
  return {
    factor,
    gateways,
    analyzers,
    load,
    webhook,
    query,
    async hasData(expr) {
      const search = new URLSearchParams({ query: expr })
      const { result } = await query<{ result: { value: [number, string] }[] }>(`query?${search}`)
      return result.some(({ value: [, text] }) => text !== 'NaN')
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

function factorFor(startedInMs: number): number {
  return Math.min(FACTOR_MAX, Math.max(FACTOR_MIN, Math.floor((FACTOR_MAX * START_MS) / startedInMs)))
}

/** Returns the address of a service's metrics, which is also its label `instance`. */
export function metricsAddress({ metricsPort }: Service): string {
  return `127.0.0.1:${metricsPort}`
}
