import { ALERT_NAMES } from '@tidemark/analyzer/notify/alertmanager'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { knownMetrics } from './known-metrics.ts'
import { groupings, inlined, selectorsOf } from './promql.ts'
import { alertRules, readFolder, readRuleFiles, readText, recordedExpressions } from './rules.ts'

const files = readRuleFiles()
const alerts = alertRules(files)
const recorded = recordedExpressions(files)
const expressions = files.flatMap(({ groups }) => groups.flatMap(({ rules }) => rules.map(({ expr }) => expr)))

/** Labels that every scraped series has. */
const TARGET_LABELS = ['namespace', 'job', 'instance']

/** As prometheus.yml sets it. */
const NAMESPACE = 'tidemark'
const RUNBOOK = 'http://localhost:8080/#/runbook?entry='

describe('rules', () => {
  test('use only exported or recorded metrics, and only labels that these have', () => {
    const known = knownMetrics()
    for (const { metric, matchers } of expressions.flatMap(selectorsOf)) {
      const labels = known.get(metric)
      if (labels === undefined) {
        expect([metric, 'is recorded', recorded.has(metric)]).toEqual([metric, 'is recorded', true])
        continue
      }
      const unknown = matchers.filter(({ label }) => !labels.has(label) && !TARGET_LABELS.includes(label))
      expect([metric, unknown]).toEqual([metric, []])
    }
  })

  test('select the namespace of the deployment, and metrics of services by their job too', () => {
    const jobs: Readonly<Record<string, string>> = {
      gateway: 'gateway',
      analyzer: 'analyzer',
      canary: 'canary',
      redis: 'redis-exporter',
      probe: 'entry',
    }
    for (const { metric, matchers } of expressions.flatMap(selectorsOf)) {
      const of = (label: string) => matchers.find(matcher => matcher.label === label)
      expect([metric, of('namespace')]).toEqual([metric, { label: 'namespace', operator: '=', value: NAMESPACE }])
      const job = jobs[metric.split('_')[0] ?? '']
      if (job !== undefined && !metric.includes(':')) expect([metric, of('job')?.value]).toEqual([metric, job])
      else if (/^(up|process_)/.test(metric)) expect([metric, of('job')?.value]).toEqual([metric, expect.any(String)])
    }
  })

  test('keep the namespace, so that an alert reaches the team that owns it', () => {
    const lost = expressions.filter(expr => groupings(expr).some(labels => !labels.includes('namespace')))
    expect(lost).toEqual([])
  })

  test('the name of a recorded series lists the labels that are left', () => {
    for (const [name, expr] of recorded) {
      expect(name).toMatch(/^[a-z_]+:[a-z_]+:[a-z0-9_]+$/)
      const level = name.split(':')[0]?.split('_') ?? []
      for (const labels of groupings(expr)) {
        expect([name, labels.filter(label => label !== 'le').toSorted()]).toEqual([name, level.toSorted()])
      }
    }
  })

  test('every recorded series is used', () => {
    const used = new Set(expressions.flatMap(selectorsOf).map(({ metric }) => metric))
    const unused = [...recorded.keys()].filter(name => !used.has(name))
    // For ad hoc queries: rates, and what is used of the error budgets.
    expect(unused).toEqual([
      ...['namespace:gateway_requests:rate5m', 'namespace:analyzer_samples_analysed:rate5m'],
      ...['namespace:gateway_ingest_errors:ratio_rate30d', 'namespace:analyzer_slow_verdicts:ratio_rate30d'],
    ])
  })
})

describe('alerts', () => {
  test.each(alerts)('$alert ($labels.severity) has a severity, a summary, a description and a runbook link', alert => {
    expect(alert.labels?.severity).toMatch(/^(none|info|warning|critical|\{\{ \$labels\.severity \}\})$/)
    expect(alert.annotations?.summary).toMatch(/^[A-Z][^{}]{5,60}$/)
    expect(alert.annotations?.description).toMatch(/^.{20,}\.$/)
    expect(alert.annotations?.description).toContain('{{ $labels.namespace }}')
    expect(alert.annotations?.runbook_url).toBe(`${RUNBOOK}${alert.alert.toLowerCase()}`)
  })

  test('the runbook has an entry for each alert, with meaning, first look and remedy, and no others', () => {
    const [about = ''] = readText('docs/runbook.md').split('\n## Signs without an alert\n')
    const entries = about
      .split(/\n### /)
      .slice(1)
      .map(text => ({ title: text.split('\n')[0], text }))
    expect(entries.map(({ title }) => title).toSorted()).toEqual(
      [...new Set([...alerts.map(({ alert }) => alert), ...Object.values(ALERT_NAMES)])].toSorted(),
    )
    for (const { text } of entries) {
      for (const part of ['\nMeaning: ', '\nFirst look: ', '\nRemedy: ']) expect(text).toContain(part)
    }
    const pages = alerts.filter(({ labels }) => labels?.severity === 'critical').map(({ alert }) => alert)
    for (const { title = '', text } of entries.filter(({ title = '' }) => pages.includes(title))) {
      for (const part of ['\nImpact: ', '\nEscalate: '])
        expect([title, text]).toEqual([title, expect.stringContaining(part)])
      expect([title, text]).toEqual([
        title,
        expect.stringMatching(/^ {4}(k|kubectl|logs|redis|api|curl|metrics|openssl) /m),
      ])
    }
  })

  test('links within the runbook have a target', () => {
    const text = readText('docs/runbook.md')
    const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(' ', '-'))
    const links = [...text.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor)
    expect(links.filter(link => link === undefined || !anchors.includes(link))).toEqual([])
  })

  /** The expectations of promtool's tests, by alert. */
  const expectations = readFolder('prometheus/tests').flatMap(({ text }) =>
    (parse(text) as PromtoolTests).tests.flatMap(({ promql_expr_test = [] }) =>
      promql_expr_test.map(({ expr, exp_samples = [] }) => ({
        alert: /alertname="(\w+)"/.exec(expr)?.[1],
        expected: exp_samples.map(({ labels }) => labels),
      })),
    ),
  )

  test.each(alerts)('$alert ($labels.severity) has promtool tests that fire and that do not', ({ alert, labels }) => {
    const own = expectations.filter(one => one.alert === alert)
    expect(own.some(({ expected }) => expected.length === 0)).toBe(true)
    const severity = labels?.severity?.startsWith('{{') === true ? '' : `severity="${labels?.severity}"`
    const firing = own.flatMap(({ expected }) => expected).filter(text => text.includes(severity))
    expect(firing.length).toBeGreaterThan(0)
    for (const text of firing) expect(text).toMatch(/namespace="\w+"/)
  })
})

interface PromtoolTests {
  readonly tests: readonly {
    readonly promql_expr_test?: readonly {
      readonly expr: string
      readonly exp_samples?: readonly { readonly labels: string }[]
    }[]
  }[]
}

describe('Alertmanager', () => {
  test('inhibits alerts that exist', () => {
    const named = [...readText('alertmanager/alertmanager.yml').matchAll(/alertname=~?"([^"]+)"/g)].flatMap(
      ([, names = '']) => names.split('|'),
    )
    expect(named.length).toBeGreaterThan(0)
    const known = new Set<unknown>([...alerts.map(({ alert }) => alert), ...Object.values(ALERT_NAMES)])
    expect(named.filter(name => name !== 'Tidemark.+' && !known.has(name))).toEqual([])
  })
})

describe("Grafana's own alerts", () => {
  const { groups } = parse(readText('grafana/alerting/tidemark.yaml')) as GrafanaAlerting
  const rules = groups.flatMap(group => group.rules)

  test('are those of Prometheus, with recorded expressions inlined', () => {
    const expected = alerts.map(({ alert, expr, labels, annotations, ...rule }) => {
      const severity = labels?.severity ?? ''
      const isOneOfTwo = alerts.filter(other => other.alert === alert).length > 1
      return {
        title: isOneOfTwo ? `${alert} (${severity})` : alert,
        expr: inlined(expr, recorded),
        for: rule.for ?? '0s',
        // In labels, unlike in annotations, $ starts an environment variable.
        labels: { ...labels, severity: severity.replace('$', '$$$$') },
        annotations: Object.fromEntries(
          Object.entries(annotations ?? {}).map(([name, text]) => [name, text.replaceAll('$value', '$values.A.Value')]),
        ),
      }
    })
    const found = rules.map(({ title, data, for: duration, labels, annotations }) => {
      const expr = data.find(({ refId }) => refId === 'A')?.model.expr
      return { title, expr, for: duration, labels, annotations }
    })
    expect(found).toEqual(expected)
  })

  test('each has a unique id and fires when its query returns a value', () => {
    expect(new Set(rules.map(({ uid }) => uid)).size).toBe(rules.length)
    for (const { uid, condition, data, noDataState } of rules) {
      expect(uid).toMatch(/^[a-z0-9-]{1,40}$/)
      expect({ condition, noDataState }).toEqual({ condition: 'B', noDataState: 'OK' })
      expect(data.map(({ datasourceUid }) => datasourceUid)).toEqual(['prometheus', '__expr__'])
      expect(data[1]?.model).toEqual({ refId: 'B', type: 'math', expression: 'is_number($A)' })
    }
  })
})

interface GrafanaAlerting {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly uid: string
      readonly title: string
      readonly condition: string
      readonly noDataState: string
      readonly for: string
      readonly data: readonly {
        readonly refId: string
        readonly datasourceUid: string
        readonly model: { readonly expr?: string }
      }[]
      readonly labels: unknown
      readonly annotations: unknown
    }[]
  }[]
}
