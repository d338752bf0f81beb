import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { createCertificate, type TestCertificate } from '@tidemark/testkit/certificates'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { storedSamples } from '../support/fixture.ts'
import { send as sendPlain, start as startGateway } from '../support/server.ts'

const SAMPLE = '{"key":"a","value":1}'
const HEAD = 'POST /ingest HTTP/1.1\r\nHost: localhost\r\n'

const folders = new Set<string>()
afterEach(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
  folders.clear()
})

/**
 * Lays out files as Kubernetes mounts a Secret: links to links to a folder that is replaced as a
 * whole.
 */
async function mountSecret(certificate: TestCertificate) {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-tls-'))
  folders.add(folder)
  let version = 0
  const write = async ({ cert, key }: TestCertificate): Promise<void> => {
    const data = `..version-${++version}`
    await mkdir(join(folder, data))
    await writeFile(join(folder, data, 'tls.crt'), cert)
    await writeFile(join(folder, data, 'tls.key'), key)
    await symlink(data, join(folder, '..data_tmp'))
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
  }
  await write(certificate)
  for (const name of ['tls.crt', 'tls.key']) await symlink(join('..data', name), join(folder, name))
  return {
    settings: { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') },
    /** Replaces both files at once. */
    write,
  }
}

/** Starts a gateway with TLS, and keeps what it logs. */
async function start(settings: Readonly<Record<string, string>> = {}, certificate?: TestCertificate) {
  const used = certificate ?? (await createCertificate())
  const secret = await mountSecret(used)
  const lines: string[] = []
  const store = createMemoryStore()
  const gateway = await startGateway(
    { ...secret.settings, ...settings },
    async () => store,
    pino({}, { write: (line: string) => void lines.push(line) }),
  )
  return {
    ...gateway,
    port: gateway.port,
    stop: () => gateway[Symbol.asyncDispose](),
    secret,
    lines,
    store,
    ca: used.cert,
  }
}

type Target = Pick<Awaited<ReturnType<typeof start>>, 'port' | 'ca'>

/** Sends a request on a connection of its own and returns its status, text and certificate. */
function send({ port, ca }: Target, path: string, { method = 'GET', body = '', agent = new Agent({ ca }) } = {}) {
  return new Promise<{ status: number; text: string; headers: Record<string, unknown>; expires: string }>(
    (resolve, reject) => {
      const sent = request({ host: '127.0.0.1', servername: 'localhost', port, path, method, agent, ca }, response => {
        const { valid_to: expires } = (response.socket as TLSSocket).getPeerCertificate()
        let text = ''
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text, headers: { ...response.headers }, expires }),
        )
      })
      sent.on('error', reject)
      sent.end(body)
    },
  )
}

/** Writes to a connection with TLS, and returns what it received until the server closed it. */
function converse({ port, ca }: Target, write: (socket: TLSSocket) => unknown): Promise<string> {
  return new Promise(resolve => {
    const options = { host: '127.0.0.1', servername: 'localhost', port, ca, allowHalfOpen: true }
    const socket = connect(options, () => write(socket))
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', chunk => {
      text += chunk
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(text))
  })
}

async function metric(port: number, name: string): Promise<number> {
  const { body } = await sendPlain(port, '/metrics')
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body)?.[1])
}

describe('a gateway with a certificate', () => {
  test('serves all routes and samples by https, and operations on their own port without', async () => {
    const gateway = await start()
    for (const path of ['/livez', '/readyz', '/health', '/openapi.json']) {
      expect([path, (await send(gateway, path)).status]).toEqual([path, 200])
    }
    const stored = await send(gateway, '/ingest', { method: 'POST', body: SAMPLE })
    expect([stored.status, JSON.parse(stored.text).accepted]).toEqual([202, 1])
    expect(await storedSamples(gateway.store)).toHaveLength(1)
    expect((await sendPlain(gateway.metricsPort, '/readyz')).status).toBe(200)
  })

  test('tells browsers to use https from then on', async () => {
    const gateway = await start()
    expect((await send(gateway, '/livez')).headers['strict-transport-security']).toBe('max-age=15552000')
    const plain = await startGateway()
    expect((await sendPlain(plain.port, '/livez')).headers).not.toHaveProperty('strict-transport-security')
  })

  test('exports when the certificate expires', async () => {
    const certificate = await createCertificate({ days: 3 })
    const gateway = await start({}, certificate)
    const expiry = await metric(gateway.metricsPort, 'gateway_tls_certificate_expiry_timestamp_seconds')
    expect(Math.abs(expiry - Date.now() / 1000 - 3 * 86_400)).toBeLessThan(600)
  })

  test('survives clients without TLS, and counts them', async () => {
    const gateway = await start()
    await new Promise(closed => {
      const socket = connectPlain(gateway.port, '127.0.0.1', () => socket.write(`${HEAD}\r\n`))
      socket.resume().on('error', () => {})
      socket.on('close', closed)
    })
    await expect
      .poll(() => metric(gateway.metricsPort, 'gateway_tls_handshakes_failed_total'))
      .toBeGreaterThanOrEqual(1)
    expect((await send(gateway, '/livez')).status).toBe(200)
  })

  test('closes connections that do not complete the handshake', async () => {
    const gateway = await start({ HEADERS_TIMEOUT_MS: '300' })
    const socket = connectPlain(gateway.port, '127.0.0.1')
    socket.resume().on('error', () => {})
    await new Promise(closed => socket.on('close', closed))
    await expect.poll(() => metric(gateway.metricsPort, 'gateway_tls_handshakes_failed_total')).toBe(1)
  })
})

describe('the limits of connections hold with TLS', () => {
  test.each([
    ['headers', `${HEAD}`, 408],
    ['a body', `${HEAD}Content-Length: 50\r\n\r\n{"key"`, 408],
    ['a long body', `${HEAD}Content-Length: 99999999\r\n\r\n`, 413],
    ['long headers', `GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ${'a'.repeat(17_000)}\r\n\r\n`, 431],
    ['two hosts', 'GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n', 400],
    ['nonsense', 'nonsense\r\n\r\n', 400],
    ['a tunnel', 'CONNECT a:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', 405],
  ])('for %s', async (_name, bytes, status) => {
    const gateway = await start({ HEADERS_TIMEOUT_MS: '300', REQUEST_TIMEOUT_MS: '600' })
    const text = await converse(gateway, socket => socket.write(bytes))
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(text).toContain('"type":"urn:tidemark:problem:')
  })

  test('pipelined requests keep their order', async () => {
    const gateway = await start()
    const count = 100
    await converse(gateway, socket => {
      for (let value = 0; value < count; value++) {
        const body = JSON.stringify({ key: 'a', value })
        const close = value === count - 1 ? 'Connection: close\r\n' : ''
        socket.write(`${HEAD}Content-Length: ${body.length}\r\n${close}\r\n${body}`)
      }
    })
    const values = (await storedSamples(gateway.store)).map(({ value }) => value)
    expect(values).toEqual(Array.from({ length: count }, (_, i) => i))
  })

  test('a client that closes its side still gets its response', async () => {
    const gateway = await start()
    const text = await converse(gateway, socket =>
      socket.end(`${HEAD}Content-Length: ${SAMPLE.length}\r\n\r\n${SAMPLE}`),
    )
    expect(text).toMatch(/^HTTP\/1\.1 202 /)
  })

  test('a stop ends connections that are still in their handshake', async () => {
    const gateway = await start({ HEADERS_TIMEOUT_MS: '1000' })
    const socket = connectPlain(gateway.port, '127.0.0.1')
    await new Promise(connected => socket.once('connect', connected))
    const closed = new Promise(resolve =>
      socket
        .resume()
        .on('error', () => {})
        .on('close', resolve),
    )
    await gateway.stop()
    await closed
  })
})

describe('a new certificate', () => {
  test('is used for new connections, while those that are open go on', async () => {
    const [first, second] = [await createCertificate({ days: 10 }), await createCertificate({ days: 20 })]
    const gateway = await start({}, first)
    const agent = new Agent({ ca: first.cert, keepAlive: true, maxSockets: 1 })
    const before = await send(gateway, '/livez', { agent })
    await gateway.secret.write(second)
    await expect
      .poll(() => metric(gateway.metricsPort, 'gateway_tls_certificate_expiry_timestamp_seconds'))
      .toBeGreaterThan(Date.now() / 1000 + 15 * 86_400)
    expect((await send(gateway, '/livez', { agent })).expires).toBe(before.expires)
    agent.destroy()
    const after = await send({ ...gateway, ca: second.cert }, '/livez')
    expect([after.status, after.expires === before.expires]).toEqual([200, false])
    expect(await metric(gateway.metricsPort, 'gateway_tls_reloads_failed_total')).toBe(0)
  })

  test('that does not fit its key leaves the old one in use, and is logged and counted once', async () => {
    const [first, second] = [await createCertificate(), await createCertificate()]
    const gateway = await start({}, first)
    const failed = (): Promise<number> => metric(gateway.metricsPort, 'gateway_tls_reloads_failed_total')
    await gateway.secret.write({ cert: second.cert, key: first.key })
    await expect.poll(failed).toBe(1)
    expect((await send(gateway, '/livez')).status).toBe(200)
    await gateway.secret.write({ cert: 'no certificate', key: first.key })
    await expect.poll(failed).toBe(2)
    expect((await send(gateway, '/livez')).status).toBe(200)
    const errors = gateway.lines.filter(line => line.includes('the old one remains in use'))
    expect(errors).toHaveLength(2)
    expect(errors.join()).not.toContain('PRIVATE KEY')
    await gateway.secret.write(second)
    await expect
      .poll(
        () =>
          send({ ...gateway, ca: second.cert }, '/livez').then(
            ({ status }) => status,
            () => 0,
          ),
        {
          timeout: 10_000,
        },
      )
      .toBe(200)
  })
})

describe('a certificate that cannot be used at the start is refused with a sentence', () => {
  test.each([
    [
      'a missing file',
      { TLS_CERT_FILE: '/nowhere/tls.crt' },
      'TLS_CERT_FILE: /nowhere/tls.crt cannot be read (ENOENT)',
    ],
    ['a key without its certificate', { TLS_CERT_FILE: '' }, 'TLS_CERT_FILE: must be set together with TLS_KEY_FILE'],
    ['a certificate without its key', { TLS_KEY_FILE: '' }, 'TLS_CERT_FILE: must be set together with TLS_KEY_FILE'],
  ])('%s', async (_name, settings, message) => {
    await expect(start(settings)).rejects.toThrow(message)
  })

  test('the key of another', async () => {
    const [{ cert }, { key }] = [await createCertificate(), await createCertificate()]
    await expect(start({}, { cert, key })).rejects.toThrow(/is not the key of the certificate in TLS_CERT_FILE/)
  })

  test('an empty file', async () => {
    await expect(start({}, { ...(await createCertificate()), cert: '' })).rejects.toThrow(/is not a certificate in PEM/)
    await expect(start({}, { ...(await createCertificate()), key: '' })).rejects.toThrow(/is not a private key in PEM/)
  })
})
