import type { ApiKey } from '@tidemark/shared/access/api-key'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { testKey } from './support/api-keys.ts'
import { createTestApp, NOW, type TestAppOptions } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const HOUR_MS = 3_600_000
const OWN = { Origin: 'http://localhost', Host: 'localhost' }
const RULE = { rule: { pattern: 'a' }, who: 'somebody', why: 'test' }

/** An app with one API key, and a browser that keeps the app's cookie. */
function createBrowser({ fields = {}, ...options }: TestAppOptions & { readonly fields?: Partial<ApiKey> } = {}) {
  const { token, record } = testKey({ scopes: ['ingest', 'read', 'operate'], ...fields })
  const time = { now: NOW }
  const { app, ...test } = createTestApp({ keys: [record], now: () => time.now, ...options })
  let cookie = ''
  const send = async (method: string, path: string, body?: unknown, headers: Record<string, string> = OWN) => {
    const response = await app.request(path, {
      method,
      headers: { ...headers, ...(cookie !== '' && { Cookie: cookie }), 'Content-Type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const set = response.headers.get('Set-Cookie')
    if (set !== null) cookie = set.split(';')[0] ?? ''
    return response
  }
  return {
    ...test,
    app,
    token,
    record,
    time,
    send,
    login: (key = token) => send('POST', '/login', { api_key: key }),
    jar: {
      get: () => cookie,
      set: (value: string) => {
        cookie = value
      },
    },
  }
}

describe('a session', () => {
  test('begins with an API key and has its rights, and ends by logout', async () => {
    const browser = createBrowser()
    const signedIn = await browser.login()
    expect(signedIn.status).toBe(200)
    const view = {
      id: browser.record.id,
      name: 'mira',
      scopes: ['ingest', 'read', 'operate'],
      key_prefix: '',
      via: 'session',
      expires_at: NOW + 12 * HOUR_MS,
    }
    expect(await signedIn.json()).toEqual(view)
    expect(signedIn.headers.get('Cache-Control')).toBe('no-store')
    const who = await browser.send('GET', '/session')
    expect([who.status, who.headers.get('Cache-Control'), await who.json()]).toEqual([200, 'no-store', view])
    expect((await browser.send('GET', '/rules')).status).toBe(200)
    const put = await browser.send('PUT', '/rules/r', RULE)
    expect([put.status, await put.json()]).toMatchObject([201, { changed: { who: 'mira' } }])
    expect((await browser.send('POST', '/ingest', { key: 'a', value: 1 })).status).toBe(202)
    expect((await browser.send('GET', '/api-keys')).status).toBe(403)

    const stolen = browser.jar.get()
    const out = await browser.send('POST', '/logout')
    expect([out.status, await out.json()]).toEqual([200, { ended: true }])
    expect(out.headers.get('Set-Cookie')).toMatch(/^tidemark=; Max-Age=0; Path=\/; HttpOnly; SameSite=Strict$/)
    expect((await browser.send('GET', '/session')).status).toBe(401)
    browser.jar.set(stolen)
    expect((await browser.send('GET', '/rules')).status).toBe(401)
    expect(await (await browser.send('POST', '/logout')).json()).toEqual({ ended: false })
  })

  test.each([
    [{}, /^tidemark=[^;]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/],
    [{ SESSION_TTL_MS: '60000' }, /^tidemark=[^;]+; Max-Age=60; /],
    [
      { PUBLIC_URL: 'https://tidemark.example.com' },
      /^__Host-tidemark=[^;]+; Max-Age=43200; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    ],
    [{ TLS_CERT_FILE: '/a', TLS_KEY_FILE: '/b' }, /^__Host-tidemark=[^;]+; .*Secure/],
  ])('with the settings %o has the cookie %s', async (settings, cookie) => {
    const { app, token } = createBrowser({ settings })
    const headers = { 'Content-Type': 'application/json' }
    const response = await app.request('/login', { method: 'POST', headers, body: JSON.stringify({ token }) })
    expect(response.headers.getSetCookie()).toEqual([expect.stringMatching(cookie)])
  })

  test('does not show its API key, in the cookie or in the response', async () => {
    const browser = createBrowser()
    const response = await browser.login()
    const secret = browser.token.slice(-49)
    expect(`${browser.jar.get()} ${await response.text()}`).not.toContain(secret)
  })

  test('ends after its time, and with its API key', async () => {
    const browser = createBrowser()
    await browser.login()
    browser.time.now += 12 * HOUR_MS - 1
    expect((await browser.send('GET', '/rules')).status).toBe(200)
    browser.time.now++
    expect((await browser.send('GET', '/rules')).status).toBe(401)

    const short = createBrowser({ fields: { expires_at: NOW + HOUR_MS } })
    expect(await (await short.login()).json()).toMatchObject({ expires_at: NOW + HOUR_MS })
    short.time.now += HOUR_MS
    expect((await short.send('GET', '/rules')).status).toBe(401)
  })

  test('ends when its API key is revoked, or gets another secret', async () => {
    const browser = createBrowser()
    await browser.login()
    browser.keyTable.replace('file', [{ ...browser.record, sha256: '0'.repeat(64) }])
    expect((await browser.send('GET', '/rules')).status).toBe(401)
    browser.keyTable.replace('file', [browser.record])
    expect((await browser.send('GET', '/rules')).status).toBe(200)
    // Another key remains: without any the gateway would be open.
    browser.keyTable.replace('file', [testKey().record])
    expect((await browser.send('GET', '/rules')).status).toBe(401)
  })

  test('ends with its API key if that is made to expire sooner', async () => {
    const browser = createBrowser()
    await browser.login()
    browser.keyTable.replace('file', [{ ...browser.record, expires_at: NOW + HOUR_MS }])
    expect((await browser.send('GET', '/rules')).status).toBe(200)
    browser.time.now += HOUR_MS
    expect((await browser.send('GET', '/rules')).status).toBe(401)
  })

  test('follows the scopes of its API key', async () => {
    const browser = createBrowser()
    await browser.login()
    browser.keyTable.replace('file', [{ ...browser.record, scopes: ['read'] }])
    expect((await browser.send('PUT', '/rules/r', RULE)).status).toBe(403)
    expect((await browser.send('GET', '/rules')).status).toBe(200)
  })

  test('is refused if any character of its cookie is changed', async () => {
    const browser = createBrowser({ settings: { AUTH_FAILURES_PER_MIN_MAX: '0' } })
    await browser.login()
    const good = decodeURIComponent(browser.jar.get().slice('tidemark='.length))
    const [id = '', time = '', key = '', rest = ''] = good.split('.')
    const other = createBrowser()
    await other.login()
    const changed = [
      ...[...good].map((letter, i) => good.slice(0, i) + (letter === '0' ? '1' : '0') + good.slice(i + 1)),
      [id, Number(time) + HOUR_MS, key, rest].join('.'),
      good.slice(0, good.lastIndexOf('.')),
      `${good}0`,
      '',
      decodeURIComponent(other.jar.get().slice('tidemark='.length)),
    ]
    for (const value of changed) {
      browser.jar.set(`tidemark=${encodeURIComponent(value)}`)
      expect([value, (await browser.send('GET', '/rules')).status]).toEqual([value, 401])
    }
    browser.jar.set(`other=1; tidemark=${encodeURIComponent(good)}; more=2`)
    expect((await browser.send('GET', '/rules')).status).toBe(200)
    browser.jar.set(`__Host-tidemark=${encodeURIComponent(good)}`)
    expect((await browser.send('GET', '/rules')).status).toBe(401)
  })

  test('gives way to an API key, right or wrong', async () => {
    const browser = createBrowser()
    await browser.login()
    const wrong = await browser.send('GET', '/rules', undefined, { Authorization: 'Bearer wrong' })
    expect(wrong.status).toBe(401)
    const view = await (await browser.send('GET', '/session', undefined, { 'X-API-Key': browser.token })).json()
    expect(view).toMatchObject({ via: 'api-key', expires_at: null })
  })

  test.each([
    ['PUT', '/rules/r', RULE],
    ['POST', '/ingest', { key: 'a', value: 1 }],
    ['POST', '/dead/0:1-0/discard', undefined],
  ])('changes nothing without the Origin of the gateway: %s %s', async (method, path, body) => {
    const browser = createBrowser({ settings: { CORS_ORIGINS: 'https://friend.example' } })
    await browser.login()
    const kindOf = async (headers: Record<string, string>) =>
      (await problemOf(await browser.send(method, path, body, headers))).type
    expect(await kindOf({ Host: 'localhost' })).toBe('urn:tidemark:problem:origin-required')
    expect(await kindOf({ Host: 'localhost', Origin: 'https://friend.example' })).toBe(
      'urn:tidemark:problem:origin-required',
    )
    expect(await kindOf({ Host: 'localhost', Origin: 'https://evil.example' })).toBe(
      'urn:tidemark:problem:origin-not-allowed',
    )
    expect((await browser.send(method, path, body)).status).not.toBe(403)
  })
})

describe('POST /login', () => {
  test.each([
    ['an unknown key', 'tmk_000000000000_'.padEnd(66, '0')],
    ['no key at all', 'x'],
    ['the key with another end', undefined],
  ])('refuses %s as every route does, and sets no cookie', async (_name, key) => {
    const browser = createBrowser()
    const response = await browser.login(key ?? `${browser.token.slice(0, -1)}!`)
    expect(response.headers.get('WWW-Authenticate')).toMatch(/^Bearer/)
    expect(response.headers.get('Set-Cookie')).toBeNull()
    expect((await problemOf(response)).type).toBe('urn:tidemark:problem:unauthenticated')
    expect(await browser.registry.metrics()).toMatch(/authentication\w*_total\{result="(?!ok|missing)\w+"\} 1/)
  })

  test.each([[{}], [{ api_key: '' }], [{ api_key: 1 }], [{ api_key: 'a', token: 'b' }], [{ key: 'a' }], [[]], ['a']])(
    'responds 422 to the body %j',
    async body => {
      const browser = createBrowser()
      expect((await browser.send('POST', '/login', body)).status).toBe(422)
    },
  )

  test('needs JSON, so that no form of another site can sign a browser in', async () => {
    const { app, token } = createBrowser()
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'text/plain; application/json', '']) {
      const body = JSON.stringify({ api_key: token })
      const response = await app.request('/login', { method: 'POST', headers: { 'Content-Type': type }, body })
      expect([type, response.status]).toEqual([type, 415])
    }
  })

  test('says that there is no authentication if there is none', async () => {
    const { app } = createTestApp()
    const headers = { 'Content-Type': 'application/json' }
    const response = await app.request('/login', { method: 'POST', headers, body: '{"api_key":"a"}' })
    expect((await problemOf(response)).type).toBe('urn:tidemark:problem:authentication-off')
    const who = await (await app.request('/session')).json()
    expect(who).toMatchObject({ id: 'anonymous', via: 'open', scopes: ['ingest', 'read', 'operate', 'admin'] })
  })

  test('and all cookies get 503 until the store is open', async () => {
    const open = createBrowser()
    await open.login()
    const browser = createBrowser({ isStoreOpen: false })
    expect((await browser.login()).status).toBe(503)
    browser.jar.set(open.jar.get())
    expect((await browser.send('GET', '/rules')).status).toBe(503)
    expect((await browser.send('GET', '/session')).status).toBe(503)
  })
})

test('sessions of two gateways are one, and end on both', async () => {
  const store = createMemoryStore()
  const one = createBrowser({ store })
  const two = createBrowser({ store, keys: [one.record] })
  await one.login()
  two.jar.set(one.jar.get())
  expect((await two.send('GET', '/rules')).status).toBe(200)
  await one.send('POST', '/logout')
  await two.sessions.load(store.sessions)
  expect((await two.send('GET', '/rules')).status).toBe(401)
})
