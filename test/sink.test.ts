import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { freePort } from '@tidemark/testkit/redis-process'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { panelsOf, readDashboards } from './monitoring/dashboards.ts'
import { programsAvailable, type Server, startPrometheus, startVictoriaMetrics } from './monitoring/programs.ts'

interface Analysis {
  readonly value: number
  readonly timestamp: number
  readonly z: number | null
  readonly threshold: number
  readonly mean: number
  readonly low: number
  readonly high: number
}

const INTERVAL_MS = 1000
const SETTINGS = { SINK_INTERVAL_MS: String(INTERVAL_MS), WINDOW: '10', WINDOW_MIN: '5', LEASE_TTL_MS: '1500' }

interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly values: readonly (readonly [seconds: number, value: string])[]
}

async function stored({ address }: Pick<Server, 'address'>, query: string): Promise<Series[]> {
  const url = `http://${address}/api/v1/query?query=${encodeURIComponent(query)}`
  const { data } = (await (await fetch(url)).json()) as { data: { result: Series[] } }
  return data.result
}

/** Sends a sample and returns the analysis of it. */
async function analysed(port: number, key: string, value: number): Promise<Analysis> {
  const response = await fetch(`http://127.0.0.1:${port}/ingest`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key, value, timestamp: Date.now() }),
  })
  const { receipts } = (await response.json()) as { receipts: string[] }
  return eventually(async () => {
    const found = await fetch(`http://127.0.0.1:${port}/analyze?key=${encodeURIComponent(key)}&after=${receipts[0]}`)
    expect(found.status).toBe(200)
    return (await found.json()) as Analysis
  })
}

const KEYS = ['edge-1/rps', 'cpu,host=a b,core=0.usage', 'plain']

/** Sends samples to every key for some intervals, with a spike in the last of them. */
async function sendSome(port: number, intervals: number): Promise<Map<string, Analysis[]>> {
  const sent = new Map<string, Analysis[]>(KEYS.map(key => [key, []]))
  const until = Date.now() + intervals * INTERVAL_MS
  for (let n = 0; Date.now() < until; n++) {
    for (const key of KEYS) sent.get(key)?.push(await analysed(port, key, 10 + (n % 3)))
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  for (const key of KEYS) sent.get(key)?.push(await analysed(port, key, 1000))
  return sent
}

const available = await redisAvailable()

describe.skipIf(!available || !programsAvailable('prometheus', 'victoriaMetrics'))('the sink', () => {
  test.each<[string, () => Promise<Server>]>([
    ['Prometheus', () => startPrometheus('{}', ['--web.enable-remote-write-receiver'])],
    ['VictoriaMetrics', startVictoriaMetrics],
  ])(
    '%s has one point of each key and interval, and the anomalies, over kills of the analyzer',
    async (name, start) => {
      await using stack = new AsyncDisposableStack()
      const { url: REDIS_URL } = stack.use(await startRedis())
      const receiver = stack.use(await start())
      const env = {
        REDIS_URL,
        ...SETTINGS,
        SINK_URL: `http://${receiver.address}/api/v1/write`,
        SINK_KEY: '{measurement}{tags}.{field}',
        SINK_LABELS: 'site=lab',
      }
      const { port } = stack.use(await startGateway({ REDIS_URL, WINDOW: '10', WINDOW_MIN: '5' }))
      let analyzer = await startAnalyzer(env)
      stack.defer(() => analyzer[Symbol.asyncDispose]())
      const sent = new Map<string, Analysis[]>(KEYS.map(key => [key, []]))
      for (let round = 0; round < 3; round++) {
        for (const [key, analyses] of await sendSome(port, 3)) sent.get(key)?.push(...analyses)
        analyzer.child.kill()
        await analyzer.child.exited
        analyzer = await startAnalyzer(env)
      }
      const labels = {
        'edge-1/rps': {},
        'cpu,host=a b,core=0.usage': { measurement: 'cpu', host: 'a b', core: '0', field: 'usage' },
        plain: {},
      }
      for (const [key, analyses] of sent) {
        const spikes = analyses.filter(({ value }) => value === 1000)
        const selector = `{key=${JSON.stringify(key)},site="lab"}`
        const found = await eventually(async () => {
          const series = await stored(receiver, `{__name__=~"anomaly_score|y|yhat.*",key=${JSON.stringify(key)}}[1h]`)
          const y = series.find(({ metric }) => metric.__name__ === 'y')
          // The spike of each round is the most anomalous sample of its interval.
          expect(y?.values.filter(([, value]) => value === '1000')).toHaveLength(spikes.length)
          return series
        })
        expect([name, key, selector, found.map(({ metric }) => metric.__name__).toSorted()]).toEqual([
          ...[name, key, selector],
          ['anomaly_score', 'y', 'yhat', 'yhat_lower', 'yhat_upper'],
        ])
        for (const { metric } of found) expect(metric).toMatchObject({ key, site: 'lab', ...labels[key as 'plain'] })
        const valuesOf = (metric: string) =>
          new Map(
            found
              .find(one => one.metric.__name__ === metric)
              ?.values.map(([s, value]) => [Math.round(s * 1000), Number(value)]),
          )
        const [scores, y, yhat, lower, upper] = ['anomaly_score', 'y', 'yhat', 'yhat_lower', 'yhat_upper'].map(valuesOf)
        expect(y?.size).toBeGreaterThanOrEqual(6)
        // A round of 3 s touches 4 intervals, and a slow machine some more.
        expect(y?.size).toBeLessThanOrEqual(
          Math.ceil((analyses.at(-1)?.timestamp ?? 0) - (analyses[0]?.timestamp ?? 0)) / INTERVAL_MS + 2,
        )
        const byTime = new Map(analyses.map(one => [one.timestamp, one]))
        for (const [timestamp, value] of y ?? []) {
          const analysis = byTime.get(timestamp)
          expect(analysis?.value).toBe(value)
          if (analysis === undefined || analysis.z === null) continue
          expect(scores?.get(timestamp)).toBeCloseTo(Math.abs(analysis.z) / analysis.threshold, 9)
          expect([yhat?.get(timestamp), lower?.get(timestamp), upper?.get(timestamp)]).toEqual([
            expect.closeTo(analysis.mean, 9),
            expect.closeTo(analysis.low, 9),
            expect.closeTo(analysis.high, 9),
          ])
        }
        for (const { timestamp } of spikes) expect(scores?.get(timestamp)).toBeGreaterThan(1)
      }
      if (name !== 'Prometheus') return
      // Each panel of the dashboard Keys has data.
      const queries = readDashboards()
        .filter(({ file }) => file === 'keys.json')
        .flatMap(panelsOf)
        .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr.replaceAll('$key', 'plain')))
      expect(queries.length).toBeGreaterThan(5)
      for (const query of queries) expect([query, await stored(receiver, query)]).not.toEqual([query, []])
    },
  )

  test('a receiver that is unavailable for some intervals gets the points of all of them, from any analyzer', async () => {
    await using stack = new AsyncDisposableStack()
    const { url: REDIS_URL } = stack.use(await startRedis())
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-sink-'))
    stack.defer(() => rm(folder, { recursive: true, force: true }))
    const SINK_HEADERS_FILE = join(folder, 'headers')
    await writeFile(SINK_HEADERS_FILE, 'Authorization: Bearer s3cret-token\nX-Scope-OrgID: team-1\n')
    const port = await freePort()
    const env = { REDIS_URL, ...SETTINGS, SINK_HEADERS_FILE, SINK_URL: `http://127.0.0.1:${port}/write` }
    const gateway = stack.use(await startGateway({ REDIS_URL, WINDOW: '10', WINDOW_MIN: '5' }))
    const lines: string[] = []
    const first = await startAnalyzer(env, line => lines.push(line))
    const sent = await sendSome(gateway.port, 3)
    await eventually(() => expect(lines.some(line => line.includes('writing to the sink failed'))).toBe(true))
    await first[Symbol.asyncDispose]()

    const victoria = stack.use(await startVictoriaMetrics())
    const seen: IncomingHttpHeaders[] = []
    /** Passes requests on to VictoriaMetrics, after two that it refuses for the time being. */
    const proxy = createServer(async (request, response) => {
      seen.push(request.headers)
      const body = new Uint8Array(Buffer.concat(await request.toArray()))
      if (seen.length <= 2) return void response.writeHead(503, { 'Retry-After': '1' }).end('not yet')
      const { 'content-type': type = '', 'content-encoding': coding = '' } = request.headers
      const headers = { 'content-type': type, 'content-encoding': coding }
      const { status } = await fetch(`http://${victoria.address}/api/v1/write`, { method: 'POST', headers, body })
      response.writeHead(status).end()
    }).listen(port, '127.0.0.1')
    await once(proxy, 'listening')
    stack.defer(() => void proxy.close().closeAllConnections())
    expect((proxy.address() as AddressInfo).port).toBe(port)
    const second = stack.use(await startAnalyzer(env, line => lines.push(line)))

    for (const [key, analyses] of sent) {
      const intervals = new Set(analyses.map(({ timestamp }) => Math.floor(timestamp / INTERVAL_MS)))
      await eventually(async () => {
        const [y] = await stored(victoria, `y{key=${JSON.stringify(key)}}[1h]`)
        expect(y?.values.length).toBeGreaterThanOrEqual(intervals.size - 1)
        expect(y?.values.at(-1)?.[1]).toBe('1000')
      })
    }
    expect(seen[0]).toMatchObject({
      authorization: 'Bearer s3cret-token',
      'x-scope-orgid': 'team-1',
      'content-encoding': 'snappy',
      'content-type': 'application/x-protobuf',
      'x-prometheus-remote-write-version': '0.1.0',
    })
    expect(lines.filter(line => line.includes('s3cret'))).toEqual([])
    const metrics = await eventually(async () => {
      const text = await (await fetch(`http://127.0.0.1:${second.metricsPort}/metrics`)).text()
      expect(text).toMatch(/^analyzer_sink_lag_seconds 0$/m)
      return text
    })
    expect(metrics).toMatch(/^analyzer_sink_points_total\{result="dropped"\} 0$/m)
    expect(Number(/^analyzer_sink_requests_total\{result="failed"\} (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0)
  })
})
