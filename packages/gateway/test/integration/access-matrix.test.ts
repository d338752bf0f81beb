import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'
import { SCOPES, type Scope } from '@tidemark/shared/access/scope'
import { readConfig } from '@tidemark/shared/runtime/config'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { gatewaySchema } from '../../src/config.ts'
import { type Gateway, startGateway } from '../../src/gateway.ts'
import { testKey } from '../support/api-keys.ts'
import { bodiesOf, CALLS, requestOf } from '../support/calls.ts'
import { type ApiDocument, operationsOf, type Route, textOf } from '../support/contract.ts'
import { createTestApp, NOW } from '../support/fixture.ts'
import { createWorld, FILED, type World } from '../support/world.ts'

/**
 * The scope that each operation requires (`any`: every API key in force), and its status for an API
 * key with all scopes that is bound to the prefix of another tenant. What a route returns then is
 * tested apart (own-keys).
 */
const EXPECTED: Readonly<Record<string, readonly [Scope | 'open' | 'any', foreign: number]>> = {
  ingest: ['ingest', 403],
  influxWriteV1: ['ingest', 403],
  influxQuery: ['ingest', 200],
  influxWriteV2: ['ingest', 403],
  otlpMetrics: ['ingest', 403],
  prometheusWrite: ['ingest', 403],
  influxPing: ['open', 204],
  influxPingByPost: ['open', 204],
  analyze: ['read', 200],
  history: ['read', 403],
  aggregates: ['read', 403],
  anomalies: ['read', 200],
  events: ['read', 200],
  rules: ['read', 200],
  rule: ['read', 404],
  putRule: ['operate', 403],
  deleteRule: ['operate', 404],
  explainRules: ['read', 403],
  ruleChanges: ['read', 200],
  ruleReport: ['read', 404],
  previewRule: ['read', 403],
  putMute: ['operate', 403],
  deleteMute: ['operate', 404],
  putStorm: ['operate', 403],
  overview: ['read', 200],
  keys: ['read', 200],
  rebalances: ['read', 403],
  deleteKey: ['operate', 403],
  deleteKeys: ['operate', 403],
  keyCardinality: ['read', 200],
  alerts: ['read', 200],
  alertGroups: ['read', 200],
  alert: ['read', 404],
  acknowledgeAlert: ['operate', 404],
  snoozeAlert: ['operate', 404],
  endSnooze: ['operate', 404],
  putFeedback: ['operate', 404],
  deleteFeedback: ['operate', 404],
  feedback: ['read', 200],
  dead: ['read', 403],
  putBackDead: ['operate', 403],
  discardDeadLetter: ['operate', 403],
  deadNotifications: ['read', 403],
  putBackDeadNotification: ['operate', 403],
  discardDeadNotification: ['operate', 403],
  createApiKey: ['admin', 403],
  apiKeys: ['admin', 403],
  apiKey: ['admin', 403],
  changeApiKey: ['admin', 403],
  revokeApiKey: ['admin', 403],
  audit: ['admin', 403],
  metrics: ['read', 403],
  console: ['open', 200],
  consoleFile: ['open', 200],
  login: ['open', 200],
  logout: ['open', 200],
  session: ['any', 200],
  health: ['open', 200],
  livez: ['open', 200],
  readyz: ['open', 200],
  openapi: ['open', 200],
  docs: ['open', 200],
  docsFile: ['open', 200],
}

const KEYS = {
  scoped: Object.fromEntries(SCOPES.map(scope => [scope, testKey({ scopes: [scope] })])) as Record<
    Scope,
    ReturnType<typeof testKey>
  >,
  foreign: testKey({ scopes: SCOPES.filter(scope => scope !== 'admin'), key_prefix: 'other/' }),
  expired: testKey({ expires_at: NOW - 1 }),
  revoked: testKey(),
  unknown: testKey(),
}
const IN_FORCE: readonly ApiKey[] = [
  ...Object.values(KEYS.scoped).map(({ record }) => record),
  KEYS.foreign.record,
  KEYS.expired.record,
  FILED.record,
]

const { token } = KEYS.scoped.read
const changed = token.slice(0, 20) + (token[20] === 'a' ? 'b' : 'a') + token.slice(21)
type Headers = Readonly<Record<string, string>>

/** Credentials that no route accepts. */
const REFUSED: Readonly<Record<string, Headers>> = {
  'no key': {},
  'a wrong secret': { Authorization: `Bearer ${changed}` },
  'an unknown key': KEYS.unknown.headers,
  'a revoked key': KEYS.revoked.headers,
  'an expired key': KEYS.expired.headers,
  'no key of ours': { Authorization: 'Bearer secret' },
  'a scheme alone': { Authorization: 'Bearer' },
  'a key without a scheme': { Authorization: token },
  'another scheme': { Authorization: `Digest ${token}` },
  'Basic without a colon': { Authorization: `Basic ${btoa(token)}` },
  'an empty header': { 'X-API-Key': '' },
  'two different keys': { ...KEYS.scoped.read.headers, 'X-API-Key': KEYS.scoped.ingest.token },
}

const document = (await (await createTestApp().app.request('/openapi.json')).json()) as ApiDocument
const operations = operationsOf(document)

let world: World
let gateway: Gateway
let folder: string

beforeAll(async () => {
  world = await createWorld()
  folder = await mkdtemp(join(tmpdir(), 'tidemark-keys-'))
  const file = join(folder, 'keys.json')
  await writeFile(file, formatKeyFile(IN_FORCE))
  const { apiKeys } = world.store
  await apiKeys.add(KEYS.revoked.record)
  await apiKeys.remove(KEYS.revoked.record.id)
  gateway = await startGateway({
    config: readConfig(gatewaySchema, {
      ...{ HOST: '127.0.0.1', PORT: '0', METRICS_PORT: '0', API_KEYS_FILE: file },
      // All requests come from one address.
      AUTH_FAILURES_PER_MIN_MAX: '0',
    }),
    openStore: async () => world.store.connect(),
    log: pino({ level: 'silent' }),
    registry: new Registry(),
  })
})

afterAll(async () => {
  await gateway[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** Sends a request in its first documented form with other headers. */
type Way = (route: Route, headers: Headers, method?: string) => Promise<Response>

function firstRequest(route: Route, headers: Headers, base: string, slash = ''): Request {
  const [call] = CALLS[route.operation.operationId] ?? []
  const [sent] = call === undefined ? [] : bodiesOf(route, call)
  if (call === undefined || sent === undefined) throw new Error(`no call of ${route.operation.operationId}`)
  const { url, method, body, headers: given } = requestOf(world, route, call, sent)
  const { pathname, search } = new URL(url)
  const content = body === null ? {} : { body: sent.body }
  return new Request(`${base}${pathname}${slash}${search}`, {
    method,
    headers: { ...Object.fromEntries(given), ...headers },
    ...content,
  })
}

const overSocket: Way = async (route, headers) => {
  const response = await fetch(firstRequest(route, headers, `http://127.0.0.1:${gateway.port}`))
  return new Response((await textOf(response)) || null, response)
}

/** A path that ends in a slash leaves the fast path to the app. */
const overSocketToTheApp: Way = async (route, headers) => {
  const response = await fetch(firstRequest(route, headers, `http://127.0.0.1:${gateway.port}`, '/'))
  return new Response((await textOf(response)) || null, response)
}

const inProcess: Way = async (route, headers) => {
  const { app } = createTestApp({
    store: world.store,
    keys: IN_FORCE,
    console: new Map([
      ['index.html', { body: '', type: 'text/html' }],
      ['assets/start.js', { body: '', type: 'text/javascript' }],
    ]),
    docs: new Map([
      ['index.html', PAGE],
      ['start.js', PAGE],
    ]),
  })
  const response = await app.request(firstRequest(route, headers, 'http://gateway'))
  return new Response((await textOf(response)) || null, response)
}

const PAGE = { body: '', type: 'text/html' }

const WAYS: Readonly<Record<string, Way>> = {
  'over a socket': overSocket,
  'over a socket, past the fast path': overSocketToTheApp,
  'in the process': inProcess,
}

test('every operation has its expectation', () => {
  expect(Object.keys(EXPECTED).toSorted()).toEqual([...operations.keys()].toSorted())
})

test('every route that is served is documented, so that it is walked here', () => {
  const served = createTestApp().app.routes.filter(({ method }) => method !== 'ALL')
  const documented = new Set([...operations.values()].map(({ method, path }) => `${method} ${path}`))
  const paths = served.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
  expect(paths.filter(path => !documented.has(path))).toEqual([])
})

describe.each(Object.entries(WAYS))('%s', (_name, send) => {
  test.each([...operations])('%s is for those who may', async (operationId, route) => {
    const [scope, foreign] = EXPECTED[operationId] ?? ['open', 0]
    for (const [name, headers] of Object.entries(REFUSED)) {
      const response = await send(route, headers)
      const isRefused = response.status === 401
      expect([name, isRefused]).toEqual([name, scope !== 'open'])
      if (!isRefused) continue
      expect(response.headers.get('WWW-Authenticate')).toMatch(/^Bearer realm="tidemark"(, Basic realm="tidemark")?$/)
      const { instance, ...rest } = await errorOf(response)
      expect([name, rest]).toEqual([name, OWN_ERRORS[operationId]?.unauthenticated ?? UNAUTHENTICATED])
    }
    const other = await send(route, KEYS.foreign.headers)
    // Not every checkout has the files of the console: its build makes them.
    const isBuilt = ['console', 'consoleFile'].includes(operationId)
    expect(isBuilt ? [200, 404] : [foreign]).toContain(other.status)
    if (scope !== 'open' && operationId !== 'metrics') expect(await other.text()).not.toContain('"edge-17/rps"')
    for (const own of SCOPES) {
      const response = await send(route, KEYS.scoped[own].headers)
      const isAllowed = scope === 'open' || scope === 'any' || scope === own
      expect([own, response.status === 403]).toEqual([own, !isAllowed])
      expect(response.status).not.toBe(401)
      const refusal = OWN_ERRORS[operationId]?.forbidden ?? { type: 'urn:tidemark:problem:scope-missing', scope }
      if (!isAllowed) expect(await errorOf(response)).toMatchObject(refusal)
    }
  })
})

/** One body for all, so that it does not say what was wrong. */
const UNAUTHENTICATED = {
  type: 'urn:tidemark:problem:unauthenticated',
  title: 'Not authenticated',
  status: 401,
  detail:
    'This route needs a valid API key: send one, as Authorization: Bearer KEY, as the password of Basic, or as X-API-Key.',
}

const NO_SCOPE = 'This API key does not have the scope ingest, which the route requires.'

/** Returns the members of an error, or the text of one that is no JSON. */
async function errorOf(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text()
  const isText = response.headers.get('Content-Type')?.startsWith('text/') === true
  return isText ? { text } : JSON.parse(text)
}

/** Of the routes whose protocol has errors of its own. */
const OWN_ERRORS: Readonly<Record<string, { readonly unauthenticated: object; readonly forbidden: object }>> = {
  otlpMetrics: {
    unauthenticated: { code: 16, message: UNAUTHENTICATED.detail },
    forbidden: { code: 7, message: NO_SCOPE },
  },
  prometheusWrite: { unauthenticated: { text: `${UNAUTHENTICATED.detail}\n` }, forbidden: { text: `${NO_SCOPE}\n` } },
  influxWriteV1: { unauthenticated: { error: UNAUTHENTICATED.detail }, forbidden: { error: NO_SCOPE } },
  influxQuery: { unauthenticated: { error: UNAUTHENTICATED.detail }, forbidden: { error: NO_SCOPE } },
  influxWriteV2: {
    unauthenticated: { code: 'unauthorized', message: UNAUTHENTICATED.detail },
    forbidden: { code: 'forbidden', message: NO_SCOPE },
  },
}

test.each([
  ['Bearer', { Authorization: `Bearer ${token}` }],
  ['bearer, in lower case and with more space', { Authorization: `bearer   ${token}` }],
  ['Token', { Authorization: `Token ${token}` }],
  ['Token with a user', { Authorization: `Token influx:${token}` }],
  ['Basic with a user', { Authorization: `Basic ${btoa(`influx:${token}`)}` }],
  ['Basic without a user', { Authorization: `Basic ${btoa(`:${token}`)}` }],
  ['X-API-Key', { 'X-API-Key': token }],
  ['the same key twice', { Authorization: `Bearer ${token}`, 'X-API-Key': token }],
])('an API key is accepted as %s', async (_name, headers) => {
  const response = await fetch(`http://127.0.0.1:${gateway.port}/rules`, { headers })
  expect(response.status).toBe(200)
})

test('HEAD needs the scope of GET', async () => {
  const url = `http://127.0.0.1:${gateway.port}/rules`
  expect((await fetch(url, { method: 'HEAD' })).status).toBe(401)
  expect((await fetch(url, { method: 'HEAD', headers: KEYS.scoped.ingest.headers })).status).toBe(403)
  expect((await fetch(url, { method: 'HEAD', headers: KEYS.scoped.read.headers })).status).toBe(200)
})
