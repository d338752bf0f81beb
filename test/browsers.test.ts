import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { EventLoopLag } from './support/event-loop-lag.ts'

/** What is in force everywhere after this time. */
const SPREAD_MS = 2000

const SAMPLE = '{"key":"a","value":1}'
const JSON_TYPE = { 'content-type': 'application/json' }

interface Received {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Of a problem. */
  readonly type: string | undefined
}

/** As `fetch`, but with any Host, and without the headers that it adds. */
function send(port: number, path: string, headers: Record<string, string> = {}, method = 'GET', body = '') {
  return new Promise<Received>((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method, headers, agent: new Agent() }, async response => {
      const text = Buffer.concat(await response.toArray()).toString()
      const type = /"type":"urn:tidemark:problem:([\w-]+)"/.exec(text)?.[1]
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text, type })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Writes a file with one API key, of an administrator. */
async function writeKeyFile() {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-keys-'))
  const file = join(folder, 'keys.json')
  const fields = { key_prefix: '', limits: {}, expires_at: null, created_at: null, created_by: '' }
  const admin = createApiKey({ name: 'admin', scopes: ['admin'], ...fields })
  await writeFile(file, formatKeyFile([admin.record]))
  return { file, token: admin.token, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}

describe.runIf(await redisAvailable())('browsers', () => {
  test('an open gateway gives nothing to pages of other sites, nor to names that point to it', async () => {
    await using redis = await startRedis()
    await using gateway = await startGateway({ REDIS_URL: redis.url })
    const { port } = gateway
    await eventually(async () => expect((await send(port, '/readyz')).status).toBe(200))
    const own = `http://127.0.0.1:${port}`
    const post = (headers: Record<string, string>) => send(port, '/ingest', headers, 'POST', SAMPLE)

    expect((await post({})).status).toBe(202)
    expect((await post({ origin: own, 'sec-fetch-site': 'same-origin' })).status).toBe(202)
    // A form, a fetch without CORS and a sandboxed frame of another site: none needs a preflight.
    for (const headers of [
      { origin: 'https://evil.example', 'content-type': 'text/plain', 'sec-fetch-site': 'cross-site' },
      { origin: 'null', 'content-type': 'application/x-www-form-urlencoded' },
      { origin: `http://127.0.0.1:${port + 1}`, 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
    ]) {
      const refused = await post(headers)
      expect([headers, refused.status, refused.type]).toEqual([headers, 403, 'origin-not-allowed'])
    }
    for (const [method, path, body] of [
      ['GET', '/rules'],
      ['GET', '/analyze'],
      ['POST', '/ingest', SAMPLE],
    ] as const) {
      const host = `rebound.example:${port}`
      const refused = await send(port, path, { host, origin: `http://${host}` }, method, body)
      expect([path, refused.status, refused.type]).toEqual([path, 403, 'host-not-allowed'])
    }
    const bare = (await post({})).headers
    expect(bare).toMatchObject({ 'x-content-type-options': 'nosniff' })
    expect((await send(port, '/rules')).headers).toMatchObject({
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    })
  })

  test('a session holds on every gateway, until its logout or the end of its API key', async () => {
    await using redis = await startRedis()
    await using admin = await writeKeyFile()
    const env = { REDIS_URL: redis.url, API_KEYS_FILE: admin.file }
    await using one = await startGateway(env)
    await using two = await startGateway(env)
    const raw = rawClient(redis.url)
    await using _closed = { [Symbol.asyncDispose]: async () => raw.disconnect() }

    const asAdmin = { authorization: `Bearer ${admin.token}`, ...JSON_TYPE }
    const fields = JSON.stringify({ name: 'mira', scopes: ['read', 'operate', 'ingest'] })
    const created = await eventually(async () => {
      const response = await send(one.port, '/api-keys', asAdmin, 'POST', fields)
      expect(response.status).toBe(201)
      return JSON.parse(response.text) as { readonly id: string; readonly token: string }
    })

    const origin = (port: number) => ({ origin: `http://127.0.0.1:${port}`, ...JSON_TYPE })
    const login = async (): Promise<string> => {
      const body = JSON.stringify({ api_key: created.token })
      const response = await send(one.port, '/login', origin(one.port), 'POST', body)
      expect(response.status).toBe(200)
      const [cookie = '', ...attributes] = String(response.headers['set-cookie']).split('; ')
      expect(attributes).toEqual(['Max-Age=43200', 'Path=/', 'HttpOnly', 'SameSite=Strict'])
      return cookie
    }
    const statusOn = async (port: number, cookie: string) => (await send(port, '/rules', { cookie })).status
    const first = await eventually(login)
    await eventually(async () => expect(await statusOn(two.port, first)).toBe(200))
    const stored = await send(two.port, '/ingest', { cookie: first, ...origin(two.port) }, 'POST', SAMPLE)
    expect(stored.status).toBe(202)
    const foreign = { cookie: first, origin: 'https://evil.example', 'content-type': 'text/plain' }
    expect((await send(two.port, '/ingest', foreign, 'POST', SAMPLE)).status).toBe(403)
    expect((await send(two.port, '/ingest', { cookie: first }, 'POST', SAMPLE)).type).toBe('origin-required')
    expect(await statusOn(two.port, `${first.slice(0, -1)}${first.endsWith('a') ? 'b' : 'a'}`)).toBe(401)

    const second = await login()
    expect((await send(one.port, '/logout', { cookie: first, ...origin(one.port) }, 'POST')).status).toBe(200)
    expect(await statusOn(one.port, first)).toBe(401)
    using lag = new EventLoopLag(() => [one.pid, two.pid])
    const loggedOutMs = performance.now()
    await eventually(async () => expect(await statusOn(two.port, first)).toBe(401))
    const spreadMs = performance.now()
    expect(spreadMs - loggedOutMs).toBeLessThan(SPREAD_MS + 3000 + lag.between(loggedOutMs, spreadMs))
    expect(await statusOn(two.port, second)).toBe(200)

    const revoked = await send(one.port, `/api-keys/${created.id}`, asAdmin, 'DELETE')
    expect(revoked.status).toBe(200)
    for (const { port } of [one, two]) await eventually(async () => expect(await statusOn(port, second)).toBe(401))
    // Redis has the secret of the cookies and the sessions that were ended, and no cookie has it.
    const shared = (await raw.hgetall('tm:sessions')) as Record<string, string>
    expect(Object.keys(shared).filter(field => !/^(?:secret|ended:[0-9a-f]{32})$/.test(field))).toEqual([])
    expect(second).not.toContain(shared.secret)
  })
})
