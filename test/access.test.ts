import { readdirSync, readFileSync } from 'node:fs'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { freePort, isOnPath } from '@tidemark/testkit/redis-process'
import { runService, type ServiceName, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { type RedisUser, rightsOf, startWithUsers } from './support/secured-redis.ts'

const PASSWORD = '57#Wc903z/%41@h,x'
const WRITTEN = encodeURIComponent(PASSWORD)

/** Runs a service until it ends or is stopped; keeps all of its lines. */
function run(service: ServiceName, env: Readonly<Record<string, string>>) {
  const lines: string[] = []
  const started = runService(service, `the ${service}`, { HOST: '127.0.0.1', PORT: '0', ...env }, line =>
    lines.push(line),
  )
  started.ready.catch(() => undefined)
  return {
    ...started,
    lines,
    get text() {
      return lines.join('\n')
    },
    /** The lines as the logger wrote them; fails for any other line. */
    get logged() {
      return lines.map(line => JSON.parse(line) as { level: string; msg: string; err?: { stack?: string } })
    },
    [Symbol.asyncDispose]: () => started.child.stop(),
  }
}

async function ended(service: ReturnType<typeof run>): Promise<void> {
  expect((await service.child.exited).code).toBe(1)
}

/** The users come from a file, which a Redis in a container cannot read. */
const HAS_SERVER = process.env.CI === 'true' || (await isOnPath('redis-server'))

/** What docs/deployment.md tells operators to give each service. */
function documentedRights(user: string): string[] {
  const text = readFileSync(new URL('../docs/deployment.md', import.meta.url), 'utf8')
  const rights = new RegExp(`ACL SETUSER ${user} ((?:[^\\n]*\\\\\\n)*[^\\n]*)`).exec(text)?.[1]
  if (rights === undefined) throw new Error(`docs/deployment.md has no rights of ${user}`)
  return rights.replaceAll('\\\n', ' ').trim().split(/\s+/)
}

describe.skipIf(!(await redisAvailable()))('access to Redis', () => {
  async function open() {
    const redis = await startRedis()
    const admin = rawClient(redis.url)
    const at = `127.0.0.1:${redis.port}`
    return {
      redis,
      admin,
      urlOf: (user: string, written = WRITTEN) => `redis://${user}:${written}@${at}`,
      setUser: (user: string, ...rules: string[]) =>
        admin.call('ACL', 'SETUSER', user, 'reset', 'on', `>${PASSWORD}`, ...rules),
      async [Symbol.asyncDispose]() {
        admin.disconnect()
        await redis[Symbol.asyncDispose]()
      },
    }
  }

  test.each(['gateway', 'analyzer'] as const)(
    'a wrong password makes the %s say what to do, without the password',
    async service => {
      await using under = await open()
      await under.setUser('app', '~*', '+@all')
      await using started = run(service, { REDIS_URL: under.urlOf('app', 'not-the-password') })
      await expect.poll(() => started.text).toContain('set those that Redis has now. In a URL, write # as %23')
      expect(started.logged.filter(({ err }) => err?.stack !== undefined)).toEqual([])
      expect(started.text).not.toContain('not-the-password')
      expect(started.leaks).toEqual([])
    },
  )

  test('a missing password is named', async () => {
    await using under = await open()
    await under.admin.call('ACL', 'SETUSER', 'default', 'on', `>${PASSWORD}`, 'resetpass', `>${PASSWORD}`)
    await using started = run('analyzer', { REDIS_URL: `redis://127.0.0.1:${under.redis.port}` })
    await expect.poll(() => started.text).toContain('Redis requires a password, and REDIS_URL has none')
    expect(started.logged.filter(({ err }) => err?.stack !== undefined)).toEqual([])
    await under.admin.call('ACL', 'SETUSER', 'default', 'reset', 'on', 'nopass', '~*', '&*', '+@all')
  })

  test('a rotated password is named while it is wrong, and the gateway recovers when it is right again', async () => {
    await using under = await open()
    await under.setUser('app', '~*', '+@all')
    await using started = run('gateway', { REDIS_URL: under.urlOf('app') })
    const { port } = await started.ready
    const post = async () =>
      (await fetch(`http://127.0.0.1:${port}/ingest`, { method: 'POST', body: '{"key":"a","value":1}' })).status
    await expect.poll(post).toBe(202)

    await under.admin.call('ACL', 'SETUSER', 'app', 'resetpass', '>another-password')
    await under.admin.call('CLIENT', 'KILL', 'USER', 'app')
    await expect.poll(() => started.text).toContain('Redis refuses the user name or password of REDIS_URL')
    expect(await post()).toBe(503)
    await under.setUser('app', '~*', '+@all')
    await expect.poll(post).toBe(202)
    expect(started.leaks).toEqual([])
    expect(started.logged.length).toBeGreaterThan(0)
  })

  test.each([
    ['redis://:57#Wc903z@h:6379', 'write # as %23'],
    ['redis://user:57#Wc903z@h:6379', 'write # as %23'],
    ['redis://:57/Wc903z@h:6379', 'here %2F'],
    ['redis://:57?Wc903z@h:6379', 'here %3F'],
    ['redis://:57%Wc903z@h:6379', 'write % as %25'],
    ['redis://:Wc903z%ff@h:6379', 'percent-encoded UTF-8'],
    ['redis://:Wc903z@', 'must be redis://HOST:PORT'],
    ['redis://:Wc903z@h:port', 'must be redis://HOST:PORT'],
    ['redis://a:Wc903z@h:1,redis://b:2', 'must name one Redis'],
  ])('%s ends the gateway with one sentence', async (REDIS_URL, sentence) => {
    await using started = run('gateway', { REDIS_URL })
    await ended(started)
    expect(started.text).toContain(sentence)
    expect(started.text).not.toContain('Wc903z')
    expect(started.lines).toHaveLength(2)
  })

  test.each([
    ['-info', 'INFO', '+info'],
    ['-@dangerous -@admin', 'INFO', '+info'],
    ['-eval -evalsha', 'EVAL', '+eval'],
  ])('an ACL with %s ends the gateway with the missing command', async (rules, command, advice) => {
    await using under = await open()
    await under.setUser('app', '~*', '+@all', ...rules.split(' '))
    await using started = run('gateway', { REDIS_URL: under.urlOf('app') })
    await ended(started)
    expect(started.text).toContain(`Redis denies the command ${command} to the user of REDIS_URL (NOPERM)`)
    expect(started.text).toContain(advice)
    expect(started.logged.filter(({ err }) => err?.stack !== undefined)).toEqual([])
    expect(started.leaks).toEqual([])
  })

  test('an ACL without the keys of the prefix is named', async () => {
    await using under = await open()
    await under.setUser('app', '~other:*', '+@all')
    await using started = run('analyzer', { REDIS_URL: under.urlOf('app') })
    await ended(started)
    expect(started.text).toContain('Redis denies a key to the user of REDIS_URL (NOPERM)')
    expect(started.logged.filter(({ err }) => err?.stack !== undefined)).toEqual([])
  })

  test('the rights in the documents are those of users.acl', () => {
    for (const user of ['gateway', 'analyzer'] as const) {
      expect([user, documentedRights(user)]).toEqual([user, ['on', '>PASSWORD', ...rightsOf(user)]])
    }
  })

  test('the rights have every command of the scripts', () => {
    const folder = new URL('../packages/shared/src/store/redis/lua/', import.meta.url)
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.lua'))
    const commands = files.flatMap(name =>
      [...readFileSync(new URL(name, folder), 'utf8').matchAll(/redis\.p?call\('(\w+)'/g)].map(
        ([, command = '']) => command,
      ),
    )
    const rights = new Set([...rightsOf('gateway'), ...rightsOf('analyzer')])
    expect(commands.length).toBeGreaterThan(50)
    expect([...new Set(commands)].filter(command => !rights.has(`+${command.toLowerCase()}`))).toEqual([])
  })

  test.skipIf(!HAS_SERVER)('with the users of users.acl both services do all that they do', async () => {
    await using under = await startWithUsers()
    const { secrets, admin } = under
    const settings = { PARTITIONS: '2', LEASE_TTL_MS: '1500', REDIS_URL: under.url }
    await using gateway = await startGateway({
      ...settings,
      ...under.userOf('gateway'),
      API_KEYS_FILE: under.file('api-keys.json', secrets.apiKeysFile),
      REQUESTS_PER_S_MAX: '1000',
      SAMPLES_PER_S_MAX: '100000',
    })
    const port = await freePort()
    const analyzer = {
      ...settings,
      ...under.userOf('analyzer'),
      ALERT_WAIT_MS: '0',
      WEBHOOK_URLS: `http://user:webhook-password@127.0.0.1:${port}/hook/0123456789abcdefXYZ?token=0123456789abcdefXYZ`,
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    }
    await using _analyzer = await startAnalyzer(analyzer)
    const base = `http://127.0.0.1:${gateway.port}`
    const send = (path: string, method = 'GET', body?: unknown, key = secrets.operatorKey) =>
      fetch(base + path, {
        method,
        headers: {
          'Content-Type': 'application/json',
          'Idempotency-Key': crypto.randomUUID(),
          Authorization: `Bearer ${key}`,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    await expect.poll(async () => (await send('/rules')).status).toBe(200)
    const put = await send('/rules/r1', 'PUT', {
      ...{ who: 'ada', why: 'to test', rule: { pattern: 'quiet/*', silent: '1s' } },
    })
    expect([put.status, await put.text()]).toEqual([201, expect.any(String)])

    // An API key that is kept in Redis, with which samples are sent from here on.
    const created = await send('/api-keys', 'POST', { name: 'device', scopes: ['ingest', 'read'] })
    expect(created.status).toBe(201)
    const { id, token } = (await created.json()) as { id: string; token: string }
    const ingest = (body: unknown) => send('/ingest', 'POST', body, token)
    const values = Array.from({ length: 60 }, (_, i) => ({ key: 'hot', value: 10 + (i % 3) }))
    await expect.poll(async () => (await ingest([...values, { key: 'quiet/a', value: 1 }])).status).toBe(202)
    for (let i = 0; i < 6; i++) expect((await ingest([{ key: 'hot', value: 1000 + i }])).status).toBe(202)
    const alerts = async () => JSON.stringify(await (await send('/alerts')).json())
    await expect.poll(alerts).toContain('hot')
    // The rule is in force for the sample after which the key is silent.
    const ruleOf = async () => {
      await ingest([{ key: 'quiet/a', value: 1 }])
      return JSON.stringify(await (await send('/analyze?key=quiet/a')).json())
    }
    await expect.poll(ruleOf).toContain('"rule":"r1"')
    await expect.poll(alerts).toContain('quiet/a')
    const { alerts: found } = (await (await send('/alerts')).json()) as { alerts: { id: string }[] }
    const feedback = `/alerts/${found[0]?.id}/feedback`
    for (const method of ['PUT', 'DELETE']) {
      const body = method === 'PUT' ? { useful: false } : undefined
      expect([method, (await send(feedback, method, body)).status]).toEqual([method, 200])
    }
    // An entry that is not from a gateway becomes a dead letter.
    await admin.call('XADD', 'tm:{0}:samples', '*', 's', 'not json', 'n', '1')
    const dead = async () => JSON.stringify(await (await send('/dead')).json())
    await expect.poll(dead).toContain('not json')
    const [letter] = ((await (await send('/dead')).json()) as { dead: { id: string }[] }).dead
    expect((await send(`/dead/${letter?.id}/discard`, 'POST')).status).toBe(200)
    expect((await send(`/api-keys/${id}`, 'PATCH', { name: 'device 7' })).status).toBe(200)
    const reads = [
      ...['/analyze', '/analyze?key=hot', '/rules', '/rules/changes', '/rules/r1/report'],
      ...['/alerts?state=resolved', '/alerts/feedback', '/alerts/feedback?by=prefix', '/api-keys', `/api-keys/${id}`],
    ]
    for (const path of reads) expect([path, (await send(path)).status]).toEqual([path, 200])
    const { records } = (await (await send('/audit')).json()) as { records: { action: string; who: string }[] }
    expect(records.map(({ action }) => action)).toEqual([
      ...['changeApiKey', 'discardDeadLetter', 'deleteFeedback', 'putFeedback', 'createApiKey', 'putRule'],
    ])
    expect(new Set(records.map(({ who }) => who))).toEqual(new Set(['operator']))

    // A second analyzer takes over partitions: leases, members and pending entries.
    await using second = await startAnalyzer(analyzer)
    const metrics = async () => (await fetch(`http://127.0.0.1:${second.metricsPort}/metrics`)).text()
    await expect.poll(metrics).toContain('\nanalyzer_partitions_owned 1\n')
    expect((await ingest(values)).status).toBe(202)
    expect((await send(`/api-keys/${id}`, 'DELETE')).status).toBe(200)
    expect(await admin.call('ACL', 'LOG')).toEqual([])
  })

  test.skipIf(!HAS_SERVER)('with the users of users.acl Redis loads all of its append-only file', async () => {
    await using under = await startWithUsers(['--appendonly', 'yes', '--appendfsync', 'always'])
    const settings = { PARTITIONS: '2', REDIS_URL: under.url }
    const apiKeys = under.file('api-keys.json', under.secrets.apiKeysFile)
    await using gateway = await startGateway({ ...settings, ...under.userOf('gateway'), API_KEYS_FILE: apiKeys })
    await using _analyzer = await startAnalyzer({ ...settings, ...under.userOf('analyzer') })
    const base = `http://127.0.0.1:${gateway.port}`
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${under.secrets.operatorKey}` }
    const body = JSON.stringify([1, 2, 3].map(value => ({ key: 'edge-1/cpu', value })))
    const { receipts } = (await (await fetch(`${base}/ingest`, { method: 'POST', headers, body })).json()) as {
      receipts: string[]
    }
    const analysis = async (): Promise<unknown> =>
      (await fetch(`${base}/analyze?key=edge-1%2Fcpu&after=${receipts[0]}&wait=5000`, { headers })).json()
    const before = await analysis()
    expect(before).toMatchObject({ key: 'edge-1/cpu', value: 3 })
    await under.restart()
    await expect.poll(analysis, { timeout: 20_000 }).toEqual(before)
  })

  test.skipIf(!HAS_SERVER)(
    'the users can do nothing else: no user, no API keys for analyzers, no samples for the exporter',
    async () => {
      await using under = await startWithUsers()
      await using gateway = await startGateway({
        REDIS_URL: under.url,
        ...under.userOf('gateway'),
        API_KEYS_FILE: under.file('api-keys.json', under.secrets.apiKeysFile),
      })
      await expect.poll(async () => (await fetch(`http://127.0.0.1:${gateway.port}/readyz`)).status).toBe(200)
      const refused = async (user: RedisUser | 'default', ...command: [string, ...string[]]) => {
        const client = user === 'default' ? rawClient(under.url) : rawClient(under.urlOf(user))
        client.on('error', () => undefined)
        try {
          return await client.call(...command).then(
            () => 'allowed',
            (error: Error) => error.message.split(' ')[0],
          )
        } finally {
          client.disconnect()
        }
      }
      const commands = [
        ['default', 'PING', 'NOAUTH'],
        ['gateway', 'FLUSHALL', 'NOPERM'],
        ['gateway', 'CONFIG SET maxmemory 1', 'NOPERM'],
        ['gateway', 'KEYS *', 'NOPERM'],
        ['gateway', 'GET other', 'NOPERM'],
        ['gateway', 'HGET tm:{api_keys}:records a', 'allowed'],
        ['analyzer', 'HGET tm:{api_keys}:records a', 'NOPERM'],
        ['analyzer', 'HGET tm:{audit}:results a', 'NOPERM'],
        ['analyzer', 'XADD tm:{rules}:changes * c 1', 'NOPERM'],
        ['analyzer', 'HGET tm:{0}:windows a', 'allowed'],
        ['exporter', 'XINFO STREAM tm:{0}:samples', 'ERR'],
        ['exporter', 'TYPE tm:{0}:samples', 'allowed'],
        ['exporter', 'XRANGE tm:{0}:samples - +', 'NOPERM'],
        ['exporter', 'INFO', 'allowed'],
        ['probe', 'PING', 'allowed'],
        ['probe', 'INFO', 'NOPERM'],
      ] as const
      for (const [user, line, expected] of commands) {
        const found = await refused(user, ...(line.split(' ') as [string, ...string[]]))
        expect([user, line, found]).toEqual([user, line, expected])
      }
    },
  )
})
