import { describe, expect, test } from 'vitest'
import { readDocs } from '../src/http/docs.ts'
import { testKey } from './support/api-keys.ts'
import { createTestApp, type TestAppOptions } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const EVIL = 'https://evil.example'
const FRIEND = 'https://grafana.example.com'
const JSON_TYPE = { 'Content-Type': 'application/json' }
const RULE = JSON.stringify({ rule: { pattern: 'a' }, who: 'mira', why: 'test' })

interface Sent {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

function createTarget(options: TestAppOptions = {}) {
  const { app, ...test } = createTestApp(options)
  return {
    ...test,
    send: ({ method = 'PUT', path = '/rules/r', headers = {}, body = method === 'PUT' ? RULE : undefined }: Sent) =>
      app.request(path, {
        method,
        headers: { Host: 'localhost:8080', ...JSON_TYPE, ...headers },
        ...(body === undefined ? {} : { body }),
      }),
  }
}

async function kindOf(response: Response): Promise<string | undefined> {
  return (await problemOf(response)).type?.replace('urn:tidemark:problem:', '')
}

describe('a page of another site', () => {
  /** What a page can make a browser send without a preflight, and what it could send after one. */
  const REQUESTS: readonly [string, Sent][] = [
    ['fetch with text', { method: 'POST', path: '/ingest', headers: { 'Content-Type': 'text/plain' }, body: '{}' }],
    ['a form', { method: 'POST', path: '/ingest', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }],
    ['a beacon', { method: 'POST', path: '/ingest', headers: { 'Content-Type': 'multipart/form-data' }, body: 'a' }],
    ['fetch with JSON', { method: 'POST', path: '/ingest', body: '{"key":"a","value":1}' }],
    ['fetch without a body', { method: 'POST', path: '/dead/0:1-0/discard' }],
    ['an acknowledgement', { method: 'POST', path: '/alerts/a/acknowledge', body: '{}' }],
    ['a sign-in as another', { method: 'POST', path: '/login', body: '{"api_key":"a"}' }],
    ['a logout', { method: 'POST', path: '/logout' }],
    ['a rule', {}],
    ['a deletion', { method: 'DELETE', path: '/rules/r?who=a&why=b' }],
    ['an unknown method', { method: 'PROPFIND', path: '/rules' }],
    ['an unknown path', { method: 'POST', path: '/unknown' }],
  ]

  test.each(REQUESTS)('cannot change anything by %s', async (_name, sent) => {
    const { send } = createTarget()
    for (const headers of [
      { Origin: EVIL },
      { Origin: 'null' },
      { Origin: 'http://localhost:8081' },
      { Origin: EVIL, 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' },
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
    ]) {
      const response = await send({ ...sent, headers: { ...sent.headers, ...headers } })
      expect([headers, response.status, await kindOf(response)]).toEqual([headers, 403, 'origin-not-allowed'])
    }
  })

  test('cannot disguise a change as a read', async () => {
    const { send } = createTarget()
    const headers = { Origin: EVIL, 'X-HTTP-Method-Override': 'DELETE', 'X-Method-Override': 'DELETE' }
    expect((await send({ method: 'GET', path: '/rules?_method=DELETE', headers })).status).toBe(400)
    await send({})
    expect((await send({ method: 'GET', path: '/rules/r', headers })).status).toBe(200)
    expect((await send({ method: 'GET', path: '/rules/r' })).status).toBe(200)
  })

  test('reads nothing: no response allows its origin', async () => {
    const { send } = createTarget()
    for (const method of ['GET', 'OPTIONS', 'HEAD']) {
      const { headers } = await send({ method, path: '/rules', headers: { Origin: EVIL } })
      expect([...headers.keys()].filter(name => name.startsWith('access-control-'))).toEqual([])
      expect(headers.get('Cross-Origin-Resource-Policy')).toBe('same-origin')
    }
  })

  test("the gateway's own pages and clients without a browser may change everything", async () => {
    const { send } = createTarget({ settings: { PUBLIC_URL: 'https://tidemark.example.com' } })
    for (const headers of [
      {},
      { Origin: 'http://localhost:8080', 'Sec-Fetch-Site': 'same-origin' },
      { Origin: 'https://tidemark.example.com', 'Sec-Fetch-Site': 'same-origin' },
      { Host: 'tidemark.example.com', Origin: 'https://tidemark.example.com' },
      { 'Sec-Fetch-Site': 'none' },
    ]) {
      expect((await send({ headers })).ok).toBe(true)
    }
  })
})

describe('a change of an operator', () => {
  test.each([
    'text/plain',
    'text/plain; charset=application/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=a',
    'application/jsonp',
    'application/x-ndjson',
    'text/json',
    '',
  ])('is refused with the type %j', async type => {
    const { send } = createTarget()
    for (const sent of [{}, { method: 'POST', path: '/dead/0:1-0/put-back', body: '{}' }]) {
      const response = await send({ ...sent, headers: { 'Content-Type': type } })
      expect([response.status, await kindOf(response)]).toEqual([415, 'media-type-unsupported'])
    }
  })

  test.each(['application/json', 'Application/JSON; charset=utf-8', ' application/json;'])('may be %j', async type => {
    const { send } = createTarget()
    expect((await send({ headers: { 'Content-Type': type } })).ok).toBe(true)
  })

  test('needs no type without a body', async () => {
    const { send } = createTarget()
    await send({})
    const sent = { method: 'DELETE', path: '/rules/r?who=a&why=b', headers: { 'Content-Type': '' } }
    expect((await send(sent)).status).toBe(200)
  })

  test('that no route serves is 404 or 405, whatever its type', async () => {
    const { send } = createTarget()
    const headers = { 'Content-Type': 'text/plain' }
    expect((await send({ method: 'POST', path: '/unknown', headers, body: 'a' })).status).toBe(404)
    expect((await send({ method: 'PATCH', path: '/rules', headers, body: 'a' })).status).toBe(405)
  })
})

describe('without authentication', () => {
  const key = testKey()

  test.each(['evil.example', 'evil.example:8080', 'localhost.evil.example', '127.0.0.1.nip.io'])(
    'a name that DNS can point here gets nothing: %s',
    async host => {
      const { send } = createTarget()
      for (const sent of [
        {},
        { method: 'GET', path: '/rules' },
        { method: 'HEAD', path: '/livez' },
        { method: 'OPTIONS', path: '/rules' },
        { method: 'GET', path: '/docs' },
        { method: 'GET', path: '/unknown' },
        { method: 'POST', path: '/ingest', body: '{"key":"a","value":1}' },
      ]) {
        const headers = { Host: host, Origin: `http://${host}`, 'Sec-Fetch-Site': 'same-origin' }
        const response = await send({ ...sent, headers })
        expect([sent, response.status]).toEqual([sent, 403])
        if (sent.method !== 'HEAD') expect(await kindOf(response)).toBe('host-not-allowed')
      }
      const forwarded = { Host: host, 'X-Forwarded-Host': 'localhost', Forwarded: 'host=localhost' }
      expect((await send({ headers: forwarded })).status).toBe(403)
    },
  )

  test.each([
    ['localhost:8080', {}],
    ['127.0.0.1', {}],
    ['[::1]:8080', {}],
    ['10.1.2.3:8080', {}],
    ['tidemark.lan:8080', { ALLOWED_HOSTS: 'other.lan, Tidemark.LAN' }],
    ['tidemark.example.com', { PUBLIC_URL: 'https://tidemark.example.com' }],
    ['gateway', { HOST: 'gateway' }],
  ])('the host %s is allowed with %o', async (host, settings) => {
    const { send } = createTarget({ settings })
    expect((await send({ method: 'GET', path: '/rules', headers: { Host: host } })).status).toBe(200)
  })

  test('but with it any host is: a page at another name has no cookie and no key', async () => {
    const { send } = createTarget({ keys: [key.record] })
    const headers = { ...key.headers, Host: 'any.example' }
    expect((await send({ method: 'GET', path: '/rules', headers })).status).toBe(200)
    expect((await send({ method: 'GET', path: '/rules', headers: { Host: 'any.example' } })).status).toBe(401)
  })
})

describe('CORS', () => {
  const key = testKey()
  const target = () => createTarget({ keys: [key.record], settings: { CORS_ORIGINS: FRIEND } })

  test('answers the preflight of an allowed origin, without authentication', async () => {
    const { send } = target()
    const response = await send({
      method: 'OPTIONS',
      headers: {
        Origin: FRIEND,
        'Access-Control-Request-Method': 'PUT',
        'Access-Control-Request-Headers': 'authorization, content-type',
      },
    })
    expect(response.status).toBe(204)
    const { headers } = response
    expect(headers.get('Access-Control-Allow-Origin')).toBe(FRIEND)
    expect(headers.get('Access-Control-Allow-Methods')).toContain('PUT')
    expect(headers.get('Access-Control-Allow-Headers')).toMatch(/authorization, ?content-type/)
    expect(headers.get('Access-Control-Allow-Credentials')).toBeNull()
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
  })

  test('lets an allowed origin use an API key, and read errors too', async () => {
    const { send } = target()
    for (const [headers, status] of [
      [{ ...key.headers, Origin: FRIEND, 'Sec-Fetch-Site': 'cross-site' }, 201],
      [{ Origin: FRIEND }, 401],
      [{ ...key.headers, Origin: FRIEND, 'Content-Type': 'text/plain' }, 415],
    ] as const) {
      const response = await send({ headers })
      expect(response.status).toBe(status)
      expect(response.headers.get('Access-Control-Allow-Origin')).toBe(FRIEND)
      expect(response.headers.get('Access-Control-Allow-Credentials')).toBeNull()
      expect(response.headers.get('Vary')).toContain('Origin')
    }
    const samples = { method: 'POST', path: '/ingest', body: '{"key":"a","value":1}' }
    const stored = await send({ ...samples, headers: { ...key.headers, Origin: FRIEND } })
    expect([stored.status, stored.headers.get('Access-Control-Allow-Origin')]).toEqual([202, FRIEND])
  })

  test('allows no other origin', async () => {
    const { send } = target()
    for (const origin of [EVIL, 'null', `${FRIEND}.evil.example`, 'http://grafana.example.com', `${FRIEND}:8443`]) {
      for (const method of ['OPTIONS', 'GET', 'PUT']) {
        const response = await send({ method, headers: { ...key.headers, Origin: origin } })
        expect(response.headers.get('Access-Control-Allow-Origin')).toBeNull()
        if (method === 'PUT') expect(response.status).toBe(403)
      }
    }
  })

  test('leaves OPTIONS without an origin to the route', async () => {
    const response = await target().send({ method: 'OPTIONS' })
    expect([response.status, response.headers.get('Allow')]).toEqual([204, 'GET, HEAD, PUT, DELETE'])
  })
})

describe('security headers', () => {
  const ALL = {
    'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cache-control': 'no-store',
  }

  test.each([
    ['a read', { method: 'GET', path: '/rules' }, 200],
    ['a change', {}, 201],
    ['an error', { method: 'GET', path: '/history' }, 400],
    ['an unknown path', { method: 'GET', path: '/unknown' }, 404],
    ['a refused page', { headers: { Origin: EVIL } }, 403],
    ['a health route', { method: 'GET', path: '/livez' }, 200],
    [
      'samples of a page',
      { method: 'POST', path: '/ingest', body: '{"key":"a","value":1}', headers: { Origin: 'http://localhost:8080' } },
      202,
    ],
    ['refused samples', { method: 'POST', path: '/ingest', body: '{' }, 400],
  ] as const)('are on %s', async (_name, sent, status) => {
    const response = await createTarget().send(sent)
    expect(response.status).toBe(status)
    expect(Object.fromEntries(response.headers)).toMatchObject(ALL)
    expect(response.headers.get('Strict-Transport-Security')).toBeNull()
  })

  test('of pages allow what the page needs, and no frame', async () => {
    const { send } = createTarget({ docs: readDocs() })
    const { headers } = await send({ method: 'GET', path: '/docs' })
    expect(headers.get('Content-Security-Policy')).toMatch(/script-src 'self';.*frame-ancestors 'none'/)
    expect(headers.get('X-Frame-Options')).toBe('DENY')
    expect(headers.get('Referrer-Policy')).toBe('no-referrer')
    expect(headers.get('Cache-Control')).toBe('no-cache')
  })

  test('require https where browsers use it', async () => {
    const { send } = createTarget({ settings: { PUBLIC_URL: 'https://tidemark.example.com' } })
    const { headers } = await send({ method: 'GET', path: '/rules' })
    expect(headers.get('Strict-Transport-Security')).toBe('max-age=15552000')
  })
})
