import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { freePort } from '@tidemark/testkit/redis-process'
import { Client } from '@tidemark/tools/stack/client'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { compressedAlertmanager } from './monitoring/compressed.ts'
import { programsAvailable, startAlertmanager } from './monitoring/programs.ts'
import { type Received, startReceiver } from './support/receiver.ts'

const DIGITS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4]
/** Twice of it are more than 50 samples: before, no alert opens by default. */
const NOISE = [...DIGITS, ...DIGITS]
const SECRET = `whsec_${Buffer.from('thirty-two bytes of a test secret').toString('base64')}`
const YEAR_2100 = 4_102_444_800_000

interface StoredAlert {
  readonly labels: Readonly<Record<string, string>>
  readonly startsAt: string
  readonly endsAt: string
}

interface Message {
  readonly type: string
  readonly data: { readonly key: string; readonly opened_at: number; readonly explanation: string }
}

/** Slower than the interval of the reminders, and far from the time after which it has failed. */
const SLOW_MS = 2000

/** Makes a Node.js process believe that it is another time. */
function clockAheadBy(ms: number): Record<string, string> {
  const code = `const now = Date.now; Date.now = () => now() + ${ms}`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` }
}

/**
 * Starts Redis, a gateway and receivers for one test: alerts of tests that share a deployment form
 * a storm, and what one receiver has refused is retried in the next test.
 */
async function deploy(settings: Readonly<Record<string, string>> = {}) {
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedis())
  const slow = starting.use(await startReceiver())
  slow.respond = response => void setTimeout(() => response.writeHead(200).end(), SLOW_MS)
  const hook = starting.use(await startReceiver())
  const port = await freePort()
  const alertmanagerUrl = `http://127.0.0.1:${port}`
  starting.use(await startAlertmanager(compressedAlertmanager(slow.url, 30), { port }))
  const env = {
    REDIS_URL: redis.url,
    PARTITIONS: '2',
    ALERT_RESEND_MS: '1000',
    ALERTMANAGER_URLS: `${alertmanagerUrl},${slow.url}`,
    WEBHOOK_URLS: `${hook.url}/hook`,
    WEBHOOK_SECRET: SECRET,
    // The tests say what becomes of each alert.
    ALERT_GROUP_WAIT_MS: '0',
    ...settings,
  }
  const gateway = starting.use(await startGateway(env))
  const client = new Client(gateway.port)
  const analyzers = new Set<Service>()
  starting.defer(async () => {
    await Promise.all([...analyzers].map(one => one[Symbol.asyncDispose]()))
  })
  const resources = starting.move()
  return {
    redis,
    slow,
    hook,
    client,

    async start(ofAnalyzer: Readonly<Record<string, string>> = {}): Promise<Service> {
      const analyzer = await startAnalyzer({ ...env, ...ofAnalyzer })
      analyzers.add(analyzer)
      return analyzer
    },

    /** Kills an analyzer without giving it a chance to release its leases. */
    async kill(analyzer: Service): Promise<void> {
      analyzers.delete(analyzer)
      process.kill(analyzer.pid, 'SIGKILL')
      await analyzer.child.exited
    },

    async putRule(id: string, rule: object): Promise<void> {
      const body = JSON.stringify({ rule, who: 'ada', why: 'test' })
      const headers = { 'Content-Type': 'application/json' }
      const response = await fetch(`http://127.0.0.1:${gateway.port}/rules/${id}`, { method: 'PUT', headers, body })
      expect(response.status).toBe(201)
    },

    async inAlertmanager(key: string): Promise<StoredAlert[]> {
      const response = await fetch(`${alertmanagerUrl}/api/v2/alerts`)
      const alerts = (await response.json()) as StoredAlert[]
      return alerts.filter(({ labels }) => labels.key === key)
    },

    /** The types of the messages about a key that the webhook has got, whatever its response. */
    messages: (key: string): string[] =>
      hook.received.map(({ body }) => body as Message).flatMap(({ type, data }) => (data.key === key ? [type] : [])),

    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Ingests each value for all keys, one value after the other. */
async function ingest(client: Client, keys: readonly string[], ...values: number[]): Promise<void> {
  for (const value of values) await client.ingest(keys.map(key => ({ key, value })))
}

const available = (await redisAvailable()) && programsAvailable('alertmanager')

describe.runIf(available)('receivers', () => {
  test('never see an alert end because clocks of analyzers are wrong, they crash, or a receiver is slow', async () => {
    await using deployment = await deploy({ LEASE_TTL_MS: '1500' })
    const { client, slow, hook, start, kill, inAlertmanager, messages } = deployment
    let analyzer = await start(clockAheadBy(-360_000))
    await ingest(client, ['edge/rps'], ...NOISE, ...NOISE, 1000)
    await eventually(async () => expect(await inAlertmanager('edge/rps')).toHaveLength(1))
    for (const aheadMs of [-150_000, 300_000, 0]) {
      await kill(analyzer)
      analyzer = await start(clockAheadBy(aheadMs))
      const { length } = slow.received
      await eventually(async () => {
        expect(await inAlertmanager('edge/rps')).toHaveLength(1)
        // Reminded by the new owner; and a round with the slow receiver is over.
        expect(slow.received.length).toBeGreaterThan(length + 1)
      })
    }
    const alerts = slow.received.flatMap(({ at, body }) =>
      Array.isArray(body) ? (body as StoredAlert[]).map(one => ({ at, ...one })) : [],
    )
    expect(alerts.length).toBeGreaterThan(3)
    for (const { at, startsAt, endsAt } of alerts) {
      expect(Date.parse(startsAt)).toBeLessThanOrEqual(at)
      expect(Date.parse(endsAt)).toBeGreaterThan(at + 30_000)
    }
    // Perhaps more than once: a killed analyzer may not have recorded its delivery.
    expect([...new Set(messages('edge/rps'))]).toEqual(['alert.firing'])
    for (const { headers, body } of hook.received) {
      new Webhook(SECRET).verify(JSON.stringify(body), headers as Record<string, string>)
    }
    await ingest(client, ['edge/rps'], ...NOISE.slice(0, 10))
    await eventually(async () => expect(await inAlertmanager('edge/rps')).toEqual([]))
    await eventually(() => expect(messages('edge/rps').at(-1)).toBe('alert.resolved'))
  })

  test('that respond with an error for a while get the start of an alert, then its end', async () => {
    await using deployment = await deploy({ PARTITIONS: '4' })
    const { client, hook, start, messages } = deployment
    const statuses = [400, 401, 403, 404, 410, 413, 429, 503]
    const keys = statuses.map(status => `rack/${status}`)
    const failures = new Map(keys.map(key => [key, 2]))
    const taken: string[] = []
    hook.respond = (response, { body }: Received) => {
      const { type, data } = body as Message
      const left = failures.get(data.key) ?? 0
      failures.set(data.key, left - 1)
      if (left > 0) response.writeHead(Number(data.key.split('/')[1])).end('the deployment is being replaced')
      else {
        taken.push(`${data.key} ${type}`)
        response.writeHead(204).end()
      }
    }
    const logged: string[] = []
    const analyzer = await start()
    analyzer.child.onLine(line => logged.push(line))
    await ingest(client, keys, ...NOISE, ...NOISE, 1000)
    // Receivers never learn of an alert that ends before its notification is decided on.
    await eventually(async () => {
      const { alerts } = (await (await client.get('/alerts?state=firing')).json()) as { alerts: { told: number }[] }
      expect(alerts.map(({ told }) => told)).toEqual(keys.map(() => 1))
    })
    await ingest(client, keys, ...NOISE.slice(0, 10))
    await eventually(() => expect(new Set(taken).size).toBe(2 * keys.length))
    for (const key of keys) {
      // Perhaps more than once: an analyzer that lost its lease did not record its delivery.
      const once = new Set(taken.filter(one => one.startsWith(key)))
      expect([...once]).toEqual([`${key} alert.firing`, `${key} alert.resolved`])
      expect(messages(key).slice(0, 3)).toEqual(Array(3).fill('alert.firing'))
    }
    expect(logged.join('\n')).toContain('the deployment is being replaced')
  })

  test('hear of alerts with times of now while the ids of entries are ahead of the clock', async () => {
    await using deployment = await deploy({ PARTITIONS: '1' })
    const { client, redis, hook, start, putRule, inAlertmanager } = deployment
    const key = 'hall/temperature'
    await ingest(client, ['hall/humidity'], 1)
    const raw = rawClient(redis.url)
    await raw.call('XSETID', 'tm:{0}:samples', `${YEAR_2100}-0`)
    raw.disconnect()
    await putRule('hall', { pattern: key, silent: '2s' })
    const analyzer = await start()
    const begin = Date.now()
    await ingest(client, [key], ...NOISE, ...NOISE, 1000)
    const named = async (name: string): Promise<StoredAlert | undefined> =>
      (await inAlertmanager(key)).find(({ labels }) => labels.alertname === name)
    const { startsAt } = await eventually(async () => {
      const anomaly = await named('TidemarkAnomaly')
      if (anomaly === undefined) throw new Error(`${key} does not fire`)
      return anomaly
    })
    expect(Date.parse(startsAt)).toBeLessThanOrEqual(Date.now())
    expect(Date.parse(startsAt)).toBeGreaterThanOrEqual(begin - 1000)
    await eventually(async () => expect(await named('TidemarkSilent')).toBeDefined())
    await eventually(async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${analyzer.metricsPort}/metrics`)).text()
      expect(Number(/^analyzer_entry_ids_ahead_seconds (.*)$/m.exec(metrics)?.[1])).toBeGreaterThan(1e9)
    })
    for (const { body } of hook.received) {
      const { data } = body as Message
      expect([data.opened_at <= Date.now(), data.explanation]).toEqual([true, expect.not.stringContaining('2100')])
    }
    await ingest(client, [key], ...NOISE.slice(0, 10))
    await eventually(async () => expect(await named('TidemarkAnomaly')).toBeUndefined())
  })

  test('hear of a silence before the end of the alert that it ends', async () => {
    // The silence begins after the start of the alert is notified, however slow the analyzer is.
    await using deployment = await deploy({ ALERT_WAIT_MS: '0' })
    const { client, start, putRule, messages } = deployment
    const key = 'cellar/humidity'
    await putRule('cellar', { pattern: key, silent: '4s', alert: { resolve_after: '1s' } })
    await start()
    // In one request: a slow machine would make pauses that are silences.
    await client.ingest([...NOISE, ...NOISE, 1000, 2000, 3000].map(value => ({ key, value })))
    await eventually(() => expect(messages(key)).toHaveLength(3))
    expect(messages(key)).toEqual(['alert.firing', 'alert.firing', 'alert.resolved'])
  })
})
