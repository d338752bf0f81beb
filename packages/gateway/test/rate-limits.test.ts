import { createApiKey } from '@tidemark/shared/access/api-key'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { describe, expect, test } from 'vitest'
import { type ApiDocument, createContract, operationsOf } from './support/contract.ts'
import { createTestApp, storedSamples } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

/** So slow that no test sees a token regained. */
const SLOW = { REQUESTS_PER_S_MAX: '0.01', RATE_BURST_S: '300' }

const SAMPLE = '{"key":"a","value":1}'

function batch(count: number): string {
  return JSON.stringify(Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: i })))
}

describe('requests', () => {
  test('beyond the limit get 429 with the time to wait and the limit, and do nothing', async () => {
    const store = createMemoryStore()
    const { app, post, registry } = createTestApp({ store, settings: SLOW })
    const first = await post(SAMPLE)
    expect(first.status).toBe(202)
    expect(first.headers.get('RateLimit-Policy')).toBe('"requests";q=3;w=300')
    expect(first.headers.get('RateLimit')).toMatch(/^"requests";r=2;t=(99|100|101)$/)
    expect((await app.request('/analyze')).headers.get('RateLimit')).toMatch(/^"requests";r=1;t=/)
    expect((await app.request('/nowhere')).headers.get('RateLimit')).toMatch(/^"requests";r=0;t=/)
    const refused = await post(SAMPLE)
    expect(refused.status).toBe(429)
    const retryAfter = refused.headers.get('Retry-After')
    expect(retryAfter).toMatch(/^(99|100)$/)
    expect(refused.headers.get('RateLimit-Policy')).toBe('"requests";q=3;w=300')
    expect(refused.headers.get('RateLimit')).toBe(`"requests";r=0;t=${retryAfter}`)
    expect(await problemOf(refused)).toMatchObject({
      type: 'urn:tidemark:problem:rate-limited',
      detail:
        'An address without an API key may send 0.01 requests a second, and 3 at once. Nothing was done. ' +
        `Retry the request after ${retryAfter} s.`,
    })
    expect((await app.request('/rules')).status).toBe(429)
    expect(await storedSamples(store)).toHaveLength(1)
    expect(await registry.getSingleMetricAsString('gateway_rate_limited_total')).toContain('{limit="requests"} 2')
  })

  test('of health checks and of monitoring are not limited', async () => {
    const { app } = createTestApp({ settings: SLOW })
    for (const path of ['/livez', '/readyz', '/health', '/metrics']) {
      for (let i = 0; i < 5; i++) expect((await app.request(path)).status).toBe(200)
    }
    for (let i = 0; i < 3; i++) await app.request('/rules')
    expect((await app.request('/rules')).status).toBe(429)
    expect((await app.request('/readyz')).status).toBe(200)
  })

  test('are not limited, and have no such headers, unless a limit is set', async () => {
    const { post } = createTestApp()
    for (let i = 0; i < 50; i++) expect((await post(SAMPLE)).status).toBe(202)
    const { headers } = await post(SAMPLE)
    expect([headers.get('RateLimit'), headers.get('RateLimit-Policy')]).toEqual([null, null])
  })

  test('are limited by each gateway while the store is unavailable, and never fail for that', async () => {
    const store = createMemoryStore()
    const take = () => Promise.reject(new StoreError('down', { kind: 'unknown' }))
    const { app } = createTestApp({ store: { ...store, limits: { take } }, settings: SLOW })
    const statuses: number[] = []
    for (let i = 0; i < 5; i++) statuses.push((await app.request('/rules')).status)
    expect(statuses).toEqual([200, 200, 200, 429, 429])
  })
})

describe('samples', () => {
  const settings = { SAMPLES_PER_S_MAX: '0.1', RATE_BURST_S: '1000' }

  test('beyond the limit get 429: all of a request are stored, or none', async () => {
    const store = createMemoryStore()
    const { post, registry } = createTestApp({ store, settings })
    expect((await post(batch(90))).status).toBe(202)
    const refused = await post(batch(20))
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(95)
    expect(Number(refused.headers.get('Retry-After'))).toBeLessThanOrEqual(100)
    expect(refused.headers.get('RateLimit-Policy')).toBe('"samples";q=100;w=1000;qu="samples"')
    expect(await problemOf(refused)).toMatchObject({ accepted: 0, rejected: [], receipts: [] })
    expect(await storedSamples(store)).toHaveLength(90)
    const last = await post(batch(10))
    expect(last.status).toBe(202)
    expect(last.headers.get('RateLimit')).toMatch(/^"samples";r=0;t=\d+$/)
    expect(await storedSamples(store)).toHaveLength(100)
    expect(await registry.getSingleMetricAsString('gateway_samples_rejected_total')).toContain('{reason="rate"} 20')
    expect(await registry.getSingleMetricAsString('gateway_rate_limited_total')).toContain('{limit="samples"} 1')
  })

  test('are counted if they are valid', async () => {
    const { post } = createTestApp({ settings })
    const invalid = Array.from({ length: 150 }, () => ({ key: 'a' }))
    expect((await post(JSON.stringify([...JSON.parse(batch(99)), ...invalid]))).status).toBe(202)
    expect((await post(JSON.stringify(invalid))).status).toBe(400)
    expect((await post(batch(1))).status).toBe(202)
    // Its body is not even read.
    expect((await post('{')).status).toBe(429)
  })

  test('of a request above the burst are stored when nothing was used, and the debt is waited for', async () => {
    const { post } = createTestApp({ settings })
    expect((await post(batch(250))).status).toBe(202)
    const refused = await post(batch(1))
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThan(1500)
  })

  test('do not limit reads', async () => {
    const { app, post } = createTestApp({ settings })
    await post(batch(100))
    expect((await post(batch(1))).status).toBe(429)
    expect((await app.request('/rules')).status).toBe(200)
  })
})

/** An app with API keys: one as many others, one with limits of its own, one that may not read. */
function withKeys(settings: Readonly<Record<string, string>>) {
  const made = { key_prefix: '', limits: {}, expires_at: null, created_at: null, created_by: '' }
  const plain = createApiKey({ ...made, scopes: ['ingest', 'read'], name: 'plain' })
  const other = createApiKey({ ...made, scopes: ['ingest', 'read'], name: 'other' })
  const large = createApiKey({ ...made, scopes: ['ingest', 'read'], name: 'large', limits: { requests_per_s: 0.02 } })
  const writer = createApiKey({ ...made, scopes: ['ingest'], name: 'writer' })
  const keys = [plain, other, large, writer].map(({ record }) => record)
  const { app, registry } = createTestApp({ settings, auth: 'on', keys })
  async function statuses(token: string | undefined, count: number, path = '/rules'): Promise<number[]> {
    const found: number[] = []
    for (let i = 0; i < count; i++) found.push((await get(token, path)).status)
    return found
  }
  const get = async (token: string | undefined, path = '/rules') =>
    app.request(path, { headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } })
  return { registry, get, statuses, plain: plain.token, other: other.token, large: large.token, writer: writer.token }
}

describe('API keys', () => {
  const settings = { REQUESTS_PER_S_MAX: '0.01', RATE_BURST_S: '200' }

  test('have limits of their own, the default or what the key says', async () => {
    const { statuses, get, plain, other, large } = withKeys(settings)
    expect(await statuses(plain, 3)).toEqual([200, 200, 429])
    expect(await statuses(other, 3)).toEqual([200, 200, 429])
    expect(await statuses(large, 5)).toEqual([200, 200, 200, 200, 429])
    expect(await problemOf(await get(large))).toMatchObject({
      detail: expect.stringContaining('This API key may send 0.02 requests a second, and 4 at once.'),
    })
  })

  test('without the scope of a route are limited too', async () => {
    const { statuses, writer } = withKeys(settings)
    expect(await statuses(writer, 3)).toEqual([403, 403, 429])
  })
})

describe('failed authentications', () => {
  const settings = { AUTH_FAILURES_PER_MIN_MAX: '5' }
  const WRONG = `tmk_${'0'.repeat(12)}_${'a'.repeat(49)}`

  test('of an address are limited, and a valid key from the same address passes always', async () => {
    const { statuses, get, registry, plain } = withKeys(settings)
    expect(await statuses(WRONG, 6)).toEqual([401, 401, 401, 401, 401, 429])
    expect(await statuses(undefined, 2)).toEqual([429, 429])
    expect(await statuses(plain, 20)).toEqual(Array(20).fill(200))
    const refused = await get(WRONG)
    expect(refused.headers.get('Retry-After')).toMatch(/^1[0-2]$/)
    expect(refused.headers.get('WWW-Authenticate')).toBeNull()
    expect(refused.headers.get('RateLimit-Policy')).toBe('"failed-authentications";q=5;w=60')
    expect(await problemOf(refused)).toMatchObject({
      type: 'urn:tidemark:problem:rate-limited',
      detail: expect.stringContaining('Too many authentications failed from this address'),
    })
    const metric = await registry.getSingleMetricAsString('gateway_rate_limited_total')
    expect(metric).toContain('{limit="failed-authentications"} 4')
  })

  test('are counted by address, as trusted proxies have seen it', async () => {
    const { app } = createTestApp({ auth: 'on', settings: { ...settings, TRUSTED_PROXIES: '1' } })
    const statusOf = async (address: string): Promise<number> =>
      (await app.request('/rules', { headers: { 'X-Forwarded-For': address, 'X-API-Key': WRONG } })).status
    for (let i = 0; i < 5; i++) expect(await statusOf('1.1.1.1')).toBe(401)
    expect(await statusOf('1.1.1.1')).toBe(429)
    expect(await statusOf('2.2.2.2')).toBe(401)
  })

  test('are not limited if the setting is 0', async () => {
    const { statuses } = withKeys({ AUTH_FAILURES_PER_MIN_MAX: '0' })
    expect(new Set(await statuses(WRONG, 100))).toEqual(new Set([401]))
  })
})

test('429 is documented for every operation that is limited, as it is sent', async () => {
  const document = (await (await createTestApp().app.request('/openapi.json')).json()) as ApiDocument
  const { app } = createTestApp({ settings: { REQUESTS_PER_S_MAX: '0.01' } })
  await app.request('/nowhere')
  const contract = createContract(document)
  for (const { method, path, operation } of operationsOf(document).values()) {
    const response = await app.request(path.replace(/\{\w+\}/, 'x'), { method })
    const isLimited = !['/livez', '/readyz', '/health', '/metrics'].includes(path)
    expect([path, response.status === 429, operation.responses[429] !== undefined]).toEqual([
      path,
      isLimited,
      isLimited,
    ])
    if (isLimited) expect(await contract.differences(response, operation)).toEqual([])
  }
})

describe('behind proxies', () => {
  async function statuses(TRUSTED_PROXIES: string | undefined, headers: readonly string[]): Promise<number[]> {
    const settings = { REQUESTS_PER_S_MAX: '0.01', ...(TRUSTED_PROXIES === undefined ? {} : { TRUSTED_PROXIES }) }
    const { app } = createTestApp({ settings })
    const found: number[] = []
    for (const header of headers) {
      found.push((await app.request('/rules', { headers: { 'X-Forwarded-For': header } })).status)
    }
    return found
  }

  test('each address that the trusted proxy has seen has its own limit', async () => {
    expect(await statuses('1', ['1.1.1.1', '2.2.2.2', '1.1.1.1', '3.3.3.3, 2.2.2.2'])).toEqual([200, 200, 429, 429])
    expect(await statuses('1', ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1'])).toEqual([200, 429, 200])
  })

  test('X-Forwarded-For is ignored unless proxies are trusted', async () => {
    expect(await statuses(undefined, ['1.1.1.1', '2.2.2.2'])).toEqual([200, 429])
  })
})
