import { Validator } from '@seriousme/openapi-schema-validator'
import { SCOPES } from '@tidemark/shared/access/scope'
import type { MemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { PAGE_CSP, STYLE_SHEET } from '../src/http/assets.ts'
import { readDocs } from '../src/http/docs.ts'
import { testKey } from './support/api-keys.ts'
import { bodiesOf, CALLS, requestOf } from './support/calls.ts'
import { type ApiDocument, createContract, operationsOf, type Route } from './support/contract.ts'
import { createTestApp, type TestAppOptions } from './support/fixture.ts'
import { createWorld } from './support/world.ts'

const documentText = await (await createTestApp().app.request('/openapi.json')).text()
const SESSION_ROUTES = ['/login', '/logout', '/session']
const document: ApiDocument = JSON.parse(documentText)
const operations = operationsOf(document)
const contract = createContract(document)

function routeOf(operationId: string): Route {
  const route = operations.get(operationId)
  if (route === undefined) throw new Error(`${operationId} is not documented`)
  return route
}

const calls = Object.entries(CALLS).flatMap(([operationId, list]) =>
  list.map(call => [operationId, call.status, call] as const),
)

describe('the OpenAPI document', () => {
  test('is valid OpenAPI 3.1', async () => {
    const validator = new Validator()
    expect(await validator.validate(JSON.parse(documentText))).toEqual({ valid: true })
    expect(validator.version).toBe('3.1')
  })

  test('describes every route, and no other', () => {
    const served = createTestApp()
      .app.routes.filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`)
    const described = [...operations.values()].map(({ method, path }) => `${method} ${path}`)
    expect(described.toSorted()).toEqual([...new Set(served)].toSorted())
  })

  test('refers only to schemas that it has', () => {
    const names = [...documentText.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(match => match[1])
    expect(names.length).toBeGreaterThan(5)
    for (const name of names) expect(document.components.schemas).toHaveProperty([name ?? ''])
  })

  test('has examples that match their schemas', () => {
    const contents = [...operations.values()].flatMap(({ operation: { requestBody, responses } }) =>
      [...Object.values(responses), ...(requestBody === undefined ? [] : [requestBody])].flatMap(({ content = {} }) =>
        Object.values(content),
      ),
    )
    const checked = contents.flatMap(({ schema, examples = {} }) =>
      Object.values(examples).map(({ value }) => contract.violations(schema, value)),
    )
    expect(checked.length).toBeGreaterThan(15)
    expect(checked.flat()).toEqual([])
  })
})

describe('every documented operation', () => {
  test('has a call that succeeds', () => {
    const succeeding = calls.filter(([, status]) => status < 400).map(([operationId]) => operationId)
    expect([...new Set(succeeding)].toSorted()).toEqual([...operations.keys()].toSorted())
  })

  test.each(calls)('responds as documented: %s, %i %o', async (operationId, status, call) => {
    const route = routeOf(operationId)
    for (const sent of bodiesOf(route, call)) {
      const world = await createWorld()
      const response = await world.app.request(requestOf(world, route, call, sent))
      expect(response.status).toBe(status)
      expect(await contract.differences(response, route.operation)).toEqual([])
    }
  })

  const bug = (): never => {
    throw new TypeError('a bug')
  }
  const buggy = <T extends object>(methods: T): T =>
    Object.fromEntries(Object.keys(methods).map(name => [name, bug])) as T
  const brokenBy = (store: MemoryStore): TestAppOptions => ({
    store,
    override: buggy(store.gateway),
    overrideRules: buggy(store.rules),
    overrideAlerts: buggy(store.alerts),
    overrideApiKeys: buggy(store.apiKeys),
    overrideAudit: buggy(store.audit),
    overrideKeys: buggy(store.keys),
    overrideFeed: buggy(store.feed),
  })

  test.each([...operations.keys()])('fails as documented: %s', async operationId => {
    const route = routeOf(operationId)
    const [call = { status: 0 }] = CALLS[operationId] ?? []
    const [sent = { type: '', body: null }] = bodiesOf(route, call)
    const world = await createWorld()
    const { responses } = route.operation
    for (const [status, options] of [
      [503, { store: world.store, isStoreOpen: false }],
      [500, brokenBy(world.store)],
    ] as const) {
      // Those of sessions depend on a cookie, which its own tests have.
      if (responses[status] === undefined || SESSION_ROUTES.includes(route.path)) continue
      const response = await createTestApp(options).app.request(requestOf(world, route, call, sent))
      // Only clients of InfluxDB get a 503 of it, which its own tests have.
      expect(response.status).toBeGreaterThanOrEqual(route.path === '/health' ? 200 : 500)
      expect(await contract.differences(response, route.operation)).toEqual([])
    }
    const other = await world.app.request(requestOf(world, { ...route, method: unsupportedBy(route.path) }, call, sent))
    expect(other.status).toBe(405)
    expect(await contract.differences(other, route.operation)).toEqual([])
  })
})

/** A method that no operation of the path has. */
function unsupportedBy(path: string): string {
  const supported = new Set([...operations.values()].filter(route => route.path === path).map(({ method }) => method))
  return ['PATCH', 'PUT', 'DELETE', 'POST'].find(method => !supported.has(method)) ?? ''
}

describe('every operation that needs an API key', () => {
  const closed = [...operations.values()].filter(({ operation }) => (operation.security ?? []).length > 0)
  const scopeOf = ({ operation }: Route): string | undefined => operation.security?.[0]?.bearer?.[0]

  test('is documented as such, the others as open', () => {
    const open = [...operations.values()].filter(({ operation }) => operation.security?.length === 0)
    expect(open.map(({ path }) => path).toSorted()).toEqual(
      [
        ...[
          '/',
          '/assets/{file}',
          '/docs',
          '/docs/{file}',
          '/health',
          '/livez',
          '/openapi.json',
          '/ping',
          '/ping',
          '/readyz',
        ],
        ...SESSION_ROUTES,
      ].toSorted(),
    )
    expect(closed.length + open.length).toBe(operations.size)
    for (const { operation } of closed) {
      for (const requirement of operation.security ?? []) {
        for (const scheme of Object.keys(requirement)) {
          expect(document.components.securitySchemes).toHaveProperty(scheme)
        }
      }
    }
  })

  test.each(closed.map(route => [route.operation.operationId, route] as const))(
    'refuses as documented: %s',
    async (_operationId, route) => {
      const without = testKey({ scopes: SCOPES.filter(scope => scope !== scopeOf(route)) })
      const { app } = createTestApp({ keys: [without.record] })
      for (const [status, headers] of [
        [401, {}],
        [401, testKey().headers],
        [403, without.headers],
      ] as const) {
        const { method } = route
        const response = await app.request(route.path.replace(/\{\w+\}/, 'x'), { method, headers })
        expect(response.status).toBe(status)
        expect(await contract.differences(response, route.operation)).toEqual([])
      }
    },
  )
})

describe('the page of the documentation', () => {
  test('needs nothing from other hosts', async () => {
    const console = new Map([['main-3f.css', { body: '', type: STYLE_SHEET }]])
    const { app } = createTestApp({ docs: readDocs(console), console })
    const page = await app.request('/docs')
    expect(page.status).toBe(200)
    expect(page.headers.get('Content-Security-Policy')).toBe(PAGE_CSP)
    const html = await page.text()
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)]
      .map(match => match[1] ?? '')
      .filter(link => !/^(data:,|\/(#.*|docs)?)$/.test(link))
    // The look of the console first, then that of Swagger UI, then what fits it to the console.
    expect(links).toEqual([
      '/assets/main-3f.css',
      ...['swagger-ui.css', 'look.css', 'swagger-ui-bundle.js', 'start.js'].map(name => `/docs/${name}`),
    ])
    for (const link of links) expect((await app.request(link)).status).toBe(200)
    expect((await app.request('/docs/index.html')).status).toBe(404)
  })

  test('is 404 without its files, and nothing else is', async () => {
    const { app } = createTestApp()
    expect((await app.request('/docs')).status).toBe(404)
    expect((await app.request('/openapi.json')).status).toBe(200)
  })
})
