import { gzipSync } from 'node:zlib'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { describe, expect, test } from 'vitest'
import { testKey } from './support/api-keys.ts'
import { createTestApp, NOW, storedSamples, type TestAppOptions } from './support/fixture.ts'

const LINES = 'cpu,host=a usage=1.5,state="on" 1700000000000000000\ncpu,host=b usage=2i'

type Body = string | Blob | Uint8Array<ArrayBuffer>

/** An app and what its store holds: `key=value` of each sample. */
function createTarget(options: TestAppOptions = {}) {
  const store = createMemoryStore({ now: () => NOW })
  const { app, registry } = createTestApp({ store, ...options })
  return {
    app,
    registry,
    write: (
      body: Body,
      { path = '/api/v2/write?org=o&bucket=b', headers = {} }: { path?: string; headers?: Record<string, string> } = {},
    ) => app.request(path, { method: 'POST', body, headers }),
    stored: async () => (await storedSamples(store)).map(({ key, value }) => `${key}=${value}`).sort(),
    times: async () => (await storedSamples(store)).map(({ timestamp }) => timestamp),
  }
}

type Target = ReturnType<typeof createTarget>

const PATHS = ['/api/v2/write', '/write']
const BOTH = ['cpu,host=a.usage=1.5', 'cpu,host=b.usage=2']

describe('a write', () => {
  test.each([
    '/api/v2/write?org=o&bucket=b&precision=ns',
    '/api/v2/write',
    '/api/v2/write?orgID=1&bucket=x%2Fy&unknown=1',
    '/write?db=telegraf&rp=autogen&consistency=any',
    '/write/?db=telegraf',
    '//api/v2/write',
  ])('to %s is 204 without a body when all is stored', async path => {
    const target = createTarget()
    const response = await target.write(LINES, { path })
    expect([response.status, await response.text()]).toEqual([204, ''])
    expect(response.headers.get('Tidemark-Skipped')).toBe('text=1')
    expect(await target.stored()).toEqual(BOTH)
  })

  test.each(['text/plain; charset=utf-8', 'application/x-www-form-urlencoded', 'application/json', 'text/csv', ''])(
    'has any type: %j',
    async type => {
      const target = createTarget()
      const response = await target.write(new Blob([LINES]), { headers: type === '' ? {} : { 'Content-Type': type } })
      expect(response.status).toBe(204)
      expect(await target.stored()).toEqual(BOTH)
    },
  )

  test('may be compressed', async () => {
    const target = createTarget()
    const response = await target.write(gzipSync(LINES), { headers: { 'Content-Encoding': 'gzip' } })
    expect(response.status).toBe(204)
    expect(await target.stored()).toEqual(BOTH)
  })

  test.each([
    ['precision=s', '1700000000'],
    ['precision=ms', '1700000000000'],
    ['precision=us', '1700000000000000'],
    ['precision=ns', '1700000000000000000'],
    ['precision=n', '1700000000000000000'],
    ['precision=u', '1700000000000000'],
    ['precision=', '1700000000000000000'],
    ['', '1700000000000000000'],
  ])('with %s has times in that unit', async (query, time) => {
    const target = createTarget()
    expect((await target.write(`m v=1 ${time}`, { path: `/write?${query}` })).status).toBe(204)
    expect(await target.times()).toEqual([NOW])
  })

  test('is stored once under an Idempotency-Key, which no other lines may have', async () => {
    const target = createTarget()
    const headers = { 'Idempotency-Key': 'a' }
    for (let i = 0; i < 2; i++) expect((await target.write(LINES, { headers })).status).toBe(204)
    expect(await target.stored()).toEqual(BOTH)
    const other = await target.write(`${LINES}\n`, { headers })
    expect([other.status, await other.json()]).toMatchObject([422, { code: 'unprocessable entity' }])
  })

  test('makes its keys by INFLUX_KEY', async () => {
    const target = createTarget({ settings: { INFLUX_KEY: '{host}/{measurement}{tags}.{field}' } })
    expect((await target.write(LINES)).status).toBe(204)
    expect(await target.stored()).toEqual(['a/cpu.usage=1.5', 'b/cpu.usage=2'])
  })
})

async function errorOf(target: Target, path: string, body: Body, headers = {}) {
  const response = await target.write(body, { path, headers })
  expect(response.headers.get('Content-Type')).toBe('application/json')
  const error = (await response.json()) as { code?: string; message?: string; error?: string; line?: number }
  return { response, error, message: error.message ?? error.error ?? '', status: response.status }
}

describe.each(PATHS)('%s', path => {
  const isV2 = path === '/api/v2/write'

  test('stores the good lines and names the others by their number', async () => {
    const target = createTarget()
    const { status, error } = await errorOf(target, path, `# comment\n${LINES}\nno line\nm v=NaN,w=1\n`)
    const rejected = [
      { line: 4, reason: 'line 4: unable to parse "no line": a field has no value: write it as name=value' },
      { line: 5, reason: 'line 5: field "v": value is NaN: leave the field out' },
    ]
    const message = `partial write: ${rejected.map(({ reason }) => reason).join('; ')} dropped=2`
    expect(status).toBe(400)
    expect(error).toEqual(isV2 ? { code: 'invalid', message, line: 4, rejected } : { error: message, rejected })
    expect(await target.stored()).toEqual([...BOTH, 'm.w=1'])
  })

  test('is 400 when no line can be used', async () => {
    const target = createTarget()
    const { status, message } = await errorOf(target, path, 'x\n'.repeat(30))
    expect(status).toBe(400)
    expect(message).toMatch(/^line 1: unable to parse "x".*line 10: .*; and 20 more$/)
    expect(await target.stored()).toEqual([])
  })

  test.each<[string, Body, Record<string, string>, number, string, string]>([
    ['an empty body', '', {}, 400, 'empty value', 'body is empty'],
    ['too many samples', 'm v=1\n'.repeat(10_001), {}, 413, 'request too large', 'Split them'],
    ['too many bytes', 'x'.repeat(1_100_000), {}, 413, 'request too large', 'Split the samples'],
    ['a bomb', gzipSync('#'.repeat(9e6)), { 'Content-Encoding': 'gzip' }, 413, 'request too large', 'decompression'],
    ['an unknown coding', LINES, { 'Content-Encoding': 'snappy' }, 415, 'invalid', 'use one of gzip'],
    ['a damaged body', LINES, { 'Content-Encoding': 'gzip' }, 400, 'invalid', 'nothing of it is stored'],
  ])('of %s fails in the words of InfluxDB', async (_, body, headers, status, code, words) => {
    const target = createTarget()
    const answer = await errorOf(target, path, body, headers)
    expect(answer.status).toBe(status)
    expect(answer.message).toContain(words)
    expect(answer.error.code).toBe(isV2 ? code : undefined)
    if (status === 415) expect(answer.response.headers.get('Accept-Encoding')).toContain('zstd')
    expect(await target.stored()).toEqual([])
  })

  test('names the precisions that exist', async () => {
    const { status, message } = await errorOf(createTarget(), `${path}?precision=day`, LINES)
    expect([status, message]).toEqual([400, 'Precision must be ns, us, ms, s, m or h, not "day".'])
  })

  test('is 503 with Retry-After while the store does not respond', async () => {
    const target = createTarget({
      override: {
        append: async batches =>
          batches.map(() => ({ kind: 'failed', error: new StoreError('gone', { kind: 'unknown' }) })),
      },
    })
    const { status, message, error, response } = await errorOf(target, path, LINES)
    expect([status, error.code]).toEqual([503, isV2 ? 'unavailable' : undefined])
    // At these words Telegraf discards the batch.
    expect(message).not.toMatch(/partial write|unable to parse/)
    expect(message).toMatch(/^0 samples are stored, the others are not: line 1: the store did not respond/)
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThan(0)
    const closed = await errorOf(createTarget({ isStoreOpen: false }), path, LINES)
    expect([closed.status, closed.error.code]).toEqual([503, isV2 ? 'unavailable' : undefined])
    expect(closed.response.headers.has('Retry-After')).toBe(true)
  })

  test('is 429 beyond the limit of samples', async () => {
    const target = createTarget({ settings: { SAMPLES_PER_S_MAX: '2' } })
    expect((await target.write(LINES, { path })).status).toBe(204)
    const { status, error, response } = await errorOf(target, path, LINES)
    expect([status, error.code]).toEqual([429, isV2 ? 'too many requests' : undefined])
    expect(response.headers.has('Retry-After')).toBe(true)
    expect(response.headers.has('RateLimit')).toBe(true)
  })

  test('drops new keys beyond KEYS_MAX with 400, so that no agent repeats them for ever', async () => {
    const target = createTarget({ settings: { KEYS_MAX: '1' } })
    expect((await target.write('m v=1', { path })).status).toBe(204)
    const { status, message } = await errorOf(target, path, 'm v=2\nm w=3')
    expect(status).toBe(400)
    expect(message).toMatch(/^partial write: line 2: key "m.w" is new/)
    expect((await errorOf(target, path, 'm w=3')).status).toBe(400)
    expect(await target.stored()).toEqual(['m.v=1', 'm.v=2'])
  })
})

describe('the API key', () => {
  const key = testKey({ scopes: ['ingest'] })
  const { token } = key
  const target = (): Target => createTarget({ keys: [key.record] })

  test.each([
    ['Token', {}, { Authorization: `Token ${token}` }],
    ['Token with a user', {}, { Authorization: `Token telegraf:${token}` }],
    ['Bearer', {}, { Authorization: `Bearer ${token}` }],
    ['Basic', {}, { Authorization: `Basic ${btoa(`telegraf:${token}`)}` }],
    ['u and p', { u: 'telegraf', p: token }, {}],
    ['p alone', { p: token }, {}],
    ['p and the same header', { u: 'x', p: token }, { Authorization: `Token ${token}` }],
    ['an empty p and a header', { u: '', p: '' }, { Authorization: `Token ${token}` }],
  ])('is accepted by /write as %s', async (_, query, headers) => {
    const path = `/write?${new URLSearchParams({ db: 'd', ...query })}`
    expect((await target().write(LINES, { path, headers })).status).toBe(204)
  })

  test.each([
    ['none', { db: 'd' }, {}],
    ['a wrong p', { u: 'x', p: testKey().token }, {}],
    ['a wrong p beside a good header', { p: 'x' }, { Authorization: `Token ${token}` }],
  ])('is refused by /write: %s', async (_, query, headers) => {
    const { status, message, response } = await errorOf(
      target(),
      `/write?${new URLSearchParams(query)}`,
      LINES,
      headers,
    )
    expect(status).toBe(401)
    expect(message).toContain('needs a valid API key')
    expect(message).not.toContain(token)
    expect(response.headers.has('WWW-Authenticate')).toBe(true)
  })

  test('is not read from the URL of any other route', async () => {
    expect((await target().write(LINES, { path: `/api/v2/write?p=${token}` })).status).toBe(401)
    expect((await target().write('[]', { path: `/ingest?p=${token}` })).status).toBe(401)
  })

  test('that is bound to a prefix writes only its own keys', async () => {
    const bound = testKey({ scopes: ['ingest'], key_prefix: 'cpu,host=a' })
    const own = createTarget({ keys: [bound.record] })
    const part = await errorOf(own, '/api/v2/write', LINES, bound.headers)
    expect([part.status, part.error.line]).toEqual([400, 2])
    expect(part.message).toMatch(/^partial write: line 2: the API key may write only keys that begin with "cpu,host=a"/)
    const none = await errorOf(own, '/api/v2/write', 'mem v=1', bound.headers)
    expect([none.status, none.error.code]).toEqual([403, 'forbidden'])
    expect(await own.stored()).toEqual(['cpu,host=a.usage=1.5'])
  })
})

describe('/ping', () => {
  test.each(['GET', 'HEAD', 'POST'])('responds to %s as InfluxDB does', async method => {
    const response = await createTarget({ keys: [testKey().record], isStoreOpen: false }).app.request('/ping', {
      method,
    })
    expect([response.status, await response.text()]).toEqual([204, ''])
    expect(response.headers.get('X-Influxdb-Version')).toMatch(/^1\.8/)
  })
})

test.each<[string, Record<string, string>, string | undefined]>([
  ['/query', { 'Content-Type': 'application/x-www-form-urlencoded' }, 'q=CREATE+DATABASE+%22telegraf%22'],
  ['/query?q=CREATE%20DATABASE%20telegraf', {}, undefined],
])('a client of version 1 that creates its database at %s goes on', async (path, headers, body) => {
  const key = testKey()
  const { app } = createTarget({ keys: [key.record] })
  const post = (authorization: string) =>
    app.request(path, { method: 'POST', headers: { ...headers, Authorization: authorization }, body: body ?? null })
  const response = await post(`Bearer ${key.token}`)
  expect([response.status, await response.json()]).toEqual([200, { results: [{ statement_id: 0 }] }])
  const denied = await post('Bearer wrong')
  expect([denied.status, Object.keys((await denied.json()) as object)]).toEqual([401, ['error']])
})

test.each([
  ['/write', {}, 'Bearer realm="tidemark", Basic realm="tidemark"'],
  ['/ingest', {}, 'Bearer realm="tidemark", Basic realm="tidemark"'],
  ['/ingest', { 'Sec-Fetch-Mode': 'cors' }, 'Bearer realm="tidemark"'],
  ['/rules', {}, 'Bearer realm="tidemark"'],
])('%s offers Basic to clients that wait for it, and not to browsers: %o', async (path, headers, challenge) => {
  const { app } = createTarget({ keys: [testKey().record] })
  const method = path === '/rules' ? 'GET' : 'POST'
  const response = await app.request(path, { method, headers })
  expect([response.status, response.headers.get('WWW-Authenticate')]).toEqual([401, challenge])
})

test('/health has the form of InfluxDB for its clients, and its own for others', async () => {
  const health = async (agent: string, isStoreOpen: boolean) => {
    const { app } = createTestApp({ isStoreOpen })
    const response = await app.request('/health', { headers: { 'User-Agent': agent } })
    return [response.status, await response.json()]
  }
  for (const agent of [
    'influxdb-client-js/1.35.0',
    'influxdb-client-go/2.14 (linux; amd64)',
    'Telegraf/1.36.0 Go/1.25',
  ]) {
    expect(await health(agent, true)).toEqual([200, expect.objectContaining({ name: 'influxdb', status: 'pass' })])
    expect(await health(agent, false)).toEqual([503, expect.objectContaining({ name: 'influxdb', status: 'fail' })])
  }
  expect(await health('curl/8', true)).toEqual([200, { status: 'ok' }])
  expect(await health('curl/8', false)).toEqual([200, expect.objectContaining({ status: 'degraded' })])
})

test('metrics count samples by protocol, and what was skipped by reason', async () => {
  const target = createTarget()
  await target.write(`${LINES}\nx\nm v=1 -5`)
  await target.app.request('/ingest', { method: 'POST', body: '[{"key":"a","value":1},{}]' })
  const text = await target.registry.metrics()
  for (const line of [
    'gateway_protocol_samples_accepted_total{protocol="influx"} 2',
    'gateway_protocol_samples_accepted_total{protocol="json"} 1',
    'gateway_protocol_samples_rejected_total{protocol="influx",reason="shape"} 1',
    'gateway_protocol_samples_rejected_total{protocol="influx",reason="timestamp"} 1',
    'gateway_protocol_samples_rejected_total{protocol="json",reason="key"} 1',
    'gateway_protocol_fields_skipped_total{protocol="influx",reason="text"} 1',
    'gateway_samples_accepted_total 3',
    'gateway_samples_rejected_total{reason="shape"} 1',
  ]) {
    expect(text).toContain(`${line}\n`)
  }
})
