import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { testKey } from './support/api-keys.ts'
import { analyseAll, createTestApp, NOW, storedSamples } from './support/fixture.ts'
import { createWorld } from './support/world.ts'

const OWN = testKey({ name: 'tenant', key_prefix: 'edge-17/', scopes: ['ingest', 'read', 'operate'] })
const OTHER = testKey({ name: 'other', key_prefix: 'other/', scopes: ['ingest', 'read', 'operate'] })
const ALL = testKey({ name: 'everything' })
const KEYS = [OWN.record, OTHER.record, ALL.record]

type Key = typeof OWN

function clientOf(store = createMemoryStore({ partitions: 1, now: () => NOW })) {
  const { app } = createTestApp({ store, keys: KEYS })
  return async (key: Key, method: string, path: string, body?: unknown, more: Record<string, string> = {}) => {
    const content = body === undefined ? {} : { body: JSON.stringify(body) }
    const response = await app.request(path, {
      method,
      headers: { 'Content-Type': 'application/json', ...key.headers, ...more },
      ...content,
    })
    return { status: response.status, content: (await response.json()) as Record<string, unknown> }
  }
}

describe('POST /ingest with an API key that is bound to a prefix', () => {
  const sample = (key: string) => ({ key, value: 1 })

  test('stores the samples of its keys and rejects others by item', async () => {
    const store = createMemoryStore({ now: () => NOW })
    const call = clientOf(store)
    const body = [sample('edge-17/a'), sample('edge-1/a'), { key: '' }, sample('edge-17/b'), sample('edge-17')]
    const { status, content } = await call(OWN, 'POST', '/ingest', body)
    expect([status, content.accepted]).toEqual([202, 2])
    const rejected = content.rejected as { index: number; reason: string }[]
    expect(rejected.map(({ index }) => index)).toEqual([1, 2, 4])
    expect(rejected[0]?.reason).toBe('sample 1: the API key may write only keys that begin with "edge-17/"')
    expect((await storedSamples(store)).map(({ key }) => key).toSorted()).toEqual(['edge-17/a', 'edge-17/b'])
  })

  test('is 403 if nothing of it may be written, also for devices', async () => {
    const call = clientOf()
    const { status, content } = await call(OWN, 'POST', '/ingest', [sample('edge-1/a'), {}])
    expect(status).toBe(403)
    expect(content).toMatchObject({ type: 'urn:tidemark:problem:key-forbidden', accepted: 0 })
    expect(content.rejected).toHaveLength(2)
    const device = { device: 'edge-1', metrics: { rps: 1 } }
    expect((await call(OWN, 'POST', '/ingest', device)).status).toBe(403)
    expect((await call(OWN, 'POST', '/ingest', { ...device, device: 'edge-17' })).status).toBe(202)
    expect((await call(OWN, 'POST', '/ingest', [{}])).status).toBe(400)
  })

  test('Idempotency-Keys of two tenants do not meet', async () => {
    const call = clientOf()
    const headers = { 'Idempotency-Key': 'a' }
    expect((await call(OWN, 'POST', '/ingest', sample('edge-17/a'), headers)).status).toBe(202)
    expect((await call(OTHER, 'POST', '/ingest', sample('other/a'), headers)).status).toBe(202)
    expect((await call(OWN, 'POST', '/ingest', sample('edge-17/b'), headers)).status).toBe(422)
  })
})

describe('reading with an API key that is bound to a prefix', () => {
  async function twoTenants() {
    const store = createMemoryStore({ partitions: 1, now: () => NOW })
    const call = clientOf(store)
    // One entry with samples of both.
    const samples = ['edge-17/a', 'other/a', 'default/rps'].map(key => ({ key, value: 1 }))
    const { content } = await call(ALL, 'POST', '/ingest', samples)
    await analyseAll(store)
    return { call, receipt: (content.receipts as string[])[0] ?? '' }
  }
  const keysIn = (analyses: unknown) => (analyses as { key: string }[]).map(({ key }) => key)

  test('a receipt shows the verdicts on its own samples, and nothing if there are none', async () => {
    const { call, receipt } = await twoTenants()
    expect(keysIn((await call(OWN, 'GET', `/analyze?after=${receipt}`)).content.analyses)).toEqual(['edge-17/a'])
    expect((await call(OWN, 'GET', `/analyze?after=${receipt}&key=other/a`)).status).toBe(403)
    expect(keysIn((await call(ALL, 'GET', `/analyze?after=${receipt}`)).content.analyses)).toHaveLength(3)
  })

  test('a receipt of another tenant alone is the same as one whose verdicts are gone', async () => {
    const store = createMemoryStore({ partitions: 1, now: () => NOW })
    const call = clientOf(store)
    const { content } = await call(OTHER, 'POST', '/ingest', { key: 'other/a', value: 1 })
    await analyseAll(store)
    const [receipt] = content.receipts as string[]
    const found = await call(OWN, 'GET', `/analyze?after=${receipt}`)
    expect([found.status, found.content.type]).toEqual([404, 'urn:tidemark:problem:verdicts-gone'])
    expect((await call(OTHER, 'GET', `/analyze?after=${receipt}`)).status).toBe(200)
  })

  test('pages have its keys only, whatever prefix it asks for', async () => {
    const { call } = await twoTenants()
    const own = await call(OWN, 'GET', '/analyze')
    expect([keysIn(own.content.analyses), own.content.analysis]).toEqual([['edge-17/a'], null])
    expect(keysIn((await call(OWN, 'GET', '/analyze?prefix=other/')).content.analyses)).toEqual([])
    const all = await call(ALL, 'GET', '/analyze')
    expect(keysIn(all.content.analyses)).toHaveLength(3)
    expect(all.content.analysis).not.toBeNull()
    expect((await call(OWN, 'GET', '/history?key=edge-17/a')).status).toBe(200)
    expect((await call(OWN, 'GET', '/history?key=other/a')).status).toBe(403)
    expect((await call(OWN, 'GET', '/aggregates?key=edge-17/a')).status).toBe(200)
    expect((await call(OWN, 'GET', '/aggregates?key=other/a')).status).toBe(403)
  })

  test('alerts are its own, and their counts are not shown', async () => {
    const world = await createWorld()
    const call = clientOf(world.store)
    const own = await call(OWN, 'GET', '/alerts')
    expect([own.content.alerts, own.content.counts]).toEqual([[expect.objectContaining({ key: 'edge-17/rps' })], null])
    expect((await call(OTHER, 'GET', '/alerts')).content.alerts).toEqual([])
    expect((await call(ALL, 'GET', '/alerts')).content.counts).toEqual({ firing: 1, resolved: 0 })
    const groups = (await call(OWN, 'GET', '/alerts/groups')).content.groups as readonly { readonly id: string }[]
    expect(groups).toMatchObject([{ prefix: 'edge-17/rps', count: 1 }])
    expect((await call(OTHER, 'GET', '/alerts/groups')).content).toMatchObject({ groups: [], counts: { alerts: 0 } })
    expect((await call(OTHER, 'GET', `/alerts?group=${groups[0]?.id}`)).content.alerts).toEqual([])
    expect((await call(OWN, 'GET', `/alerts?group=${groups[0]?.id}`)).content.alerts).toHaveLength(1)
    const path = `/alerts/${world.alert}`
    expect((await call(OTHER, 'GET', path)).status).toBe(404)
    expect((await call(OTHER, 'POST', `${path}/acknowledge`, { why: 'x' })).status).toBe(404)
    expect((await call(OWN, 'GET', path)).status).toBe(200)
    expect((await call(OWN, 'POST', `${path}/acknowledge`, { why: 'x' })).content).toMatchObject({
      acknowledged: { who: 'tenant', why: 'x' },
    })
  })
})

describe('rules and mutes of an API key that is bound to a prefix', () => {
  const put = (pattern: string) => ({ rule: { pattern }, why: 'a test' })

  test.each(['*', 'edge-*', 'edge-17*', 'edge-1[7]/x', '{edge-17/a,other/a}', '[e]dge-17/a', '?dge-17/a'])(
    'must match its keys only: %s is 403',
    async pattern => {
      const call = clientOf()
      expect((await call(OWN, 'PUT', '/rules/a', put(pattern))).status).toBe(403)
      expect((await call(OWN, 'PUT', '/mutes/a', { pattern, until: '1h', why: 'x' })).status).toBe(403)
    },
  )

  test.each(['edge-17/*', 'edge-17/cpu', 'edge-17/{a,b}', '{edge-17/a,edge-17/b}', 'edge\\-17/*'])(
    'must match its keys only: %s is accepted',
    async pattern => {
      const call = clientOf()
      expect((await call(OWN, 'PUT', '/rules/a', put(pattern))).status).toBe(201)
      expect((await call(OWN, 'PUT', '/mutes/a', { pattern, until: '1h', why: 'x' })).status).toBe(201)
    },
  )

  test('are the ones that it sees, replaces and deletes', async () => {
    const call = clientOf()
    await call(OWN, 'PUT', '/rules/own', put('edge-17/*'))
    await call(OTHER, 'PUT', '/rules/other', put('other/*'))
    await call(ALL, 'PUT', '/rules/all', put('*'))
    await call(ALL, 'PUT', '/mutes/all', { pattern: '*', until: '1h', why: 'x' })
    await call(ALL, 'PUT', '/storm', { storm: { percent: 20, within: '1m', keys_min: 10 }, why: 'x' })
    const { content } = await call(OWN, 'GET', '/rules')
    const ids = (list: unknown) => (list as { rule: { id: string } }[]).map(({ rule }) => rule.id)
    expect([ids(content.rules), content.mutes, content.default]).toEqual([['own'], [], { counts: null }])
    expect((await call(OWN, 'GET', '/rules/other')).status).toBe(404)
    expect((await call(OWN, 'GET', '/rules/other/report')).status).toBe(404)
    expect((await call(OWN, 'DELETE', '/rules/other?why=x')).status).toBe(404)
    expect((await call(OWN, 'DELETE', '/mutes/all?why=x')).status).toBe(404)
    // Not even by a pattern of its own: the rule is another tenant's.
    expect((await call(OWN, 'PUT', '/rules/other', put('edge-17/*'))).status).toBe(403)
    expect((await call(OWN, 'PUT', '/mutes/all', { pattern: 'edge-17/*', until: '1h', why: 'x' })).status).toBe(403)
    const changes = (await call(OWN, 'GET', '/rules/changes')).content.changes as { id: string; who: string }[]
    expect(changes.map(({ id, who }) => [id, who])).toEqual([['own', 'tenant']])
    expect((await call(OWN, 'GET', '/rules/explain?key=edge-17/a')).content.rule).toBe('own')
    expect((await call(OWN, 'GET', '/rules/explain?key=other/a')).status).toBe(403)
    expect((await call(OWN, 'DELETE', '/rules/own?why=x')).status).toBe(200)
  })
})

describe('who', () => {
  test('is the name of the API key, whatever the request claims', async () => {
    const call = clientOf()
    const body = { rule: { pattern: 'edge-17/*' }, who: 'mallory', why: 'a test' }
    expect((await call(OWN, 'PUT', '/rules/a', body)).content.changed).toMatchObject({ who: 'tenant' })
    await call(OWN, 'DELETE', '/rules/a?who=mallory&why=x')
    await call(ALL, 'PUT', '/mutes/m', { pattern: '*', until: '1h', who: 'mallory', why: 'x' })
    await call(ALL, 'PUT', '/storm', { storm: { percent: 20, within: '1m', keys_min: 10 }, who: 7, why: 'x' })
    const changes = (await call(ALL, 'GET', '/rules/changes')).content.changes as { kind: string; who: string }[]
    expect(changes.map(({ kind, who }) => [kind, who])).toEqual([
      ['storm_put', 'everything'],
      ['mute_put', 'everything'],
      ['rule_deleted', 'tenant'],
      ['rule_put', 'tenant'],
    ])
  })

  test('is required while requests need no API key', async () => {
    const { app } = createTestApp()
    const headers = { 'Content-Type': 'application/json' }
    const send = (body: unknown) => app.request('/rules/a', { method: 'PUT', headers, body: JSON.stringify(body) })
    const rule = { pattern: '*' }
    expect((await send({ rule, why: 'x' })).status).toBe(422)
    expect(await (await send({ rule, who: 'mira', why: 'x' })).json()).toMatchObject({ changed: { who: 'mira' } })
  })
})
