import { redisAvailable } from '@tidemark/testkit/redis-fixture'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { allQuestions, annotationQuestions } from './monitoring/asked.ts'
import { programsAvailable } from './monitoring/programs.ts'
import { readRuleFiles } from './monitoring/rules.ts'
import { metricsAddress, startWatchedPipeline, type WatchedPipeline } from './monitoring/watched-pipeline.ts'
import type { Notice } from './monitoring/webhook.ts'

/** Half an hour in a minute: a scrape each half second, an alert's five minutes in ten seconds. */
const FACTOR = 30

const MINUTE_MS = 60_000 / FACTOR

/** Real time that evaluations, processes and a busy computer may take beyond what the configuration says. */
const SLACK_MS = 8000

/**
 * What may be told of besides, in a run that is twenty minutes long for the rules: the alerts of keys in the storm, and what
 * depends on real time, which a busy computer makes long and the factor longer.
 */
const EXPECTED = [
  ...['AnomalyRatioHigh', 'AnalyzerDown', 'KeyAlertsFiring', 'KeyAlertCritical', 'KeyAlertFlood', 'FleetStorm'],
  ...['PartitionsUnowned', 'IngestSlow', 'VerdictsSlow'],
]

const available = (await redisAvailable()) && programsAvailable('prometheus', 'alertmanager', 'redisExporter')

describe.runIf(available)('two gateways, two analyzers and Redis, watched by Prometheus and Alertmanager', () => {
  let pipeline: WatchedPipeline
  beforeAll(async () => {
    pipeline = await startWatchedPipeline(FACTOR)
  })
  afterAll(() => pipeline?.[Symbol.asyncDispose]())

  /** Waits until somebody was told so. */
  const told = (alertname: string, status: Notice['status'], withinMs: number): Promise<Notice> =>
    vi.waitFor(
      () => {
        const isMeant = (notice: Notice): boolean => notice.labels.alertname === alertname && notice.status === status
        const notice = pipeline.webhook.notices.find(isMeant)
        if (notice === undefined) throw new Error(`nobody was told that ${alertname} is ${status}`)
        return notice
      },
      { timeout: withinMs, interval: 50 },
    )

  test('every target is up', async () => {
    interface Targets {
      readonly activeTargets: readonly { readonly health: string; readonly labels: { readonly job: string } }[]
    }
    await vi.waitFor(
      async () => {
        const { activeTargets } = await pipeline.ask<Targets>('targets')
        expect(activeTargets.map(({ health, labels }) => `${labels.job} ${health}`).toSorted()).toEqual([
          'analyzer up',
          'analyzer up',
          'gateway up',
          'gateway up',
          'redis-exporter up',
        ])
      },
      { timeout: 20_000, interval: 200 },
    )
  })

  test('every panel and every rule has data', async () => {
    let unanswered = allQuestions(FACTOR)
    expect(unanswered.length).toBeGreaterThan(300)
    await vi.waitFor(
      async () => {
        const answers = await Promise.all(unanswered.map(({ expr }) => pipeline.hasData(expr)))
        unanswered = unanswered.filter((_, i) => answers[i] !== true)
        expect(unanswered).toEqual([])
      },
      { timeout: 40_000, interval: 1000 },
    )
  })

  test('a slow verdict leads to the trace of its request', async () => {
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
    await vi.waitFor(
      async () => expect(JSON.stringify(await pipeline.ask(`query_exemplars?${query}`))).toContain(traceId),
      { timeout: 10_000, interval: 200 },
    )
  })

  test('every rule can be evaluated, and nobody is told of anything', async () => {
    interface Rules {
      readonly groups: readonly { readonly rules: readonly { readonly name: string; readonly health: string }[] }[]
    }
    const { groups } = await pipeline.ask<Rules>('rules')
    const rules = groups.flatMap(group => group.rules)
    expect(rules).toHaveLength(readRuleFiles().flatMap(file => file.groups.flatMap(group => group.rules)).length)
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
    expect(pipeline.webhook.notices).toEqual([])
  })

  test('a storm of anomalies is told of in time, and marked on every dashboard', async () => {
    pipeline.load.storm(true)
    // Five minutes until the ratio is that of the storm alone, five as the alert demands, half a one for others to join it.
    const { receiver, labels, annotations } = await told('AnomalyRatioHigh', 'firing', 10.5 * MINUTE_MS + SLACK_MS)
    expect({ receiver, severity: labels.severity, namespace: labels.namespace }).toEqual({
      receiver: 'operators',
      severity: 'warning',
      namespace: 'tidemark',
    })
    expect(annotations.description).toMatch(/^\d[\d.]*% of the samples analysed in tidemark are anomalies/)
    const marks = annotationQuestions(FACTOR)
    expect(marks).toHaveLength(8)
    for (const { where, expr } of marks) expect([where, await pipeline.hasData(expr)]).toEqual([where, true])
  })

  test('a stopped analyzer is told of in time, and the end of the storm too, and nothing that is not so', async () => {
    pipeline.load.storm(false)
    const [, stopped] = pipeline.analyzers
    await stopped?.child.stop()
    // Two minutes as the alert demands, half a one for others to join it.
    const { labels, annotations } = await told('AnalyzerDown', 'firing', 2.5 * MINUTE_MS + SLACK_MS)
    expect(labels.instance).toBe(stopped && metricsAddress(stopped))
    expect(annotations.summary).toBe('An analyzer is unavailable')
    // Five minutes until the ratio is that of the calm alone, five until the group is told of again.
    await told('AnomalyRatioHigh', 'resolved', 10 * MINUTE_MS + SLACK_MS)
    const others = pipeline.webhook.notices.map(notice => notice.labels.alertname ?? '')
    expect(others.filter(name => !EXPECTED.includes(name))).toEqual([])
  })
})
