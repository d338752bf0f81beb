import { pause } from '@tidemark/shared/runtime/lifecycle'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { freePort } from '@tidemark/testkit/redis-process'
import { Client } from '@tidemark/tools/stack/client'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { compressedAlertmanager } from './monitoring/compressed.ts'
import { programsAvailable, type Server, startAlertmanager } from './monitoring/programs.ts'
import { startWebhook, type Webhook } from './monitoring/webhook.ts'
import { ROSE_TO_1000, STORM_OF_31 } from './support/service-messages.ts'
import { startWebhookReceiver, type WebhookReceiver } from './support/webhook-receiver.ts'

const KEY = 'edge-17/"cpu" {é}'
const OTHERS = Array.from({ length: 30 }, (_, i) => `rack ${i}/temperature`)
const NOISE = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4]

/** Alertmanager's delays are divided by this factor. */
const FACTOR = 30

const WITHIN = { timeout: 20_000, interval: 100 }

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
      LEASE_TTL_MS: '1500',
      ALERTMANAGER_URLS: `http://127.0.0.1:${port}`,
      ALERT_LABELS: 'namespace=e2e',
      ALERT_RESEND_MS: '1000',
      WEBHOOK_URLS: webhook.url,
      WEBHOOK_SECRET: webhook.secret,
      PUBLIC_URL: 'http://tidemark.example.com',
    }
    client = new Client(resources.use(await startGateway(env)).port)
    analyzers = [await startAnalyzer(env), await startAnalyzer(env)]
    resources.defer(async () => {
      for (const one of analyzers) await one[Symbol.asyncDispose]()
    })
    await ingest([KEY, ...OTHERS], ...NOISE, ...NOISE)
  })
  afterAll(() => resources.disposeAsync())

  /** Ingests each value for all keys, one value after the other. */
  async function ingest(keys: readonly string[], ...values: number[]): Promise<void> {
    for (const value of values) await client.ingest(keys.map(key => ({ key, value })))
  }

  async function firing(): Promise<Alert[]> {
    const response = await fetch(`http://127.0.0.1:${port}/api/v2/alerts`)
    return (await response.json()) as Alert[]
  }

  /** Waits until Alertmanager has exactly these alerts. */
  const waitForAlerts = (...alerts: Readonly<Record<string, string>>[]): Promise<Alert[]> =>
    vi.waitFor(async () => {
      const found = await firing()
      expect(found.map(({ labels }) => labels)).toEqual(alerts)
      return found
    }, WITHIN)

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
    await vi.waitFor(() => expect(webhook.messages).toHaveLength(1), WITHIN)
    expect(webhook.messages[0]).toMatchObject({
      id: expect.stringMatching(/^\d-[0-9a-f]{24}:firing:1$/),
      type: 'alert.firing',
      data: { key: KEY, state: 'firing', told: 1, explanation: alert?.annotations.summary },
    })
    await vi.waitFor(() => expect(operators.notifications.map(({ labels: { key } }) => key)).toContain(KEY), WITHIN)
  })

  test('a restarted Alertmanager gets the alert again, and the webhook no second message', async () => {
    alertmanager.child.kill()
    await alertmanager.child.exited
    alertmanager = await startAlertmanager(compressedAlertmanager(operators.url, FACTOR), { port })
    await waitForAlerts(labels)
    expect(webhook.messages).toHaveLength(1)
  })

  test('the end of an alert is notified by the analyzer that took over from a killed one', async () => {
    const [killed, survivor] = analyzers
    process.kill(killed?.pid ?? 0, 'SIGKILL')
    await killed?.child.exited
    analyzers = survivor === undefined ? [] : [survivor]
    await ingest([KEY], ...NOISE.slice(0, 8))
    await waitForAlerts()
    await vi.waitFor(() => expect(webhook.messages.map(({ type }) => type)).toContain('alert.resolved'), WITHIN)
    expect(webhook.messages.at(-1)).toMatchObject({
      id: webhook.messages[0]?.id.replace('firing', 'resolved'),
      data: { key: KEY, state: 'resolved', resolve_reason: 'calm', told: 1, told_resolved: true },
    })
  })

  test('an alert storm is one alert, and its keys raise none', async () => {
    const before = webhook.messages.length
    await ingest(OTHERS, 1000)
    const [storm] = await waitForAlerts({ alertname: 'TidemarkStorm', namespace: 'e2e', severity: 'critical' })
    // The alert of the first test was within the same minute.
    expect(storm?.annotations.summary).toMatch(STORM_OF_31)
    // Long enough for a notification of each key, if they were not suppressed.
    await pause(4000)
    expect((await firing()).map(({ labels: { alertname } }) => alertname)).toEqual(['TidemarkStorm'])
    expect(webhook.messages.slice(before).map(({ type, data }) => [type, data.key])).toEqual([['alert.firing', null]])
    await ingest(OTHERS, ...NOISE.slice(0, 8))
    await waitForAlerts()
    await vi.waitFor(() => expect(webhook.messages.at(-1)?.type).toBe('alert.resolved'), WITHIN)
    expect(webhook.messages.slice(before)).toHaveLength(2)
  })

  test('notifications are counted, the outbox is empty, and no metric contains a key', async () => {
    const [analyzer] = analyzers
    let text = ''
    const seriesValue = (series: string): number => Number(text.split(`\n${series} `)[1]?.split('\n')[0])
    await vi.waitFor(async () => {
      text = await (await fetch(`http://127.0.0.1:${analyzer?.metricsPort}/metrics`)).text()
      expect(['outbox_entries', 'alerts_firing'].map(name => seriesValue(`analyzer_${name}`))).toEqual([0, 0])
    }, WITHIN)
    expect(seriesValue('analyzer_storms_total')).toBe(1)
    expect(seriesValue('analyzer_alerts_suppressed_total{by="storm"}')).toBe(30)
    expect(seriesValue('analyzer_notifications_total{receiver="webhook",result="delivered"}')).toBeGreaterThanOrEqual(3)
    expect(text).not.toContain('edge-17')
    expect(webhook.forged).toBe(0)
  })
})
