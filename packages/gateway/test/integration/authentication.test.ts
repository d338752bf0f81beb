import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiKey } from '@tidemark/shared/access/api-key'
import { formatKeyFile } from '@tidemark/shared/access/key-file'
import { createLogger } from '@tidemark/shared/runtime/logger'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { eventually } from '@tidemark/testkit/eventually'
import { afterEach, describe, expect, test } from 'vitest'
import { testKey } from '../support/api-keys.ts'
import { converse, start } from '../support/server.ts'

const folders: string[] = []

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

async function keyFile(...keys: ApiKey[]): Promise<{ folder: string; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-keys-'))
  folders.push(folder)
  const path = join(folder, 'keys.json')
  await writeFile(path, formatKeyFile(keys))
  return { folder, path }
}

interface Sent {
  readonly method?: string
  readonly token?: string
  readonly body?: unknown
}

async function call(port: number, path: string, { method = 'GET', token, body }: Sent = {}) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: {
      'Content-Type': 'application/json',
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, content: text.startsWith('{') ? JSON.parse(text) : text }
}

const statusOf = async (port: number, token?: string, path = '/rules'): Promise<number> =>
  (await call(port, path, token === undefined ? {} : { token })).status

/** Posts a sample on a connection that stays open. */
function post(port: number, agent: Agent, token: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: `Bearer ${token}` }
    const sent = request({ host: '127.0.0.1', port, path: '/ingest', method: 'POST', agent, headers }, response => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
    sent.on('error', reject)
    sent.end('{"key":"a","value":1}')
  })
}

async function metric(port: number, name: string): Promise<string | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return text
    .split('\n')
    .find(line => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    ?.split(' ')
    .at(-1)
}

describe('API keys in the store', () => {
  test('are in force and revoked on every gateway, also on open connections', async () => {
    const store = createMemoryStore()
    const admin = testKey()
    await store.apiKeys.add(admin.record)
    const one = await start({}, async () => store.connect())
    const other = await start({}, async () => store.connect())
    await eventually(async () => expect(await statusOf(one.port, admin.token)).toBe(200))

    const body = { name: 'edge-17', scopes: ['ingest', 'read'], expires_at: '90d', limits: { samples_per_s: 5 } }
    const created = await call(one.port, '/api-keys', { method: 'POST', token: admin.token, body })
    expect(created.status).toBe(201)
    const { token, id, created_by: by } = created.content
    expect(token).toMatch(new RegExp(`^tmk_${id}_[0-9A-Za-z]{49}$`))
    expect(by).toBe('mira')
    // At once where it was created.
    expect(await statusOf(one.port, token)).toBe(200)
    await eventually(async () => expect(await statusOf(other.port, token)).toBe(200))

    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    expect([await post(other.port, agent, token), await post(other.port, agent, token)]).toEqual([202, 202])
    await eventually(async () => {
      const { content } = await call(one.port, `/api-keys/${id}`, { token: admin.token })
      expect(content.last_used_at).toBeGreaterThan(Date.now() - 60_000)
    })
    const { content: listed } = await call(one.port, '/api-keys', { token: admin.token })
    expect(JSON.stringify(listed)).not.toContain(token.slice(20))
    expect(listed.keys.map((key: { name: string }) => key.name)).toEqual(['mira', 'edge-17'])

    const revoked = await call(one.port, `/api-keys/${id}`, { method: 'DELETE', token: admin.token })
    expect(revoked).toEqual({ status: 200, content: { revoked: id } })
    expect(await statusOf(one.port, token)).toBe(401)
    await eventually(async () => expect(await post(other.port, agent, token)).toBe(401))
    agent.destroy()
  })

  test('expire at their time, also on open connections', async () => {
    const store = createMemoryStore()
    const { token, record } = testKey({ expires_at: Date.now() + 5000 })
    await store.apiKeys.add(record)
    const { port } = await start({}, async () => store.connect())
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    await eventually(async () => expect(await post(port, agent, token)).toBe(202))
    await eventually(async () => expect(await post(port, agent, token)).toBe(401))
    agent.destroy()
  })

  test('stay in force while the store does not respond, and unknown keys get 503 before it ever did', async () => {
    const store = createMemoryStore()
    const filed = testKey()
    const { path } = await keyFile(filed.record)
    const fail = (): Promise<never> => Promise.reject(new StoreError('down', { kind: 'refused' }))
    let isDown = true
    const apiKeys = {
      ...store.apiKeys,
      revision: () => (isDown ? fail() : store.apiKeys.revision()),
      load: () => (isDown ? fail() : store.apiKeys.load()),
    }
    const { token, record } = testKey()
    await store.apiKeys.add(record)
    const { port } = await start({ API_KEYS_FILE: path }, async () => ({ ...store.connect(), apiKeys }))
    await eventually(async () => expect(await statusOf(port, filed.token)).toBe(200))
    expect(await statusOf(port, token)).toBe(503)
    expect(await statusOf(port)).toBe(401)
    expect((await call(port, '/readyz')).content.reason).toBe('the API keys are not loaded yet')
    isDown = false
    await eventually(async () => expect(await statusOf(port, token)).toBe(200))
    expect((await call(port, '/readyz')).status).toBe(200)
    isDown = true
    expect(await statusOf(port, token)).toBe(200)
  })
})

describe('API_KEYS_FILE', () => {
  test('is read again when it changes', async () => {
    const [first, second] = [testKey(), testKey()]
    const { path } = await keyFile(first.record)
    const { port } = await start({ API_KEYS_FILE: path })
    await eventually(async () => expect(await statusOf(port, first.token)).toBe(200))
    // Rotation: both are in force for a while.
    await writeFile(path, formatKeyFile([first.record, second.record]))
    await eventually(async () => expect(await statusOf(port, second.token)).toBe(200))
    expect(await statusOf(port, first.token)).toBe(200)
    await writeFile(path, formatKeyFile([second.record]))
    await eventually(async () => expect(await statusOf(port, first.token)).toBe(401))
    expect(await statusOf(port, second.token)).toBe(200)
  })

  test('is read again when a mounted Secret changes, which replaces a symbolic link', async () => {
    const [first, second] = [testKey(), testKey()]
    const { folder } = await keyFile()
    const version = async (name: string, key: ApiKey): Promise<void> => {
      await mkdir(join(folder, name))
      await writeFile(join(folder, name, 'keys.json'), formatKeyFile([key]))
      await symlink(name, join(folder, 'next'))
      await rename(join(folder, 'next'), join(folder, '..data'))
    }
    await version('..2026_1', first.record)
    await rm(join(folder, 'keys.json'))
    await symlink('..data/keys.json', join(folder, 'keys.json'))
    const { port } = await start({ API_KEYS_FILE: join(folder, 'keys.json') })
    await eventually(async () => expect(await statusOf(port, first.token)).toBe(200))
    await version('..2026_2', second.record)
    await eventually(async () => expect(await statusOf(port, second.token)).toBe(200))
    expect(await statusOf(port, first.token)).toBe(401)
  })

  test('keeps its last keys while it is broken, which is logged once, counted and shown', async () => {
    const { token, record } = testKey()
    const { path } = await keyFile(record)
    const lines: string[] = []
    const log = createLogger('gateway', 'info', { stream: { write: line => void lines.push(line) } })
    const { port, metricsPort } = await start({ API_KEYS_FILE: path }, undefined, log)
    await writeFile(path, `{"keys":[{"sha256":"${token}"`)
    await eventually(async () => expect(await metric(metricsPort, 'gateway_api_keys_file_unreadable')).toBe('1'))
    expect(await metric(metricsPort, 'gateway_api_key_loads_failed_total{source="file"}')).toBe('1')
    expect(await statusOf(port, token)).toBe(200)
    const broken = lines.filter(line => line.includes('API_KEYS_FILE'))
    expect(broken).toHaveLength(1)
    expect(broken[0]).toContain('is not JSON')
    await writeFile(path, formatKeyFile([]))
    await eventually(async () => expect(await metric(metricsPort, 'gateway_api_keys_file_unreadable')).toBe('0'))
    expect(lines.join('')).not.toContain(token.slice(17))
  })

  test.each([
    ['that does not exist', undefined, 'cannot be read (ENOENT)'],
    ['that is not JSON', 'tmk_', 'is not JSON'],
    ['with an unknown member', '{"keys":[],"key":1}', 'is not a file of API keys: key unknown member'],
    ['with an invalid key', '{"keys":[{"id":"a"}]}', 'keys.0.id must be 12 digits and lower-case letters'],
  ])('a gateway does not start with a file %s', async (_name, text, reason) => {
    const { path } = await keyFile()
    if (text === undefined) await rm(path)
    else await writeFile(path, text)
    await expect(start({ API_KEYS_FILE: path })).rejects.toThrow(reason)
    await writeFile(path, '')
  })

  test('an administrator cannot change its keys through a gateway', async () => {
    const { token, record } = testKey()
    const { path } = await keyFile(record)
    const { port } = await start({ API_KEYS_FILE: path })
    await eventually(async () => expect(await statusOf(port, token)).toBe(200))
    expect((await call(port, `/api-keys/${record.id}`, { method: 'DELETE', token })).status).toBe(409)
    const body = { name: 'other' }
    expect((await call(port, `/api-keys/${record.id}`, { method: 'PATCH', token, body })).status).toBe(409)
    expect((await call(port, `/api-keys/${record.id}`, { token })).content).toMatchObject({
      name: 'mira',
      source: 'file',
    })
  })
})

describe('without any API key', () => {
  test('a gateway on loopback is open until there is one', async () => {
    const { port, metricsPort } = await start()
    await eventually(async () => expect(await statusOf(port)).toBe(200))
    expect(await metric(metricsPort, 'gateway_authentication_enabled')).toBe('0')
    const body = { name: 'first', scopes: ['admin', 'read'] }
    const { content } = await call(port, '/api-keys', { method: 'POST', body })
    expect(await statusOf(port)).toBe(401)
    expect(await statusOf(port, content.token)).toBe(200)
    expect(await metric(metricsPort, 'gateway_authentication_enabled')).toBe('1')
    await call(port, `/api-keys/${content.id}`, { method: 'DELETE', token: content.token })
    expect(await statusOf(port)).toBe(200)
  })

  test.each(['0.0.0.0', '::', ''])('a gateway on another address (HOST=%s) refuses to serve', async host => {
    const opened = Promise.withResolvers<void>()
    const gateway = await start({ HOST: host }, async () => {
      await opened.promise
      return createMemoryStore()
    })
    // Until the keys in the store are known, it serves no one.
    expect(await statusOf(gateway.port)).toBe(401)
    expect(await statusOf(gateway.port, testKey().token)).toBe(503)
    expect((await call(gateway.port, '/livez')).status).toBe(200)
    opened.resolve()
    const error = await gateway.failed.catch((error: Error) => error)
    expect(error).toMatchObject({ name: 'ConfigError' })
    const { message } = error as Error
    expect(message).toMatch(/^HOST is (0\.0\.0\.0|::|unset \(all addresses\)) and there is no API key: create one with/)
    for (const word of ['API_KEYS_FILE', 'HOST=127.0.0.1', 'AUTH=off']) expect(message).toContain(word)
    expect(await statusOf(gateway.port)).toBe(401)
  })

  test('a gateway on another address that had one stays closed when the last is revoked', async () => {
    const store = createMemoryStore()
    const { token, record } = testKey()
    await store.apiKeys.add(record)
    const gateway = await start({ HOST: '0.0.0.0' }, async () => store.connect())
    await eventually(async () => expect(await statusOf(gateway.port, token)).toBe(200))
    await call(gateway.port, `/api-keys/${record.id}`, { method: 'DELETE', token })
    expect(await statusOf(gateway.port)).toBe(401)
    expect(await statusOf(gateway.port, token)).toBe(401)
    const outcome = await Promise.race([gateway.failed.catch(() => 'failed'), Promise.resolve('serving')])
    expect(outcome).toBe('serving')
  })

  test('AUTH=on closes a gateway on loopback too', async () => {
    const { port } = await start({ AUTH: 'on' })
    await eventually(async () => expect(await call(port, '/readyz')).toMatchObject({ status: 200 }))
    expect(await statusOf(port)).toBe(401)
  })

  test('AUTH=off opens any, which is logged, shown by /readyz and a metric', async () => {
    const lines: string[] = []
    const log = createLogger('gateway', 'info', { stream: { write: line => void lines.push(line) } })
    const { port, metricsPort } = await start({ HOST: '0.0.0.0', AUTH: 'off' }, undefined, log)
    await eventually(async () => expect(await statusOf(port)).toBe(200))
    expect(lines.some(line => line.includes('"level":"warn"') && line.includes('AUTH=off'))).toBe(true)
    expect(await metric(metricsPort, 'gateway_authentication_enabled')).toBe('0')
    expect((await call(port, '/readyz')).content.warnings).toEqual([expect.stringContaining('AUTH=off')])
  })
})

test('results are counted, and no key is in a log line or a metric', async () => {
  const { token, record } = testKey()
  const { path } = await keyFile(record)
  const lines: string[] = []
  const log = createLogger('gateway', 'trace', { stream: { write: line => void lines.push(line) } })
  const { port, metricsPort } = await start({ API_KEYS_FILE: path }, undefined, log)
  await eventually(async () => expect(await statusOf(port, token)).toBe(200))
  const misspelled = token.replace(/.$/, last => (last === 'a' ? 'b' : 'a'))
  expect(await statusOf(port, misspelled)).toBe(401)
  expect(await statusOf(port, testKey().token)).toBe(401)
  expect(await statusOf(port)).toBe(401)
  const ofResult = (result: string) => metric(metricsPort, `gateway_authentications_total{result="${result}"}`)
  expect([await ofResult('misspelled'), await ofResult('unknown'), await ofResult('missing')]).toEqual(['1', '1', '1'])
  expect(Number(await ofResult('ok'))).toBeGreaterThan(0)
  log.info({ authorization: `Bearer ${token}` }, `a library printed ${token}`)
  const text = lines.join('') + (await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text())
  expect(text).toContain(`tmk_${record.id}_[redacted]`)
  expect(text).not.toContain(token.slice(17))
})

test('several Authorization headers are refused', async () => {
  const { port } = await start()
  const { token } = testKey()
  const text = await converse(port, socket =>
    socket.write(
      `GET /rules HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nauthorization: Bearer x\r\n\r\n`,
    ),
  )
  expect(text).toMatch(/^HTTP\/1\.1 400 /)
  expect(text).toContain('several Authorization headers')
})
