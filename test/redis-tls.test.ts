import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@tidemark/testkit/redis-process'
import { runService, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasTls, makeCertificates, startWithUsers } from './support/secured-redis.ts'

type Settings = Readonly<Record<string, string>>

/** Runs a gateway until it ends or is stopped; keeps all of its lines. */
function run(env: Settings) {
  const lines: string[] = []
  const started = runService('gateway', 'the gateway', { HOST: '127.0.0.1', PORT: '0', ...env }, line =>
    lines.push(line),
  )
  started.ready.catch(() => undefined)
  return { ...started, text: () => lines.join('\n'), [Symbol.asyncDispose]: () => started.child.stop() }
}

async function post(port: number): Promise<number> {
  const init = { method: 'POST', body: '{"key":"a","value":1}', headers: { 'Content-Type': 'application/json' } }
  return (await fetch(`http://127.0.0.1:${port}/ingest`, init)).status
}

describe.skipIf(!(await hasTls()))('Redis by TLS', () => {
  const resources = new AsyncDisposableStack()
  let certificates: Awaited<ReturnType<typeof makeCertificates>>
  const at = (name: string): string => certificates.at(name)

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-tls-'))
    resources.defer(() => rm(folder, { recursive: true }))
    certificates = await makeCertificates(folder)
  })
  afterAll(() => resources.disposeAsync())

  async function start({ certificate = 'server', clients = 'no' } = {}) {
    const port = await freePort()
    const files = ['--tls-cert-file', at(`${certificate}.crt`), '--tls-key-file', at(`${certificate}.key`)]
    const tls = [
      '--tls-port',
      String(port),
      ...files,
      '--tls-ca-cert-file',
      at('ca.crt'),
      '--tls-auth-clients',
      clients,
    ]
    return { ...(await startWithUsers(tls)), url: `rediss://127.0.0.1:${port}` }
  }

  const clientFiles = (): Settings => ({
    REDIS_CA_FILE: at('ca.crt'),
    REDIS_CERT_FILE: at('client.crt'),
    REDIS_KEY_FILE: at('client.key'),
  })

  test('both services use their own authority, a client certificate, a user and a password from files', async () => {
    await using under = await start({ clients: 'yes' })
    const settings = { PARTITIONS: '2', REDIS_URL: under.url, ...clientFiles() }
    await using gateway = await startGateway({ ...settings, ...under.userOf('gateway') })
    await using _analyzer = await startAnalyzer({ ...settings, ...under.userOf('analyzer') })
    await expect.poll(() => post(gateway.port)).toBe(202)
    const analysis = async () => (await fetch(`http://127.0.0.1:${gateway.port}/analyze?key=a`)).status
    await expect.poll(analysis).toBe(200)
    const clients = String(await under.admin.call('CLIENT', 'LIST'))
    expect(clients).toContain('user=gateway')
    expect(clients).toContain('user=analyzer')
    expect(clients).not.toContain('user=default')
  })

  test('a password that is replaced in its file and in Redis is used at the next connection', async () => {
    await using under = await start()
    const access = under.userOf('gateway')
    await using started = run({ REDIS_URL: under.url, REDIS_CA_FILE: at('ca.crt'), ...access })
    const { port } = await started.ready
    await expect.poll(() => post(port)).toBe(202)
    await under.admin.call('ACL', 'SETUSER', 'gateway', 'resetpass', '>replaced-password')
    await under.admin.call('CLIENT', 'KILL', 'USER', 'gateway')
    await expect.poll(() => started.text()).toContain('(WRONGPASS)')
    await writeFile(access.REDIS_PASSWORD_FILE, 'replaced-password\n')
    await expect.poll(() => post(port)).toBe(202)
    expect(started.text()).not.toContain(under.secrets.passwords.gateway)
    expect(started.text()).not.toContain('replaced-password')
  })

  test.each([
    ['without its authority', {}, {}, 'set REDIS_CA_FILE to the file of its authority'],
    ['with another authority', {}, { REDIS_CA_FILE: 'other-ca.crt' }, 'set REDIS_CA_FILE to the file of its authority'],
    ['under another name', { certificate: 'misnamed' }, { REDIS_CA_FILE: 'ca.crt' }, 'is for other host names'],
    [
      'without a client certificate',
      { clients: 'yes' },
      { REDIS_CA_FILE: 'ca.crt' },
      'set REDIS_CERT_FILE and REDIS_KEY_FILE',
    ],
    [
      'with a client certificate of another authority',
      { clients: 'yes' },
      { REDIS_CA_FILE: 'ca.crt', REDIS_CERT_FILE: 'other-ca.crt', REDIS_KEY_FILE: 'other-ca.key' },
      'does not accept the client certificate',
    ],
  ])('%s the gateway says what to set', async (_, server, files, advice) => {
    await using under = await start(server)
    const paths = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, at(file)]))
    await using started = run({ REDIS_URL: under.url, ...paths, ...under.userOf('gateway') })
    await expect.poll(() => started.text()).toContain(advice)
    expect(started.text()).not.toContain(under.secrets.passwords.gateway)
  })
})
