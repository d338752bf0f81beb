import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, describe, expect, test } from 'vitest'
import { createAuthentication } from '../../src/access/authentication.ts'
import { KeyTable } from '../../src/access/key-table.ts'
import { createOriginRules } from '../../src/access/origin.ts'
import { RouteAccess } from '../../src/access/route-access.ts'
import { createSessions } from '../../src/access/sessions.ts'
import { createApp } from '../../src/app.ts'
import { auditConcern } from '../../src/audit/audit.ts'
import { gatewaySchema, originOptions } from '../../src/config.ts'
import { createFailures } from '../../src/failures.ts'
import { createClients, createServices } from '../../src/gateway.ts'
import { requestConcerns } from '../../src/http/concerns.ts'
import { type Concern, createPipeline } from '../../src/http/pipeline.ts'
import { RequestFault } from '../../src/http/problem.ts'
import { listen } from '../../src/http/server.ts'
import { createFastPath } from '../../src/ingest/fast-path.ts'
import { createIngest } from '../../src/ingest/ingest.ts'
import { SeriesIndex } from '../../src/ingest/protocols/remote-write/series.ts'
import { SeriesRules } from '../../src/ingest/protocols/remote-write/series-rules.ts'
import { createMetrics } from '../../src/metrics.ts'

/** The same request, served by the fast path and by the app. */
const WAYS = [
  ['the fast path', '/ingest'],
  ['the app', '/ingest?'],
] as const

const resources = new Set<AsyncDisposable>()

afterEach(async () => {
  for (const resource of resources) await resource[Symbol.asyncDispose]()
  resources.clear()
})

/** A server whose requests go through `extra` and the gateway's own concerns. */
async function start(extra: readonly Concern[] = [], isStopping = false) {
  const config = gatewaySchema.parse({ HOST: '127.0.0.1', PORT: '0' })
  const registry = new Registry()
  const metrics = createMetrics(registry)
  const failures = createFailures(pino({ level: 'silent' }), metrics)
  const services = createServices({ store: createMemoryStore(), config, metrics, failures })
  const log = pino({ level: 'silent' })
  const clients = createClients({ config, failures, store: () => services.store, gateways: () => 1 })
  const access = new RouteAccess()
  const keyTable = new KeyTable()
  const sessions = createSessions({ table: keyTable, ttlMs: 1000, isSecure: false, now: Date.now })
  const authentication = createAuthentication({
    mode: 'off',
    isLoopback: true,
    table: keyTable,
    identifySession: sessions.identify,
    now: Date.now,
    onResult: metrics.authentication,
  })
  const audit = auditConcern({ services: () => services, log, metrics, failures, access })
  const concerns = requestConcerns({
    ...{ metrics, failures, access, authentication, audit, clients },
    origins: createOriginRules(originOptions(config)),
    isHttps: false,
    isStopping: () => isStopping,
  })
  const pipeline = createPipeline([...extra, ...concerns])
  const context = { config, metrics, now: Date.now, services: () => services }
  const ingest = createIngest(context)
  let fastPathRequests = 0
  const fastPath = createFastPath({ ingest, pipeline })
  const server = await listen({
    app: createApp({
      ...context,
      log,
      registry,
      ingest,
      seriesIndex: new SeriesIndex({ template: config.PROMETHEUS_KEY, counters: 'suffix', rules: new SeriesRules() }),
      pipeline,
      access,
      authentication,
      sessions,
      keyTable,
      refreshKeys: async () => {},
      notReady: () => undefined,
      docs: new Map(),
      console: new Map(),
    }),
    fastPath(incoming, outgoing) {
      const isServed = fastPath(incoming, outgoing)
      if (isServed) fastPathRequests++
      return isServed
    },
    config,
    metrics,
  })
  resources.add({ [Symbol.asyncDispose]: () => server.close(0) })
  return { port: server.port, registry, fastPathRequests: () => fastPathRequests }
}

interface Response {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

function post(port: number, path: string, body = '{"key":"a","value":1}'): Promise<Response> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { port, path, method: 'POST', host: '127.0.0.1', agent: new Agent({ keepAlive: true }) },
      async incoming => {
        const chunks = await incoming.toArray()
        resolve({ status: incoming.statusCode, headers: incoming.headers, body: chunks.join('') })
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

describe('a concern applies to the fast path and to the app', () => {
  test('the two ways to be compared are these', async () => {
    const server = await start()
    for (const [, path] of WAYS) expect((await post(server.port, path)).status).toBe(202)
    expect(server.fastPathRequests()).toBe(1)
  })

  test.each(WAYS)('%s: it sees the request, its response, and adds headers', async (_, path) => {
    const seen: unknown[] = []
    const probe: Concern = {
      name: 'probe',
      begin({ route, method, headers }) {
        seen.push(['begin', route, method, headers.host])
      },
      end({ status, seconds }, headers) {
        seen.push(['end', status, seconds > 0])
        headers.push('X-Probe', 'here')
      },
    }
    const { port } = await start([probe])
    const response = await post(port, path)
    expect(response.headers['x-probe']).toBe('here')
    expect(seen).toEqual([
      ['begin', '/ingest', 'POST', `127.0.0.1:${port}`],
      ['end', 202, true],
    ])
  })

  test.each(WAYS)('%s: it rejects a request before the route runs', async (_, path) => {
    const probe: Concern = {
      name: 'probe',
      begin() {
        throw new RequestFault({ kind: 'overloaded', reason: 'the probe rejects it', retryAfterS: 7 })
      },
    }
    const { port, registry } = await start([probe])
    const response = await post(port, path)
    expect(response).toMatchObject({
      status: 503,
      headers: { 'retry-after': '7', 'x-content-type-options': 'nosniff' },
    })
    expect(JSON.parse(response.body)).toMatchObject({ detail: 'The probe rejects it.', instance: '/ingest' })
    const metrics = await registry.metrics()
    expect(metrics).toContain('gateway_http_requests_total{route="/ingest",method="POST",status="503"} 1\n')
    expect(metrics).toContain('gateway_samples_accepted_total 0\n')
  })

  test.each(WAYS)('%s: it maps what the route throws', async (_, path) => {
    const seen: unknown[] = []
    const probe: Concern = {
      name: 'probe',
      fail(_exchange, error) {
        seen.push(error)
        return { kind: 'key-unknown' }
      },
    }
    const { port } = await start([probe])
    expect((await post(port, path, '')).status).toBe(404)
    expect(seen).toEqual([new RequestFault({ kind: 'body-empty' })])
  })

  test.each([
    ['a sample', '{"key":"a","value":1}', false],
    ['no JSON', '{', false],
    ['a sample while the gateway stops', '{"key":"a","value":1}', true],
  ] as const)('both ways respond to %s with the same status and headers', async (_, body, isStopping) => {
    const { port } = await start([], isStopping)
    const [fast, app] = await Promise.all(WAYS.map(([, path]) => post(port, path, body)))
    const comparable = ({ status, headers }: Response) => ({ status, headers: { ...headers, date: undefined } })
    expect(comparable(fast as Response)).toEqual(comparable(app as Response))
    expect(fast?.headers.connection).toBe(isStopping ? 'close' : 'keep-alive')
  })
})

describe('concerns exist in the pipeline only', () => {
  const src = new URL('../../src/', import.meta.url)
  const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => /(?<!\.test)\.ts$/.test(file))
  const textOf = (file: string): string => readFileSync(new URL(file, src), 'utf8')

  test('no other file installs middleware or an error handler', () => {
    const installing = sources.filter(file =>
      /\.(use|onError)\(\s*(async\s*)?\(|\.(use|onError)\(['"]/.test(textOf(file)),
    )
    expect(installing).toEqual(['http/pipeline.ts'])
  })

  test('the fast path does nothing but parse, run the pipeline and send', () => {
    const imports = [...textOf('ingest/fast-path.ts').matchAll(/from '([^']+)'/g)].map(([, name]) => name)
    expect(imports).toEqual([
      'node:http',
      '../http/pipeline.ts',
      '../http/problem.ts',
      './ingest.ts',
      './protocols/json.ts',
    ])
    expect(textOf('ingest/fast-path.ts')).not.toContain('setHeader')
  })
})
