import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type MonitoredPipeline, metricsAddress, startMonitoredPipeline } from './monitoring/monitored-pipeline.ts'
import { programsAvailable } from './monitoring/programs.ts'
import { allQueries, annotationQueries } from './monitoring/queries.ts'
import { readRuleFiles } from './monitoring/rules.ts'
import type { Notification } from './monitoring/webhook.ts'

/** Only a fault lasts so long, in the time of the rules. */
const WITHIN_MS = 3600_000

/** Alerts that a busy machine may raise: its real delays are multiplied by the factor. */
const OF_BUSY_MACHINE = [
  ...['PartitionsUnowned', 'IngestSlow', 'VerdictsSlow', 'VerdictBudgetBurns', 'NotificationsSlow'],
  // Scrapes of a gateway and of an analyzer are then further apart.
  'SamplesForgotten',
]

/** Alerts that a storm raises. For the rules it lasts twenty minutes, in which its keys alert. */
const OF_STORM = [
  ...['AnomalyRatioHigh', 'AnalyzerDown', 'KeyAlertsFiring', 'KeyAlertCritical', 'KeyAlertFlood', 'FleetStorm'],
]

const available = (await redisAvailable()) && programsAvailable('prometheus', 'alertmanager', 'redisExporter')

describe.runIf(available)('two gateways, two analyzers and Redis, monitored by Prometheus and Alertmanager', () => {
  let pipeline: MonitoredPipeline
  beforeAll(async () => {
    pipeline = await startMonitoredPipeline()
  })
  afterAll(() => pipeline?.[Symbol.asyncDispose]())

  /** Waits until a notification of this alert arrives. */
  const notified = (alertname: string, status: Notification['status']): Promise<Notification> =>
    eventually(() => {
      const isMeant = (notification: Notification): boolean =>
        notification.labels.alertname === alertname && notification.status === status
      const notification = pipeline.webhook.notifications.find(isMeant)
      if (notification === undefined) throw new Error(`no notification that ${alertname} is ${status}`)
      return notification
    }, WITHIN_MS / pipeline.factor)

  const notifiedExcept = (names: readonly string[]): string[] =>
    pipeline.webhook.notifications
      .map(({ labels: { alertname = '' } }) => alertname)
      .filter(alertname => !names.includes(alertname))

  test('every target is up', async () => {
    interface Targets {
      readonly activeTargets: readonly { readonly health: string; readonly labels: { readonly job: string } }[]
    }
    await eventually(async () => {
      const { activeTargets } = await pipeline.query<Targets>('targets')
      expect(activeTargets.map(({ health, labels }) => `${labels.job} ${health}`).toSorted()).toEqual([
        'analyzer up',
        'analyzer up',
        'canary up',
        'gateway up',
        'gateway up',
        'redis-exporter up',
      ])
    })
  })

  test('every panel and every rule has data', async () => {
    let withoutData = allQueries(pipeline.factor)
    expect(withoutData.length).toBeGreaterThan(300)
    await eventually(async () => {
      const hasData = await Promise.all(withoutData.map(({ expr }) => pipeline.hasData(expr)))
      withoutData = withoutData.filter((_, i) => hasData[i] !== true)
      expect(withoutData).toEqual([])
    }, WITHIN_MS / pipeline.factor)
  })

  test('a slow verdict has the trace id of its request as exemplar', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    await fetch(`http://127.0.0.1:${pipeline.gateways[0]?.port}/ingest`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
      body: '{"key":"traced/rps","value":420}',
    })
    const now = Math.floor(Date.now() / 1000)
    const query = new URLSearchParams({
      query: 'analyzer_delay_seconds_bucket',
      start: `${now - 600}`,
      end: `${now + 600}`,
    })
    await eventually(async () =>
      expect(JSON.stringify(await pipeline.query(`query_exemplars?${query}`))).toContain(traceId),
    )
  })

  test('every rule can be evaluated, and no alert is sent', async () => {
    interface Rules {
      readonly groups: readonly { readonly rules: readonly { readonly name: string; readonly health: string }[] }[]
    }
    const { groups } = await pipeline.query<Rules>('rules')
    const rules = groups.flatMap(group => group.rules)
    expect(rules).toHaveLength(readRuleFiles().flatMap(file => file.groups.flatMap(group => group.rules)).length)
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
    expect(notifiedExcept(['Watchdog', ...OF_BUSY_MACHINE])).toEqual([])
  })

  test('a storm of anomalies is notified in time and marked on every dashboard', async () => {
    pipeline.load.storm(true)
    // The ratio is an average of 5 min, `for` is 5 min, and `group_wait` half a minute.
    const { receiver, labels, annotations } = await notified('AnomalyRatioHigh', 'firing')
    expect({ receiver, severity: labels.severity, namespace: labels.namespace }).toEqual({
      receiver: 'operators',
      severity: 'warning',
      namespace: 'tidemark',
    })
    expect(annotations.description).toMatch(/^\d[\d.]*% of the samples analysed in tidemark are anomalies/)
    const marks = annotationQueries(pipeline.factor)
    expect(marks).toHaveLength(10)
    for (const { where, expr } of marks) expect([where, await pipeline.hasData(expr)]).toEqual([where, true])
  })

  test('a stopped analyzer and the end of the storm are notified in time, and nothing else', async () => {
    pipeline.load.storm(false)
    const [, stopped] = pipeline.analyzers
    await stopped?.child.stop()
    // `for` is 2 min, and `group_wait` half a minute.
    const { labels, annotations } = await notified('AnalyzerDown', 'firing')
    expect(labels.instance).toBe(stopped && metricsAddress(stopped))
    expect(annotations.summary).toBe('An analyzer is unavailable')
    // The ratio is an average of 5 min, and `group_interval` is 5 min.
    await notified('AnomalyRatioHigh', 'resolved')
    expect(notifiedExcept(['Watchdog', ...OF_STORM, ...OF_BUSY_MACHINE])).toEqual([])
  })
})
