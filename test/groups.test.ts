import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { Client } from '@tidemark/tools/stack/client'
import { startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { startWebhookReceiver, type WebhookMessage } from './support/webhook-receiver.ts'

const DIGITS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4]
/** More than 50 samples: before, no alert opens by default. */
const NOISE = [...DIGITS, ...DIGITS, ...DIGITS]
const METRICS = ['cpu', 'fan', 'load', 'mem', 'net', 'rps', 'temp']
const METRIC_KEYS = METRICS.map(metric => `edge-17/${metric}`)
const OTHER = 'hall/co2'
const FIRE = 'edge-17/fire'

interface Group {
  readonly id: string
  readonly name: string
  readonly count: number
  readonly severity: string
}

/** Starts Redis, a gateway, two analyzers and a webhook for one test. */
async function deploy(settings: Readonly<Record<string, string>> = {}) {
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedis())
  const webhook = starting.use(await startWebhookReceiver())
  const env = {
    REDIS_URL: redis.url,
    PARTITIONS: '4',
    WEBHOOK_URLS: webhook.url,
    WEBHOOK_SECRET: webhook.secret,
    // However slow the machine is, all alerts of one request are pending before the first leaves.
    ALERT_GROUP_WAIT_MS: '15000',
    ...settings,
  }
  const gateway = starting.use(await startGateway(env))
  const client = new Client(gateway.port)
  const analyzers = [starting.use(await startAnalyzer(env)), starting.use(await startAnalyzer(env))]
  const resources = starting.move()
  return {
    client,
    port: gateway.port,
    analyzers,
    /** Each message once: an analyzer that loses its lease may have one repeated. */
    messages: () => [...new Map(webhook.messages.map(one => [one.id, one])).values()],
    async ingest(keys: readonly string[], ...values: number[]) {
      for (const value of values) await client.ingest(keys.map(key => ({ key, value })))
    },
    groups: async () => ((await (await client.get('/alerts/groups')).json()) as { groups: Group[] }).groups,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function scrape(metricsPort: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
}

function keysOf({ data }: WebhookMessage): string[] {
  const { alerts } = (data.group as { alerts: { key: string }[] } | undefined) ?? { alerts: [] }
  return alerts.map(({ key }) => key).sort()
}

describe.runIf(await redisAvailable())('alerts of one cause', () => {
  test('are one group and one message of two analyzers, from their start to their end', async () => {
    await using deployment = await deploy()
    const { client, port, analyzers, ingest, groups, messages } = deployment
    const body = JSON.stringify({ rule: { pattern: FIRE, alert: { severity: 'critical' } }, who: 'ada', why: 'test' })
    const put = await fetch(`http://127.0.0.1:${port}/rules/fire`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body,
    })
    expect(put.status).toBe(201)
    for (const { metricsPort } of analyzers) {
      await eventually(async () => expect(await scrape(metricsPort)).toMatch(/^analyzer_rules_version 1$/m))
    }
    const keys = [...METRIC_KEYS, OTHER, FIRE]
    await ingest(keys, ...NOISE)
    await ingest(keys, 1000)

    const found = await eventually(async () => {
      const all = await groups()
      expect(all.map(({ count }) => count).sort()).toEqual([1, 8])
      return all
    })
    const device = found.find(({ count }) => count === 8)
    expect(device).toMatchObject({ severity: 'critical', name: expect.stringMatching(/^8 metrics of edge-17 since /) })
    const members = (await (await client.get(`/alerts?group=${device?.id}`)).json()) as { alerts: { key: string }[] }
    expect(members.alerts.map(({ key }) => key).sort()).toEqual([...METRIC_KEYS, FIRE].sort())

    // The critical one does not wait for others.
    await eventually(() => expect(messages().map(({ data }) => data.key)).toEqual([FIRE]))
    await eventually(() => expect(messages()).toHaveLength(3))
    const group = messages().find(({ data }) => data.group !== undefined)
    expect(group && keysOf(group)).toEqual(METRIC_KEYS)
    expect(group?.data.explanation).toMatch(/^7 metrics of edge-17 since \d\d:\d\d UTC: (\w+, ){6}\w+\. /)
    expect(METRIC_KEYS).toContain(group?.data.key)

    await ingest(keys, ...DIGITS.slice(0, 10))
    await eventually(async () => expect(await groups()).toEqual([]))
    const seen = () => messages().map(one => `${one.type} ${one.data.key}: ${keysOf(one)}`)
    await eventually(() => expect(messages(), seen().join('\n')).toHaveLength(6))
    const ends = messages().filter(({ type }) => type === 'alert.resolved')
    expect(ends.map(keysOf).filter(({ length }) => length > 0)).toEqual([METRIC_KEYS])
    for (const { metricsPort } of analyzers) {
      await eventually(async () => expect(await scrape(metricsPort)).toContain('\nanalyzer_outbox_entries 0\n'))
    }
  })

  test('have a message each without ALERT_GROUP_WAIT_MS', async () => {
    await using deployment = await deploy({ ALERT_GROUP_WAIT_MS: '0' })
    const { ingest, messages } = deployment
    await ingest(METRIC_KEYS, ...NOISE)
    await ingest(METRIC_KEYS, 1000)
    await eventually(() =>
      expect(
        messages()
          .map(({ data }) => data.key)
          .sort(),
      ).toEqual(METRIC_KEYS),
    )
  })
})
