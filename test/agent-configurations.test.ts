import { execFile } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { Child } from '@tidemark/tools/stack/child'
import { findCollectd } from '@tidemark/tools/stack/collectd'
import { describe, expect, test, vi } from 'vitest'
import { programsAvailable, startPrometheus } from './monitoring/programs.ts'
import { startTidemark } from './support/documented-agents.ts'

/** What collectd's write_http sends. */
interface ValueList {
  readonly values: readonly (number | null)[]
  readonly dsnames: readonly string[]
  readonly time: number
  readonly host: string
  readonly plugin: string
  readonly plugin_instance: string
  readonly type: string
  readonly type_instance: string
}

function keyOf({ plugin, host, plugin_instance: instance, type, type_instance }: ValueList, name: string): string {
  const tags = Object.entries({ host, instance, type, type_instance }).filter(([, value]) => value !== '')
  return `${plugin}${tags.map(([tag, value]) => `,${tag}=${value}`).join('')}.${name}`
}

const available = await redisAvailable()
const isCollectdAvailable = findCollectd() !== undefined || process.env.CI === 'true'

describe.skipIf(!available)('the configurations in docs/agents.md', () => {
  test.skipIf(!isCollectdAvailable)('of collectd: everything that it sends is analysed', async () => {
    await using stack = new AsyncDisposableStack()
    const tidemark = await startTidemark(stack)
    const sent: ValueList[] = []
    const recorder = createServer(async (request, response) => {
      sent.push(...(JSON.parse(Buffer.concat(await request.toArray()).toString()) as ValueList[]))
      response.end()
    }).listen(0, '127.0.0.1')
    stack.defer(() => void recorder.close().closeAllConnections())
    await new Promise(resolve => recorder.once('listening', resolve))
    const { port } = recorder.address() as AddressInfo
    const file = join(tidemark.folder, 'collectd.conf')
    await writeFile(
      file,
      [
        'Hostname "box"',
        'Interval 0.5',
        `BaseDir "${tidemark.folder}"`,
        `PIDFile "${tidemark.folder}/pid"`,
        ...['load', 'cpu', 'write_http'].map(plugin => `LoadPlugin ${plugin}`),
        await tidemark.configuration('### collectd'),
        // The same again, to compare with.
        `<Plugin write_http>\n<Node "record">\nURL "http://127.0.0.1:${port}/"\nFormat "JSON"\nStoreRates true\n</Node>\n</Plugin>`,
        '',
      ].join('\n'),
    )
    const collectd = new Child({
      name: 'collectd',
      file: findCollectd() ?? 'collectd',
      args: ['-f', '-C', file],
      env: { PATH: process.env.PATH },
    })
    stack.use(collectd)
    // It sends when it has gathered 4 KiB.
    await eventually(() => expect(sent.length).toBeGreaterThan(30))
    await collectd.stop()
    const series = Map.groupBy(
      sent.flatMap(list => list.dsnames.map((name, i) => ({ key: keyOf(list, name), list, value: list.values[i] }))),
      ({ key }) => key,
    )
    expect([...series.keys()]).toContain('load,host=box,type=load.shortterm')
    for (const [key, samples] of series) {
      const points = samples.flatMap(({ list, value }) =>
        value == null ? [] : [[Math.round(list.time * 1000), value]],
      )
      if (points.length === 0) continue
      const { values, timestamps } = await eventually(async () => {
        const found = await tidemark.historyOf(key)
        expect([key, found.count]).toEqual([key, points.length])
        return found
      })
      expect(timestamps.map((timestamp, n) => [timestamp, values[n]])).toEqual(points)
    }
  })

  test.skipIf(!programsAvailable('prometheus'))(
    'of Prometheus: series are analysed, except for those it drops',
    async () => {
      await using stack = new AsyncDisposableStack()
      const tidemark = await startTidemark(stack)
      const target = createServer((_, response) => {
        response.end('# TYPE queue gauge\nqueue 3\n# TYPE go_threads gauge\ngo_threads 1\n')
      }).listen(0, '127.0.0.1')
      stack.defer(() => void target.close().closeAllConnections())
      await new Promise(resolve => target.once('listening', resolve))
      const instance = `127.0.0.1:${(target.address() as AddressInfo).port}`
      const scrapes = { scrape_interval: '200ms', scrape_timeout: '200ms' }
      const job = { job_name: 'node', static_configs: [{ targets: [instance] }] }
      const own = `global: ${JSON.stringify(scrapes)}\nscrape_configs: [${JSON.stringify(job)}]\n`
      stack.use(await startPrometheus(own + (await tidemark.configuration('### Prometheus'))))
      await eventually(async () => {
        const { count, values } = await tidemark.historyOf(`queue,instance=${instance},job=node`)
        expect(count).toBeGreaterThan(3)
        expect(new Set(values)).toEqual(new Set([3]))
      })
      expect((await tidemark.keys()).filter(key => key.startsWith('go_'))).toEqual([])
    },
  )

  test('of the clients of InfluxDB: the program runs as it is, and its point is analysed', async () => {
    await using stack = new AsyncDisposableStack()
    const tidemark = await startTidemark(stack)
    // Beside the tests, so that it finds the client where they do.
    const program = fileURLToPath(new URL(`documented-influx-${process.pid}.mjs`, import.meta.url))
    stack.defer(() => rm(program, { force: true }))
    await writeFile(program, await tidemark.configuration('### InfluxDB clients'))
    await promisify(execFile)(process.execPath, [program], { timeout: 60_000 })
    await eventually(async () => {
      expect((await tidemark.historyOf('room,name=kitchen.temperature')).values).toEqual([21.5])
    })
  })

  test('of the SDKs of OpenTelemetry: a histogram has the count and the mean since its last point', async () => {
    await using stack = new AsyncDisposableStack()
    const tidemark = await startTidemark(stack)
    for (const line of (await tidemark.configuration('### OpenTelemetry SDKs')).split('\n')) {
      const equals = line.indexOf('=')
      if (equals > 0) vi.stubEnv(line.slice(0, equals), line.slice(equals + 1))
    }
    stack.defer(() => void vi.unstubAllEnvs())
    const exporter = new OTLPMetricExporter()
    const provider = new MeterProvider({
      resource: resourceFromAttributes({ 'service.name': process.env.OTEL_SERVICE_NAME ?? '' }),
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
    })
    stack.defer(() => provider.shutdown())
    const duration = provider.getMeter('test').createHistogram('duration')
    for (const values of [
      [1, 3],
      [10, 20, 30],
    ]) {
      for (const value of values) duration.record(value)
      await provider.forceFlush()
    }
    await eventually(async () => {
      expect((await tidemark.historyOf('duration.mean,service.name=shop')).values).toEqual([2, 20])
    })
  })
})
