import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { freePort } from '@tidemark/testkit/redis-process'
import { Client } from '@tidemark/tools/stack/client'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compressedAlertmanager } from './monitoring/compressed.ts'
import { programsAvailable, type Server, startAlertmanager } from './monitoring/programs.ts'
import { startWebhook, type Webhook } from './monitoring/webhook.ts'
import { ROSE_TO_1000, STORM_OF_31 } from './support/service-messages.ts'
import { startWebhookReceiver, type WebhookMessage, type WebhookReceiver } from './support/webhook-receiver.ts'

const KEY = 'edge-17/"cpu" {é}'
const OTHERS = Array.from({ length: 30 }, (_, i) => `rack ${i}/temperature`)
const NOISE = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4]

/** Alertmanager's delays are divided by this factor. */
const FACTOR = 30

/**
 * A storm must be detected within ALERT_WAIT_MS of its first alert. A machine on which a gateway
 * takes long to start takes as much longer for that.
 */
const WAIT_PER_START = 4
const WAIT_MIN_MS = 2000
const WAIT_MAX_MS = 20_000

const SUPPRESSED = 'analyzer_alerts_suppressed_total{by="storm"}'

interface Alert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly generatorURL: string
  readonly endsAt: string
}

const available = (await redisAvailable()) && programsAvailable('alertmanager')

describe.runIf(available)('a pipeline with receivers of notifications', () => {
  const resources = new AsyncDisposableStack()
  let client: Client
  let analyzers: Service[]
  let alertmanager: Server
  let port: number
  let operators: Webhook
  let webhook: WebhookReceiver

  beforeAll(async () => {
    const redis = resources.use(await startRedis())
    operators = resources.use(await startWebhook())
    webhook = resources.use(await startWebhookReceiver())
    port = await freePort()
    alertmanager = await startAlertmanager(compressedAlertmanager(operators.url, FACTOR), { port })
    resources.defer(() => alertmanager[Symbol.asyncDispose]())
    const env = {
      REDIS_URL: redis.url,
      PARTITIONS: '4',
      LEASE_TTL_MS: '4000',
      ALERTMANAGER_URLS: `http://127.0.0.1:${port}`,
      ALERT_LABELS: 'namespace=e2e',
      ALERT_RESEND_MS: '1000',
      WEBHOOK_URLS: webhook.url,
      WEBHOOK_SECRET: webhook.secret,
      PUBLIC_URL: 'http://tidemark.example.com',
    }
    const begin = performance.now()
    client = new Client(resources.use(await startGateway(env)).port)
    const waitMs = Math.min(Math.max(WAIT_PER_START * (performance.now() - begin), WAIT_MIN_MS), WAIT_MAX_MS)
    const settings = { ...env, ALERT_WAIT_MS: String(Math.round(waitMs)) }
    analyzers = [await startAnalyzer(settings), await startAnalyzer(settings)]
    resources.defer(async () => {
      for (const one of analyzers) await one[Symbol.asyncDispose]()
    })
    // By default no alert opens in a key's first 50 samples.
    await ingest([KEY, ...OTHERS], ...NOISE, ...NOISE, ...NOISE)
  })
  afterAll(() => resources.disposeAsync())

  /** Ingests each value for all keys, one value after the other. */
  async function ingest(keys: readonly string[], ...values: number[]): Promise<void> {
    for (const value of values) await client.ingest(keys.map(key => ({ key, value })))
  }

  /** The metrics of the first analyzer. */
  async function metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${analyzers[0]?.metricsPort}/metrics`)).text()
  }

  async function seriesOf(series: string): Promise<number> {
    return Number((await metrics()).split(`\n${series} `)[1]?.split('\n')[0])
  }

  async function firing(): Promise<Alert[]> {
    const response = await fetch(`http://127.0.0.1:${port}/api/v2/alerts`)
    return (await response.json()) as Alert[]
  }

  /** Waits until Alertmanager has exactly these alerts. */
  const waitForAlerts = (...alerts: Readonly<Record<string, string>>[]): Promise<Alert[]> =>
    eventually(async () => {
      const found = await firing()
      expect(found.map(({ labels }) => labels)).toEqual(alerts)
      return found
    })

  /** The messages of the webhook. An analyzer that loses its lease may have one repeated. */
  const messages = (): WebhookMessage[] => [...new Map(webhook.messages.map(one => [one.id, one])).values()]

  const labels = {
    alertname: 'TidemarkAnomaly',
    detector: 'zscore',
    key: KEY,
    namespace: 'e2e',
    severity: 'warning',
  }

  test('an anomaly is an alert of its key in Alertmanager and a signed webhook message', async () => {
    await ingest([KEY], 1000)
    const [alert] = await waitForAlerts(labels)
    expect(alert?.annotations.summary).toMatch(ROSE_TO_1000)
    expect(alert?.generatorURL).toMatch(/^http:\/\/tidemark\.example\.com\/alerts\/\d-[0-9a-f]{24}$/)
    await eventually(() => expect(messages()).toHaveLength(1))
    expect(messages()[0]).toMatchObject({
      id: expect.stringMatching(/^\d-[0-9a-f]{24}:firing:1$/),
      type: 'alert.firing',
      data: { key: KEY, state: 'firing', told: 1, explanation: alert?.annotations.summary },
    })
    await eventually(() => expect(operators.notifications.map(({ labels: { key } }) => key)).toContain(KEY))
  })

  test('a restarted Alertmanager gets the alert again, and the webhook no second message', async () => {
    alertmanager.child.kill()
    await alertmanager.child.exited
    alertmanager = await startAlertmanager(compressedAlertmanager(operators.url, FACTOR), { port })
    await waitForAlerts(labels)
    expect(messages()).toHaveLength(1)
  })

  test('the end of an alert is notified by the analyzer that took over from a killed one', async () => {
    const [killed, survivor] = analyzers
    process.kill(killed?.pid ?? 0, 'SIGKILL')
    await killed?.child.exited
    analyzers = survivor === undefined ? [] : [survivor]
    await ingest([KEY], ...NOISE.slice(0, 8))
    await waitForAlerts()
    await eventually(() => expect(messages().map(({ type }) => type)).toContain('alert.resolved'))
    expect(messages().at(-1)).toMatchObject({
      id: messages()[0]?.id.replace('firing', 'resolved'),
      data: { key: KEY, state: 'resolved', resolve_reason: 'calm', told: 1, told_resolved: true },
    })
  })

  test('an alert storm is one alert, and its keys raise none', async () => {
    const before = messages().length
    await ingest(OTHERS, 1000)
    const [storm] = await waitForAlerts({ alertname: 'TidemarkStorm', namespace: 'e2e', severity: 'critical' })
    // The alert of the first test counts if it was within the same minute; on a slow machine some
    // alerts open after the storm.
    expect(storm?.annotations.summary).toMatch(STORM_OF_31)
    // Once it is decided for each key that its notification is suppressed, none follows.
    await eventually(async () => expect(await seriesOf(SUPPRESSED)).toBe(OTHERS.length))
    expect((await firing()).map(({ labels: { alertname } }) => alertname)).toEqual(['TidemarkStorm'])
    // More than once if the keys raise their alerts one after the other: a storm that has grown is
    // notified again.
    const since = () => messages().slice(before)
    for (const { type, data } of since()) expect([type, data.key]).toEqual(['alert.firing', null])
    expect(since()).not.toEqual([])
    await ingest(OTHERS, ...NOISE.slice(0, 8))
    await waitForAlerts()
    await eventually(() => expect(messages().at(-1)?.type).toBe('alert.resolved'))
    expect(since().filter(({ type }) => type === 'alert.resolved')).toHaveLength(1)
    for (const { data } of since()) expect(data.key).toBeNull()
  })

  test('notifications are counted, the outbox is empty, and no metric contains a key', async () => {
    await eventually(async () => {
      expect(await seriesOf('analyzer_outbox_entries')).toBe(0)
      expect(await seriesOf('analyzer_alerts_firing')).toBe(0)
    })
    expect(await seriesOf('analyzer_storms_total')).toBe(1)
    expect(await seriesOf(SUPPRESSED)).toBe(OTHERS.length)
    const delivered = 'analyzer_notifications_total{receiver="webhook",result="delivered"}'
    expect(await seriesOf(delivered)).toBeGreaterThanOrEqual(3)
    expect(await metrics()).not.toContain('edge-17')
    expect(webhook.forged).toBe(0)
  })
})
