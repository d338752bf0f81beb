import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { redisAvailable, startRedis } from '@tidemark/shared/testing/redis-fixture'
import { describe, expect, test, vi } from 'vitest'
import { compressedAlertmanager, compressedPrometheus, compressedRules } from './monitoring/compressed.ts'
import { filledIn, panelsOf, readDashboards } from './monitoring/dashboards.ts'
import { DECLARED_BY_ALERT_LAYER } from './monitoring/known-metrics.ts'
import { programsAvailable, startAlertmanager, startPrometheus, startRedisExporter } from './monitoring/programs.ts'
import { compressed, inlined, questioned, selectorsOf, shortened } from './monitoring/promql.ts'
import { readRuleFiles, recordedExpressions } from './monitoring/rules.ts'
import { startLoad } from './monitoring/signal-load.ts'
import { type Notice, startWebhook } from './monitoring/webhook.ts'
import { startAnalyzer, startGateway } from './support/services.ts'

/** Half an hour in a minute: a scrape each half second, ranges of ten seconds, an alert's five minutes in ten seconds. */
const FACTOR = 30

/** Real time that evaluations, processes and a busy computer may take beyond what the configuration says. */
const SLACK_MS = 8000

const WINDOW_MS = (5 * 60_000) / FACTOR

/** What has no data here, and why. */
const WITHOUT_DATA: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /^kube_/, reason: 'there is no Kubernetes' },
  ...Object.keys(DECLARED_BY_ALERT_LAYER).map(name => ({
    pattern: new RegExp(`^${name}$`),
    reason: 'the alert layer does not export it yet',
  })),
]

interface Expression {
  readonly where: string
  readonly expr: string
}

const available = (await redisAvailable()) && programsAvailable('prometheus', 'alertmanager', 'redisExporter')

describe.runIf(available)('two gateways, two analyzers and Redis, watched by Prometheus and Alertmanager', () => {
  test('every panel and rule has data; a storm of anomalies and a stopped analyzer are told of, in time, and so is their end', async () => {
    await using stack = new AsyncDisposableStack()
    const redis = stack.use(await startRedis({ args: ['--maxmemory', '256mb', '--maxmemory-policy', 'noeviction'] }))
    const env = { REDIS_URL: redis.url }
    const gateways = [stack.use(await startGateway(env)), stack.use(await startGateway(env))]
    const analyzers = [stack.use(await startAnalyzer(env)), stack.use(await startAnalyzer(env))]
    const exporter = stack.use(await startRedisExporter(redis.url))
    const webhook = stack.use(await startWebhook())
    const alertmanager = stack.use(await startAlertmanager(compressedAlertmanager(webhook.url, { factor: FACTOR })))
    const rulesFolder = await mkdtemp(join(tmpdir(), 'tidemark-rules-'))
    stack.defer(() => rm(rulesFolder, { recursive: true }))
    for (const { name, text } of compressedRules({ factor: FACTOR })) await writeFile(join(rulesFolder, name), text)
    const metricsOf = ({ metricsPort }: { readonly metricsPort: number }) => `127.0.0.1:${metricsPort}`
    const targets = {
      gateway: gateways.map(metricsOf),
      analyzer: analyzers.map(metricsOf),
      'redis-exporter': [exporter.address],
    }
    const config = compressedPrometheus(
      { targets, alertmanager: alertmanager.address, rulesFolder },
      { factor: FACTOR },
    )
    const prometheus = stack.use(await startPrometheus(config, [`--query.lookback-delta=${shortened('5m', FACTOR)}`]))
    const load = stack.use(startLoad(gateways.map(({ port }) => port)))
    const ask = <T>(path: string) => askPrometheus<T>(prometheus.address, path)

    // Targets are up.
    await vi.waitFor(
      async () => {
        const { activeTargets } = await ask<{ activeTargets: { health: string; labels: Labels }[] }>('targets')
        expect(activeTargets.map(({ health, labels: { job } }) => `${job} ${health}`).toSorted()).toEqual([
          'analyzer up',
          'analyzer up',
          'gateway up',
          'gateway up',
          'redis-exporter up',
        ])
      },
      { timeout: 15_000, interval: 200 },
    )

    // Everything that is asked for has data.
    const asked = [...panelExpressions(), ...ruleExpressions()]
    const expressions = [...asked, ...matcherExpressions(asked)]
    expect(expressions.length).toBeGreaterThan(150)
    let missing = expressions
    await vi.waitFor(
      async () => {
        const answers = await Promise.all(
          missing.map(async each => ({ each, has: await hasData(prometheus.address, each.expr) })),
        )
        missing = answers.filter(({ has }) => !has).map(({ each }) => each)
        expect(missing).toEqual([])
      },
      { timeout: 40_000, interval: 1000 },
    )

    // Every rule can be evaluated, and nothing fires while all is well.
    const { groups } = await ask<{ groups: { rules: { name: string; health: string; lastError?: string }[] }[] }>(
      'rules',
    )
    const rules = groups.flatMap(group => group.rules)
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
    expect(rules.length).toBe(readRuleFiles().flatMap(file => file.groups.flatMap(group => group.rules)).length)
    expect(webhook.notices).toEqual([])

    // A storm is told of to those who are to be told.
    load.storm(true)
    const stormBegin = performance.now()
    const storm = await told(webhook, 'AnomalyRatioHigh', 'firing', 2 * WINDOW_MS + 30_000 / FACTOR + SLACK_MS)
    const stormToldMs = performance.now() - stormBegin
    expect(storm).toMatchObject({ receiver: 'operators', labels: { severity: 'warning', namespace: 'tidemark' } })
    expect(storm.annotations.description).toMatch(/^\d[\d.]*% of the samples analysed in tidemark are anomalies/)
    const marks = readDashboards().flatMap(({ file, annotations }) =>
      annotations.list.flatMap(({ expr, name }) =>
        expr === undefined ? [] : [{ where: `${file}: ${name}`, expr: filledIn(expr, '10s') }],
      ),
    )
    expect(marks).toHaveLength(8)
    for (const { where, expr } of marks)
      expect([where, await hasData(prometheus.address, expr.replaceAll('[5m]', '[10s]'))]).toEqual([where, true])

    // It ends; meanwhile an analyzer is stopped.
    load.storm(false)
    const stormEnd = performance.now()
    await analyzers[1]?.child.stop()
    const down = await told(webhook, 'AnalyzerDown', 'firing', 150_000 / FACTOR + SLACK_MS)
    const downToldMs = performance.now() - stormEnd
    expect(down.labels.instance).toBe(targets.analyzer[1])
    expect(down.annotations.summary).toBe('An analyzer does not answer')
    await told(webhook, 'AnomalyRatioHigh', 'resolved', 2 * WINDOW_MS + SLACK_MS)
    const stormOverMs = performance.now() - stormEnd
    const names = new Set(webhook.notices.map(({ labels }) => labels.alertname))
    for (const quiet of ['AnalyzerGone', 'GatewayDown', 'SamplesLost', 'RedisDown', 'IngestErrors'])
      expect(names).not.toContain(quiet)

    const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
    process.stderr.write(
      `told of the storm after ${seconds(stormToldMs)}, of the stopped analyzer after ${seconds(downToldMs)}, of the storm's end ` +
        `after ${seconds(stormOverMs)}; ${expressions.length} expressions had data\n`,
    )
  })
})

type Labels = Readonly<Record<string, string>>

async function askPrometheus<T>(address: string, path: string): Promise<T> {
  const response = await fetch(`http://${address}/api/v1/${path}`)
  const { status, error, data } = (await response.json()) as { status: string; error?: string; data: T }
  if (status !== 'success') throw new Error(`Prometheus does not answer ${path}: ${error}`)
  return data
}

/** Whether the expression gives a number, not only series of NaN. */
async function hasData(address: string, expr: string): Promise<boolean> {
  const { result } = await askPrometheus<{ result: { value: [number, string] }[] }>(
    address,
    `query?${new URLSearchParams({ query: expr })}`,
  )
  return result.some(({ value: [, text] }) => text !== 'NaN')
}

/** Waits until the webhook was told so. */
function told(
  { notices }: { readonly notices: readonly Notice[] },
  alertname: string,
  status: Notice['status'],
  withinMs: number,
): Promise<Notice> {
  return vi.waitFor(
    () => {
      const notice = notices.find(({ labels, ...each }) => labels.alertname === alertname && each.status === status)
      if (notice === undefined) throw new Error(`nobody was told that ${alertname} is ${status}`)
      return notice
    },
    { timeout: withinMs, interval: 50 },
  )
}

function panelExpressions(): Expression[] {
  return readDashboards()
    .flatMap(dashboard =>
      panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
        targets.map(({ expr }) => ({
          where: `${dashboard.file}: ${title}`,
          expr: filledIn(expr, shortened('5m', FACTOR)),
        })),
      ),
    )
    .filter(isToHaveData)
}

/** What the rules ask for; once more with what is recorded written out, as Grafana's own alerts ask for it. */
function ruleExpressions(): Expression[] {
  const recorded = recordedExpressions()
  return readRuleFiles()
    .flatMap(({ groups }) => groups.flatMap(({ rules }) => rules))
    .flatMap(({ record, alert, expr }) =>
      [expr, inlined(expr, recorded)]
        .flatMap(questioned)
        .map(question => ({ where: record ?? alert ?? '', expr: compressed(question, FACTOR) })),
    )
    .filter(isToHaveData)
}

/** Each matcher by itself: what `or 0` makes up for when nothing is wrong must be there to be found when something is. */
function matcherExpressions(asked: readonly Expression[]): Expression[] {
  const found = asked.flatMap(({ where, expr }) =>
    selectorsOf(expr).flatMap(({ metric, matchers }) =>
      matchers
        // Nobody is answered 5xx here.
        .filter(({ label }) => label !== 'status')
        .map(({ label, operator, value }) => [`${metric}{${label}${operator}"${value}"}`, where] as const),
    ),
  )
  return [...new Map(found)].map(([expr, where]) => ({ where, expr }))
}

function isToHaveData({ expr }: Expression): boolean {
  return !selectorsOf(expr).some(({ metric }) => WITHOUT_DATA.some(({ pattern }) => pattern.test(metric)))
}
