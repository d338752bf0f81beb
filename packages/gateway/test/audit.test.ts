import type { AuditIntent } from '@tidemark/shared/access/audit-record'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { type Logger, pino } from 'pino'
import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { ANONYMOUS, type Principal } from '../src/access/principal.ts'
import { RouteAccess } from '../src/access/route-access.ts'
import { auditConcern } from '../src/audit/audit.ts'
import { auditPageSchema, type recordSchema } from '../src/audit/routes.ts'
import { createExchange } from '../src/http/pipeline.ts'
import { noteAccess, type Router } from '../src/http/router.ts'
import { createTestApp, NOW, type TestAppOptions } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'
import { createWorld } from './support/world.ts'

const NOTE = { who: 'mira', why: 'a test' }
const RULE = { rule: { pattern: 'edge-*', threshold: 3 }, ...NOTE }

/** Requests, none of them GET, that the audit log does not have: they ingest, read or sign in. */
const NOT_RECORDED = [
  ...['POST /ingest', 'POST /api/v2/write', 'POST /write', 'POST /query', 'POST /ping'],
  ...['POST /v1/metrics', 'POST /api/v1/write', 'POST /rules/preview', 'POST /login', 'POST /logout'],
]

function mutatingRoutes(app: Router) {
  const access = new RouteAccess()
  noteAccess(app, access)
  return access
    .list()
    .filter(({ method }) => !['GET', 'HEAD', 'OPTIONS'].includes(method))
    .map(({ method, route }) => ({ method, route, operation: access.operationOf(method, route) }))
}

async function recordsOf(app: Router, query = '') {
  const response = await app.request(`/audit${query}`)
  expect(response.status).toBe(200)
  return auditPageSchema.parse(await response.json())
}

/** A logger, and the audit lines that it wrote. */
function recordingLog(level = 'info'): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = []
  const write = (text: string): void => {
    const line = JSON.parse(text) as Record<string, unknown>
    if (line.audit === true) lines.push(line)
  }
  return { log: pino({ level }, { write }), lines }
}

function changing(options: TestAppOptions = {}) {
  const recording = recordingLog()
  const made = createTestApp({ log: recording.log, store: createMemoryStore({ now: () => NOW }), ...options })
  const send = (method: string, path: string, body?: unknown) =>
    made.app.request(path, {
      method,
      headers: { 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  return { ...made, lines: recording.lines, send }
}

describe('every route that changes something', () => {
  const routes = mutatingRoutes(createTestApp().app)

  test('has a name, and those that leave no record are these', async () => {
    expect(routes.filter(({ operation }) => operation === undefined)).toEqual([])
    const silent: string[] = []
    for (const { method, route } of routes) {
      const { app, send } = changing()
      await send(method, route.replaceAll(/:\w+/g, 'x'), {})
      if ((await recordsOf(app)).records.length === 0) silent.push(`${method} ${route}`)
    }
    expect(silent).toEqual(NOT_RECORDED)
  })

  const recorded = routes.filter(({ method, route }) => !NOT_RECORDED.includes(`${method} ${route}`))

  test.each(recorded)('$method $route leaves one record and one line, even if it is refused', async route => {
    const { app, send, lines } = changing()
    const { status } = await send(route.method, route.route.replaceAll(/:\w+/g, 'x'), {})
    const { records } = await recordsOf(app)
    const expected = {
      ...{ action: route.operation, method: route.method, route: route.route, status },
      ...{ who: 'anonymous', key_id: 'anonymous', via: 'open', result: status < 400 ? 'done' : 'refused' },
    }
    expect(records).toEqual([expect.objectContaining({ ...expected, at: NOW })])
    expect(lines).toEqual([expect.objectContaining({ ...expected, level: 30, msg: 'change' })])
  })

  test.each(['/ping', '/query', '/write', '/api/v2/write', '/v1/metrics', '/api/v1/write', '/rules/preview'])(
    'POST %s leaves no line: it is no change',
    async path => {
      const { send, lines } = changing()
      await send('POST', path)
      expect(lines).toEqual([])
    },
  )

  test('does not change anything when its record cannot be stored', async () => {
    const begin = async (): Promise<never> => {
      throw new StoreError('Redis is unavailable', { kind: 'refused' })
    }
    for (const { method, route, operation } of recorded) {
      const world = await createWorld()
      const { send, lines } = changing({ store: world.store, overrideAudit: { begin } })
      const before = JSON.stringify([await world.store.rules.load(), await world.store.rules.changes({ count: 100 })])
      const response = await send(method, route.replaceAll(/:\w+/g, 'x'), RULE)
      expect([operation, response.status]).toEqual([operation, 503])
      expect(response.headers.get('Retry-After')).toMatch(/^\d+$/)
      expect(lines).toEqual([expect.objectContaining({ action: operation, status: 503, result: 'unknown' })])
      const after = JSON.stringify([await world.store.rules.load(), await world.store.rules.changes({ count: 100 })])
      expect(after).toBe(before)
    }
  })
})

describe('a record', () => {
  test('says what was there before and after a rule was changed', async () => {
    const { app, send } = changing()
    await send('PUT', '/rules/edge-cpu', RULE)
    await send('PUT', '/rules/edge-cpu', { ...RULE, rule: { pattern: 'edge-*', threshold: 4 } })
    await send('DELETE', '/rules/edge-cpu?who=mira&why=a+test')
    const { records } = await recordsOf(app)
    const [three, four] = [3, 4].map(threshold => JSON.stringify({ id: 'edge-cpu', pattern: 'edge-*', threshold }))
    expect(records.map(({ action, subject, before, after }) => [action, subject, before, after])).toEqual([
      ['deleteRule', 'edge-cpu', four, null],
      ['putRule', 'edge-cpu', three, four],
      ['putRule', 'edge-cpu', null, three],
    ])
  })

  test('says what became of mutes, the storm policy, alerts and dead letters', async () => {
    const world = await createWorld()
    const { app } = world
    const send = (method: string, path: string, body?: unknown) =>
      app.request(path, {
        method,
        headers: { 'Content-Type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    await send('DELETE', '/mutes/night-shift?who=mira&why=over')
    await send('PUT', '/storm', { storm: { percent: 30, within: '1m', keys_min: 10 }, ...NOTE })
    await send('POST', `/alerts/${world.alert}/acknowledge`, NOTE)
    await send('POST', `/alerts/${world.alert}/snooze`, { until: '2h', ...NOTE })
    await send('PUT', `/alerts/${world.alert}/feedback`, { useful: false, why: 'known' })
    await send('DELETE', `/alerts/${world.alert}/feedback`)
    await send('POST', `/dead/${world.dead}/put-back`)
    await send('POST', `/dead/${world.unreadable}/discard`)
    await send('POST', `/dead/notifications/${world.letter}/discard`)
    const { records } = await recordsOf(app, '?limit=9')
    expect(records.map(({ action, subject, status }) => [action, subject, status])).toEqual([
      ['discardDeadNotification', world.letter, 200],
      ['discardDeadLetter', world.unreadable, 200],
      ['putBackDead', world.dead, 202],
      ['deleteFeedback', world.alert, 200],
      ['putFeedback', world.alert, 200],
      ['snoozeAlert', world.alert, 200],
      ['acknowledgeAlert', world.alert, 200],
      ['putStorm', null, 200],
      ['deleteMute', 'night-shift', 200],
    ])
    const texts = records.map(({ before, after }) => `${before} -> ${after}`)
    expect(texts[2]).toMatch(/"accepted":1,"receipt":"\d:/)
    expect(texts[3]).toMatch(/"useful":false.* -> null/)
    expect(texts[4]).toMatch(/^null -> .*"useful":false,"why":"known"/)
    expect(texts[5]).toContain('"why":"a test"')
    expect(texts[7]).toMatch(/"percent":20.*"percent":30/)
    expect(texts[8]).toMatch(/"id":"night-shift".* -> null/)
  })

  test('of an API key says what it may do, and has neither the key nor its digest', async () => {
    const { app, send, lines } = changing({ auth: 'off' })
    const fields = { name: 'edge 17', scopes: ['ingest'], key_prefix: 'edge-17/' }
    const created = await send('POST', '/api-keys', fields)
    const { id, token } = (await created.json()) as { id: string; token: string }
    await send('PATCH', `/api-keys/${id}`, { name: 'edge 18' })
    await send('DELETE', `/api-keys/${id}`)
    const { records } = await recordsOf(app)
    expect(records.map(({ action, subject }) => [action, subject])).toEqual([
      ['revokeApiKey', id],
      ['changeApiKey', id],
      ['createApiKey', id],
    ])
    expect(records[1]?.before).toContain('"name":"edge 17","scopes":["ingest"],"key_prefix":"edge-17/"')
    expect(records[1]?.after).toContain('"name":"edge 18"')
    const texts = JSON.stringify([records, lines])
    expect(texts).not.toContain(token)
    expect(texts).not.toContain(token.slice(17))
    expect(texts).not.toMatch(/sha256|[0-9a-f]{64}/)
  })

  test('is begun before the change and has a result after it', async () => {
    const store = createMemoryStore()
    const seen: number[] = []
    const { send } = changing({
      store,
      overrideRules: {
        async replace(...change) {
          const [record] = await store.audit.list({ count: 1 })
          seen.push(record?.result === null ? 1 : 0)
          return store.rules.replace(...change)
        },
      },
    })
    await send('PUT', '/rules/a', RULE)
    expect(seen).toEqual([1])
    expect((await store.audit.list({ count: 1 }))[0]?.result?.status).toBe(201)
  })

  test('without a result says that the change may have been made; the response and the log have it', async () => {
    const { app, send, lines, registry } = changing({
      overrideAudit: {
        end: () => Promise.reject(new StoreError('Redis is unavailable', { kind: 'unknown' })),
      },
    })
    expect((await send('PUT', '/rules/a', RULE)).status).toBe(201)
    expect((await recordsOf(app)).records).toMatchObject([{ result: 'unknown', status: null, after: null }])
    expect(lines).toMatchObject([{ action: 'putRule', result: 'done', status: 201 }])
    expect(await registry.metrics()).toContain('gateway_audit_failures_total 1\n')
  })

  test('has no API key, wherever a client puts it, and no long text', async () => {
    const { app, send, lines } = changing()
    const key = `tmk_abc123_${'S3cret'.repeat(8)}`
    await send('PUT', `/rules/${key}`, { ...RULE, rule: { pattern: key, threshold: 3 } })
    await send('DELETE', `/mutes/${'x'.repeat(5000)}${key}?who=a&why=b`)
    await send('PUT', '/rules/a', { ...RULE, rule: { pattern: 'edge-*', channels: 'x'.repeat(5000) } })
    const { records } = await recordsOf(app)
    expect(records).toHaveLength(3)
    const texts = JSON.stringify([records, lines])
    expect(texts).not.toContain('S3cret')
    expect(texts).toContain('tmk_abc123_[redacted]')
    for (const record of records) expect(JSON.stringify(record).length).toBeLessThan(5000)
  })

  test('has the path of any client as text that forges nothing', async () => {
    const { app, send, lines } = changing()
    await send('DELETE', `/rules/${encodeURIComponent('a"}\n{"audit":true')}?who=a&why=b`)
    expect((await recordsOf(app)).records).toMatchObject([{ subject: 'a"}\n{"audit":true' }])
    expect(lines).toHaveLength(1)
  })
})

describe('GET /audit', () => {
  async function filled(records: readonly Partial<AuditIntent>[]) {
    let clock = NOW
    const store = createMemoryStore({ now: () => (clock += 1000) })
    const intent = { who: 'mira', keyId: 'k1', via: 'session', address: '10.0.0.7', method: 'PUT' }
    for (const record of records) {
      const id = await store.audit.begin({ ...intent, route: '/storm', action: 'putStorm', subject: null, ...record })
      await store.audit.end(id, { status: 200 })
    }
    return createTestApp({ store }).app
  }

  async function pagesOf(app: Router, query: string) {
    const pages: z.output<typeof recordSchema>[][] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const page = await recordsOf(app, `?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`)
      pages.push(page.records)
      cursor = page.cursor
    }
    return pages
  }

  test('lists all records once, newest first, by page', async () => {
    const app = await filled(Array.from({ length: 7 }, (_, i) => ({ subject: String(i) })))
    const pages = await pagesOf(app, 'limit=3')
    expect(pages.map(page => page.length)).toEqual([3, 3, 1])
    expect(pages.flat().map(({ subject }) => subject)).toEqual(['6', '5', '4', '3', '2', '1', '0'])
    expect(pages[0]?.[0]).toMatchObject({
      who: 'mira',
      key_id: 'k1',
      via: 'session',
      address: '10.0.0.7',
      at: NOW + 7000,
    })
    expect((await pagesOf(app, 'limit=7')).map(page => page.length)).toEqual([7])
  })

  test('filters by caller, operation and time', async () => {
    const app = await filled([{}, { who: 'ada' }, { action: 'putRule' }, { who: 'ada', action: 'putRule' }])
    const times = async (query: string) => (await pagesOf(app, query)).flat().map(({ at }) => (at - NOW) / 1000)
    expect(await times('who=ada')).toEqual([4, 2])
    expect(await times('action=putRule')).toEqual([4, 3])
    expect(await times('who=ada&action=putRule')).toEqual([4])
    expect(await times('who=ole')).toEqual([])
    expect(await times(`since=${NOW + 3000}`)).toEqual([4, 3])
    expect(await times(`since=${new Date(NOW + 3000).toISOString()}&limit=1`)).toEqual([4, 3])
    expect(await times(`who=ada&since=${encodeURIComponent('2023-11-14T23:13:23+01:00')}`)).toEqual([4])
  })

  test('reads a bounded number of records for a filter, and goes on at its cursor', async () => {
    const others = Array.from({ length: 4100 }, () => ({}))
    const pages = await pagesOf(await filled([{ who: 'ada' }, ...others]), 'who=ada')
    expect(pages.map(page => page.length)).toEqual([0, 0, 1])
  })

  test.each([
    ['since=yesterday', 'since'],
    ['since=2026-01-31T18:00:00', 'since'],
    ['cursor=x', 'cursor'],
    ['limit=501', 'limit'],
    ['whom=ada', 'whom'],
  ])('responds 400 to %s', async (query, parameter) => {
    const { app } = createTestApp()
    const response = await app.request(`/audit?${query}`)
    expect(response.status).toBe(400)
    expect((await problemOf(response)).errors).toMatchObject([{ parameter }])
  })
})

describe('what is refused before it reaches its route', () => {
  const access = new RouteAccess()
  access.add('PUT', '/rules/:id', { access: 'operate' }, 'putRule')
  access.add('POST', '/login', { access: 'open' }, 'login')
  access.add('POST', '/ingest', { access: 'ingest' }, 'ingest')
  access.add('GET', '/rules', { access: 'read' }, 'rules')

  function ended(
    target: { method: string; route: string; status: number; principal?: Principal },
    times = 1,
    level?: string,
  ) {
    const { log, lines } = recordingLog(level)
    const failures = () => 'bug' as const
    const metrics = { auditFailed() {} }
    const services = (): never => {
      throw new Error('nothing is stored')
    }
    const concern = auditConcern({ log, metrics, failures, access, services })
    for (let i = 0; i < times; i++) {
      const path = target.route.replace(':id', 'a')
      const exchange = createExchange({}, new Request('http://gateway').body, { ...target, path, query: '' })
      exchange.principal = target.principal ?? ANONYMOUS
      exchange.status = target.status
      concern.end?.(exchange, [])
    }
    return lines
  }

  const device: Principal = { ...ANONYMOUS, id: 'k1', name: 'device', via: 'api-key' }

  test('leaves a line that names the caller, at every level of the log but silent', () => {
    const refused = { method: 'PUT', route: '/rules/:id', status: 403, principal: device }
    for (const level of ['info', 'error', 'fatal']) {
      expect(ended(refused, 1, level)).toMatchObject([
        { who: 'device', key_id: 'k1', action: 'putRule', subject: 'a', status: 403, result: 'refused' },
      ])
    }
    expect(ended(refused, 1, 'silent')).toEqual([])
  })

  test('leaves few lines a second if the caller is unknown', () => {
    const lines = ended({ method: 'PUT', route: '/rules/:id', status: 401 }, 1000)
    expect(lines.length).toBeGreaterThanOrEqual(10)
    expect(lines.length).toBeLessThanOrEqual(20)
  })

  test('leaves a line for sign-ins, and none for samples and reads', () => {
    expect(ended({ method: 'POST', route: '/login', status: 401 })).toMatchObject([{ action: 'login', status: 401 }])
    expect(ended({ method: 'POST', route: '/login', status: 204, principal: device })).toMatchObject([
      { action: 'login', who: 'device', result: 'done' },
    ])
    expect(ended({ method: 'POST', route: '/ingest', status: 401 })).toEqual([])
    expect(ended({ method: 'GET', route: '/rules', status: 401 })).toEqual([])
    expect(ended({ method: 'PUT', route: '/rules', status: 405 })).toEqual([])
  })
})
