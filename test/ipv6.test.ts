import { networkInterfaces } from 'node:os'
import { Client } from '@tidemark/client/client'
import { EventStreamParser, type ServerSentEvent } from '@tidemark/testkit/event-stream'
import { eventually } from '@tidemark/testkit/eventually'
import { startRedis, startRedisCluster } from '@tidemark/testkit/redis-fixture'
import { isOnPath } from '@tidemark/testkit/redis-process'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { startReceiver } from './support/receiver.ts'

const HOST = '::1'
const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const LISTENING = { HOST, METRICS_HOST: HOST }

const hasAddress = Object.values(networkInterfaces()).some(list => list?.some(({ address }) => address === HOST))
const canRun = process.env.CI === 'true' || (hasAddress && (await isOnPath('redis-server')))
if (!canRun) process.stderr.write('SKIPPED: IPv6 is tested where this computer has ::1 and redis-server\n')

/** The fixture itself connects over IPv4; the services get the other address. */
const BOUND = { which: 'redis-server', args: ['--bind', '127.0.0.1', HOST] } as const

function urlOf(port: number, scheme = 'http'): string {
  return `${scheme}://[${HOST}]:${port}`
}

function clientOf({ port }: Service): Client {
  return new Client({ url: urlOf(port), retryForMs: 0 })
}

async function textOf(port: number, path: string): Promise<string> {
  const response = await fetch(urlOf(port) + path)
  expect([path, response.status]).toEqual([path, 200])
  return await response.text()
}

/** Opens the live feed; the function it returns reads until there is an event of this type. */
async function openFeed(port: number): Promise<(type: string) => Promise<ServerSentEvent>> {
  const parser = new EventStreamParser()
  // Kept until it is read: fetch cancels the body of a response that is garbage.
  const response = await fetch(`${urlOf(port)}/events`)
  expect(response.status).toBe(200)
  return async type => {
    for await (const chunk of response.body ?? []) {
      const found = parser.push(chunk).find(event => event.type === type)
      if (found !== undefined) return found
    }
    throw new Error(`the feed ended without ${type}`)
  }
}

async function putRule(client: Client, rule: object, more: Readonly<Record<string, string>> = {}): Promise<void> {
  const body = JSON.stringify({ rule, who: 'ada', why: 'test' })
  const headers = { 'Content-Type': 'application/json', ...more }
  expect((await client.request('PUT', '/rules/all', { body, headers })).status).toBe(201)
}

/** Sends samples and reads their verdicts, the last one an anomaly. */
async function expectVerdicts(client: Client): Promise<void> {
  const usual = Array.from({ length: 60 }, (_, i) => ({ key: 'edge-1/temperature', value: 20 + (i % 5) }))
  const { accepted, receipts } = await client.ingest([...usual, { key: 'edge-1/temperature', value: 900 }])
  expect(accepted).toBe(61)
  const analysis = await client.analyze('edge-1/temperature', { after: receipts.at(-1) ?? '' })
  expect(analysis).toMatchObject({ count: 61, state: 'anomalous', value: 900 })
}

describe.runIf(canRun)('over IPv6 alone', () => {
  test('samples, verdicts, the live feed, notifications, metrics and health work', async () => {
    await using redis = await startRedis(BOUND)
    await using receiver = await startReceiver(HOST)
    const env = { ...LISTENING, REDIS_URL: urlOf(redis.port, 'redis') }
    await using gateway = await startGateway(env)
    const notifying = { WEBHOOK_URLS: `${receiver.url}/`, WEBHOOK_SECRET: SECRET, ALERT_WAIT_MS: '0' }
    await using analyzer = await startAnalyzer({ ...env, ...notifying })
    const client = clientOf(gateway)
    await putRule(client, { pattern: '*', max: 800 })
    await eventually(async () =>
      expect(await textOf(analyzer.metricsPort, '/metrics')).toMatch(/^analyzer_rules_version 1$/m),
    )
    const nextOf = await openFeed(gateway.port)
    await expectVerdicts(client)
    expect(JSON.parse((await nextOf('analysis')).data)).toMatchObject({ key: 'edge-1/temperature' })
    await eventually(() => expect(JSON.stringify(receiver.received)).toContain('edge-1/temperature'))
    for (const path of ['/health', '/livez', '/readyz']) await textOf(gateway.port, path)
    expect(await textOf(gateway.metricsPort, '/metrics')).toMatch(/^gateway_samples_accepted_total.* 61$/m)
    expect(await textOf(analyzer.metricsPort, '/readyz')).toContain('ok')
  })

  test('TRUSTED_PROXIES names networks of IPv6, and a client is limited by its /64 network', async () => {
    await using redis = await startRedis(BOUND)
    const limits = { REQUESTS_PER_S_MAX: '1', RATE_BURST_S: '3' }
    const env = { ...LISTENING, REDIS_URL: urlOf(redis.port, 'redis'), ...limits }
    await using gateway = await startGateway({ ...env, TRUSTED_PROXIES: '::1,fd00::/8' })
    const statusFrom = async (forwardedFor: string): Promise<number> => {
      const headers = { 'Content-Type': 'application/json', 'X-Forwarded-For': forwardedFor }
      const body = '{"key":"a","value":1}'
      return (await fetch(`${urlOf(gateway.port)}/ingest`, { method: 'POST', headers, body })).status
    }
    // The network between two proxies is trusted; what a client claims before them is not.
    const from = (client: string): string => `192.0.2.1, ${client}, [fd00::7]:443`
    await eventually(async () => expect(await statusFrom(from('2001:db8:1:1::5'))).toBe(429))
    expect(await statusFrom(from('2001:db8:1:1::6'))).toBe(429)
    expect(await statusFrom(from('2001:db8:1:2::5'))).toBe(202)

    const client = new Client({ url: urlOf(gateway.port), retryForMs: 10_000 })
    await putRule(client, { pattern: '*', max: 800 }, { 'X-Forwarded-For': '2001:db8:3::9' })
    const { records } = JSON.parse(await textOf(gateway.port, '/audit')) as { records: { address: string }[] }
    expect(records[0]?.address).toBe('2001:db8:3::9')
  })

  test('a Redis Cluster whose nodes announce IPv6', async () => {
    const announced = ['--bind', '127.0.0.1', HOST, '--cluster-announce-ip', HOST]
    await using cluster = await startRedisCluster({ argsOf: () => announced })
    const nodes = cluster.nodes.map(({ port }) => urlOf(port, 'redis')).join()
    const env = { ...LISTENING, REDIS_URL: nodes, REDIS_CLUSTER: 'true' }
    await using gateway = await startGateway(env)
    await using _analyzer = await startAnalyzer(env)
    await expectVerdicts(clientOf(gateway))
  })
})
