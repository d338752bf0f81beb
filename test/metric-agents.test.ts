import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as ProtobufExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from '@opentelemetry/sdk-metrics'
import { eventually } from '@tidemark/testkit/eventually'
import { type RedisFixture, redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { freePort } from '@tidemark/testkit/redis-process'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { programsAvailable, startPrometheus } from './monitoring/programs.ts'

interface KeyHistory {
  readonly count: number
  readonly values: readonly number[]
  readonly timestamps: readonly number[]
  /** Of a counter. */
  readonly rates?: readonly (number | null)[]
}

async function historyOf(port: number, key: string): Promise<KeyHistory> {
  const response = await fetch(`http://127.0.0.1:${port}/history?key=${encodeURIComponent(key)}`)
  expect([key, response.status]).toEqual([key, 200])
  return (await response.json()) as KeyHistory
}

/** The rates of a counter that may be reset, but does not wrap, by themselves. */
function oracleRates(points: readonly (readonly [timestamp: number, value: number])[]): (number | null)[] {
  return points.map(([timestamp, value], n) => {
    const [before = 0, last = Number.POSITIVE_INFINITY] = points[n - 1] ?? []
    return value < last ? null : ((value - last) / (timestamp - before)) * 1000
  })
}

/** Stops Redis for a time in which the gateway refuses requests. */
function outageOf(redis: RedisFixture) {
  const begun = redis.stop()
  return { begun, over: begun.then(() => setTimeout(1500)).then(() => redis.start()) }
}

const available = await redisAvailable()

describe.skipIf(!available)('the SDK of OpenTelemetry', () => {
  test.each<[string, (url: string) => PushMetricExporter]>([
    ['JSON', url => new JsonExporter({ url })],
    ['protobuf', url => new ProtobufExporter({ url })],
    ['protobuf with gzip', url => new ProtobufExporter({ url, compression: 'gzip' as never })],
  ])(
    'in %s: every point is analysed once, over a restart of the gateway and an outage of Redis',
    async (_, createExporter) => {
      await using stack = new AsyncDisposableStack()
      const redis = stack.use(await startRedis())
      const REDIS_URL = redis.url
      const PORT = String(await freePort())
      stack.use(await startAnalyzer({ REDIS_URL }))
      let gateway = await startGateway({ REDIS_URL, PORT })
      stack.defer(() => gateway[Symbol.asyncDispose]())
      const exporter = createExporter(`http://127.0.0.1:${PORT}/v1/metrics`)
      /** What the SDK has exported: its points by key. */
      const sent = new Map<string, [timestamp: number, value: number][]>()
      const note = (key: string, timestamp: number, value: number): void => {
        sent.set(key, [...(sent.get(key) ?? []), [timestamp, value]])
      }
      const noting: PushMetricExporter = {
        export(metrics, done) {
          for (const { metrics: all } of metrics.scopeMetrics) {
            for (const { descriptor, dataPoints } of all) {
              for (const { attributes, endTime, value } of dataPoints) {
                const tags = Object.entries({ ...attributes, 'service.name': 'shop' }).toSorted(([a], [b]) =>
                  a < b ? -1 : 1,
                )
                const key = (suffix = ''): string =>
                  `${descriptor.name}${suffix}${tags.map(([name, text]) => `,${name}=${text}`).join('')}`
                const ms = Math.round(endTime[0] * 1000 + endTime[1] / 1e6)
                if (typeof value === 'number') note(key(), ms, value)
                else if ('count' in value) note(key('.count'), ms, value.count)
              }
            }
          }
          exporter.export(metrics, done)
        },
        selectAggregationTemporality: () => AggregationTemporality.CUMULATIVE,
        forceFlush: () => exporter.forceFlush(),
        shutdown: () => exporter.shutdown(),
      }
      const provider = new MeterProvider({
        resource: resourceFromAttributes({ 'service.name': 'shop', 'process.pid': 1 }),
        readers: [new PeriodicExportingMetricReader({ exporter: noting, exportIntervalMillis: 3_600_000 })],
      })
      stack.defer(() => provider.shutdown())
      const meter = provider.getMeter('test')
      const requests = meter.createCounter('requests')
      const level = meter.createUpDownCounter('level')
      const duration = meter.createHistogram('duration')
      const temperature = meter.createGauge('temperature')
      for (let n = 0; n < 24; n++) {
        requests.add(n % 7, { path: '/a' })
        requests.add(3, { path: '/b' })
        level.add(n % 2 === 0 ? 1 : -1)
        duration.record(n / 10)
        temperature.record(20 + n, { room: 'x' })
        // The exporter sends again what is refused meanwhile.
        const outage = n === 17 ? outageOf(redis) : undefined
        await outage?.begun
        await provider.forceFlush()
        await outage?.over
        if (n !== 11) continue
        await gateway[Symbol.asyncDispose]()
        gateway = await startGateway({ REDIS_URL, PORT })
      }
      expect([...sent.keys()].toSorted()).toEqual([
        'duration.count,service.name=shop',
        'level,service.name=shop',
        'requests,path=/a,service.name=shop',
        'requests,path=/b,service.name=shop',
        'temperature,room=x,service.name=shop',
      ])
      for (const [key, points] of sent) {
        const history = await eventually(async () => {
          const found = await historyOf(gateway.port, key)
          expect(found.count).toBe(24)
          return found
        })
        expect(history.timestamps.map((timestamp, n) => [timestamp, history.values[n]])).toEqual(points)
        const isCounter = key.startsWith('requests') || key.startsWith('duration')
        expect([key, history.rates]).toEqual([key, isCounter ? oracleRates(points) : undefined])
      }
      const counts = sent.get('duration.count,service.name=shop') ?? []
      const means = await eventually(async () => {
        const found = await historyOf(gateway.port, 'duration.mean,service.name=shop')
        expect(found.count).toBe(23)
        return found
      })
      expect(means.timestamps).toEqual(counts.slice(1).map(([ms]) => ms))
      for (const [n, mean] of means.values.entries()) expect(mean).toBeCloseTo((n + 1) / 10, 9)
    },
  )
})

const HOSTS = 3

describe.skipIf(!available || !programsAvailable('prometheus'))('Prometheus', () => {
  test('writes every sample once over restarts of the gateway and an outage of Redis, and counters are rates', async () => {
    await using stack = new AsyncDisposableStack()
    const redis = stack.use(await startRedis())
    const REDIS_URL = redis.url
    const PORT = String(await freePort())
    stack.use(await startAnalyzer({ REDIS_URL }))
    let gateway = await startGateway({ REDIS_URL, PORT })
    stack.defer(() => gateway[Symbol.asyncDispose]())
    let scrapes = 0
    const target = createServer((_, response) => {
      const n = ++scrapes
      // It restarts once, so that its counter begins again.
      response.end(
        ['# TYPE jobs_total counter', `jobs_total ${(n < 40 ? n : n - 38) * 5}`, '# TYPE queue gauge', `queue ${n % 4}`]
          .concat(['# TYPE idle gauge', 'idle NaN', ''])
          .join('\n'),
      )
    }).listen(0, '127.0.0.1')
    stack.defer(() => void target.close())
    await new Promise(resolve => target.once('listening', resolve))
    const address = `127.0.0.1:${(target.address() as AddressInfo).port}`
    const prometheus = stack.use(
      await startPrometheus(
        JSON.stringify({
          global: { scrape_interval: '200ms', scrape_timeout: '200ms', external_labels: { cluster: 'eu' } },
          scrape_configs: Array.from({ length: HOSTS }, (_, i) => ({
            job_name: `job${i}`,
            static_configs: [{ targets: [address] }],
          })),
          remote_write: [
            {
              url: `http://127.0.0.1:${PORT}/api/v1/write`,
              queue_config: { batch_send_deadline: '200ms', min_backoff: '30ms', max_backoff: '200ms' },
              write_relabel_configs: [{ source_labels: ['__name__'], regex: 'jobs_total|queue|idle', action: 'keep' }],
            },
          ],
        }),
      ),
    )
    // Redis may store a request that is sent again because its response was lost.
    const rule = { pattern: '*', duplicates: 'drop' }
    const ruled = await fetch(`http://127.0.0.1:${PORT}/rules/once`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ rule, who: 'a test', why: 'retries' }),
    })
    expect(ruled.status).toBe(201)
    const scraped = (count: number) => eventually(() => expect(scrapes).toBeGreaterThan(count))
    await scraped(20)
    for (const count of [40, 60]) {
      await gateway[Symbol.asyncDispose]()
      await scraped(count)
      gateway = await startGateway({ REDIS_URL, PORT })
    }
    await redis.stop()
    await scraped(75)
    await redis.start()
    await scraped(80)
    // The target disappears, which is marked in the series; then nothing more is scraped.
    target.close()
    target.closeAllConnections()
    const stored = async (query: string) => {
      const url = `http://${prometheus.address}/api/v1/query?query=${encodeURIComponent(query)}`
      const { data } = (await (await fetch(url)).json()) as {
        data: { result: { metric: Record<string, string>; values: [number, string][] }[] }
      }
      return data.result
    }
    await eventually(async () => expect(await stored('up == 1')).toEqual([]))
    const series = await stored('{__name__=~"jobs_total|queue"}[1h]')
    expect(series).toHaveLength(2 * HOSTS)
    for (const { metric, values } of series) {
      const { __name__: name, ...labels } = metric
      const tags = Object.entries({ ...labels, cluster: 'eu' }).toSorted(([a], [b]) => (a < b ? -1 : 1))
      const key = `${name}${tags.map(([label, text]) => `,${label}=${text}`).join('')}`
      const points = values.map(([s, value]) => [Math.round(s * 1000), Number(value)] as const)
      const history = await eventually(async () => {
        const found = await historyOf(gateway.port, key)
        expect([key, found.count]).toEqual([key, points.length])
        return found
      })
      const newest = points.slice(-history.values.length)
      expect(history.timestamps.map((timestamp, n) => [timestamp, history.values[n]])).toEqual(newest)
      if (name === 'queue') expect(history.rates).toBeUndefined()
      else expect(history.rates?.slice(1)).toEqual(oracleRates(newest).slice(1))
    }
    const unknown = await fetch(`http://127.0.0.1:${gateway.port}/history?key=idle`)
    expect(unknown.status).toBe(404)
  })
})
