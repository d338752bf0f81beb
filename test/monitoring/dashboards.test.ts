import { POINT_METRICS } from '@tidemark/analyzer/sink/point'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type Dashboard, filledIn, panelsOf, readDashboards } from './dashboards.ts'
import { type KnownMetrics, knownMetrics } from './known-metrics.ts'
import { selectorsOf } from './promql.ts'
import { readText, recordedExpressions } from './rules.ts'

const all = readDashboards()

/** Of what the sink writes: its data source has no metrics of the services. */
const OF_KEYS = 'keys.json'
const dashboards = all.filter(({ file }) => file !== OF_KEYS)
const known: KnownMetrics = new Map([
  ...knownMetrics(),
  ...[...recordedExpressions().keys()].map(name => [name, new Set<string>()] as const),
])

// biome-ignore lint/suspicious/noTemplateCurlyInString: this is Grafana's syntax for a variable.
const SOURCE = { type: 'prometheus', uid: '${datasource}' }
const FUNCTIONS_OF_RANGES = /\b(i?rate|increase|delta|deriv|changes)\(/

/** The units in use, as Grafana names them (grafana-data, valueFormats/categories.ts). */
const UNITS = ['short', 'percentunit', 's', 'bytes', 'Bps', 'reqps', 'ops', 'cps']

/** Whether a panel shows a metric of all processes, or of none: the selected ones do not matter. */
function isOfAllTiers(where: string, metric: string): boolean {
  if (/^(kube_|ALERTS$|namespace:)/.test(metric)) return true
  if (where.startsWith('operations.json')) return /^(gateway|analyzer|canary)_/.test(metric)
  return where.startsWith('redis.json') && metric === 'analyzer_partition_backlog_samples'
}

const panelsIn = (some: readonly Dashboard[]) =>
  some.flatMap(dashboard => panelsOf(dashboard).map(panel => ({ where: `${dashboard.file}: ${panel.title}`, panel })))
const panels = panelsIn(dashboards)
const targets = panels.flatMap(({ where, panel }) => (panel.targets ?? []).map(target => ({ where, target })))

test('the dashboards are Overview, Operations, Gateway, Analyzer and Redis, with links to each other', () => {
  expect(dashboards.map(({ uid, title, tags }) => ({ uid, title, tags }))).toEqual([
    { uid: 'tidemark-analyzer', title: 'Tidemark / Analyzer', tags: ['tidemark'] },
    { uid: 'tidemark-gateway', title: 'Tidemark / Gateway', tags: ['tidemark'] },
    { uid: 'tidemark-operations', title: 'Tidemark / Operations', tags: ['tidemark'] },
    { uid: 'tidemark-overview', title: 'Tidemark / Overview', tags: ['tidemark'] },
    { uid: 'tidemark-redis', title: 'Tidemark / Redis', tags: ['tidemark'] },
  ])
})

test('the overview fits one screen and starts with requests, latency and anomalies', () => {
  const [overview] = dashboards.filter(({ file }) => file === 'overview.json')
  const panels = overview === undefined ? [] : panelsOf(overview)
  expect(panels.slice(0, 3).map(({ title }) => title)).toEqual(['Requests', 'Ingest p95', 'Anomalies'])
  expect(Math.max(...panels.map(({ gridPos: { y, h } }) => y + h))).toBeLessThanOrEqual(25)
})

describe.each(dashboards)('$file', (dashboard: Dashboard) => {
  test('has variables for data source, namespace, job and instance', () => {
    const variables = dashboard.templating.list
    expect(variables.map(({ name }) => name)).toEqual(['datasource', 'namespace', 'job', 'instance'])
    expect(variables[0]).toMatchObject({ type: 'datasource', query: 'prometheus' })
    for (const { type, datasource, query } of variables.slice(1)) {
      expect({ type, datasource }).toEqual({ type: 'query', datasource: SOURCE })
      expect(typeof query === 'string' ? query : query.query).toMatch(/^label_values\(.+, (namespace|job|instance)\)$/)
    }
  })

  test('its variables use existing metrics', () => {
    for (const { query } of dashboard.templating.list.slice(1)) {
      const text = typeof query === 'string' ? query : query.query
      const [, selector = ''] = /^label_values\((.+), \w+\)$/.exec(text) ?? []
      for (const { metric, matchers } of selectorsOf(filledIn(selector, '5m'))) {
        const names = metric === '' ? matchers.find(({ label }) => label === '__name__')?.value.split('|') : [metric]
        expect([text, names?.filter(name => !known.has(name))]).toEqual([text, []])
      }
    }
  })

  test('marks unusually many anomalies and process starts', () => {
    const own = dashboard.annotations.list.filter(({ builtIn }) => builtIn !== 1)
    expect(own.map(({ name }) => name)).toEqual(['Anomalies', 'Starts'])
    for (const { datasource, expr = '' } of own) {
      expect(datasource).toEqual(SOURCE)
      const metrics = selectorsOf(filledIn(expr, '5m'))
      expect(metrics.length).toBeGreaterThan(0)
      for (const { metric, matchers } of metrics) {
        expect([metric, known.has(metric)]).toEqual([metric, true])
        expect(matchers).toContainEqual({ label: 'namespace', operator: '=~', value: '.*' })
      }
    }
  })

  test('its panels have unique ids and do not overlap', () => {
    const own = dashboard.panels
    expect(new Set(own.map(({ id }) => id)).size).toBe(own.length)
    const cells = own.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(Math.max(...own.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24)
  })
})

test.each(panelsIn(all))('$where has a title, a description, a unit and the selected data source', ({ panel }) => {
  expect(panel.title).toMatch(/^[A-Z]/)
  expect(panel.description).toMatch(/^.{15,}\.$/)
  expect(UNITS).toContain(panel.fieldConfig?.defaults.unit)
  expect(panel.datasource).toEqual(SOURCE)
  expect(panel.targets?.length).toBeGreaterThan(0)
  const refs = panel.targets?.map(({ refId }) => refId) ?? []
  expect(new Set(refs).size).toBe(refs.length)
})

test.each(targets)(
  '$where, $target.refId is PromQL with the selected labels and existing metrics',
  ({ where, target }) => {
    expect(target.datasource).toEqual(SOURCE)
    expect(target.legendFormat).toMatch(/./)
    // Any other range shows gaps or hides peaks: Grafana sets a multiple of the scrape interval.
    const ranges = [...target.expr.matchAll(/\[([^\]]*)\]/g)].map(([, range]) => range)
    expect(ranges.filter(range => range !== '$__rate_interval')).toEqual([])
    expect(ranges.length > 0).toBe(FUNCTIONS_OF_RANGES.test(target.expr))
    const selectors = selectorsOf(filledIn(target.expr, '5m'))
    for (const label of ['namespace', 'job', 'instance']) {
      const inMatchers = target.expr.split(`${label}=~"$${label}"`).length - 1
      const isOwn = ({ metric }: { metric: string }): boolean => label === 'namespace' || !isOfAllTiers(where, metric)
      expect([label, inMatchers]).toEqual([label, selectors.filter(isOwn).length])
    }
    for (const { metric, matchers } of selectorsOf(filledIn(target.expr, '5m'))) {
      const labels = known.get(metric)
      expect([metric, labels !== undefined]).toEqual([metric, true])
      const own = matchers.filter(({ label }) => !['namespace', 'job', 'instance'].includes(label))
      expect(own.filter(({ label }) => labels?.has(label) !== true)).toEqual([])
    }
  },
)

test('every metric of the services is on a dashboard, with listed exceptions', () => {
  const shown = new Set(
    targets.flatMap(({ target }) => selectorsOf(filledIn(target.expr, '5m')).map(({ metric }) => metric)),
  )
  const base = (name: string): string => name.replace(/_(bucket|sum|count)$/, '')
  const shownBases = new Set([...shown].map(base))
  const own = [...known.keys()].filter(name => /^(gateway|analyzer|notifier|metrics)_/.test(name)).map(base)
  // Former names of accepted samples and anomalies, kept for existing dashboards.
  expect([...new Set(own)].filter(name => !shownBases.has(name))).toEqual([
    'metrics_ingest_total',
    'metrics_anomaly_total',
  ])
})

describe('the dashboard of keys', () => {
  const [dashboard] = all.filter(({ file }) => file === OF_KEYS)
  if (dashboard === undefined) throw new Error(`${OF_KEYS} is missing`)
  const expressions = panelsIn([dashboard]).flatMap(({ panel }) => panel.targets ?? [])

  test('has links to the others, and a variable for one key of those that the sink writes', () => {
    expect([dashboard.uid, dashboard.title, dashboard.tags]).toEqual(['tidemark-keys', 'Tidemark / Keys', ['tidemark']])
    const { list } = dashboard.templating
    expect(list.map(({ name, query }) => [name, typeof query === 'string' ? query : query.query])).toEqual([
      ['datasource', 'prometheus'],
      ['key', 'label_values(y, key)'],
    ])
  })

  test('shows every metric of a key, and anomalies by their score', () => {
    const used = new Set<string>()
    for (const { expr, datasource, legendFormat } of expressions) {
      expect([datasource, legendFormat]).toEqual([SOURCE, expect.stringMatching(/./)])
      const isOfOneKey = !expr.startsWith('topk')
      for (const { metric, matchers } of selectorsOf(expr)) {
        used.add(metric)
        expect(matchers.filter(({ label }) => label === 'key')).toHaveLength(isOfOneKey ? 1 : 0)
      }
    }
    expect([...used].toSorted()).toEqual(POINT_METRICS.toSorted())
    expect(expressions.map(({ expr }) => expr)).toContain('y{key="$key"} and anomaly_score{key="$key"} > 1')
  })
})

describe('provisioning', () => {
  test('Grafana finds the dashboards and the data source of the alerts where compose.yaml mounts them', () => {
    const { providers } = parse(readText('grafana/provisioning/dashboards/tidemark.yaml'))
    expect(providers[0].options.path).toBe('/etc/grafana/dashboards')
    const { datasources } = parse(readText('grafana/provisioning/datasources/tidemark.yaml'))
    expect(datasources.map(({ uid, type }: { uid: string; type: string }) => [uid, type])).toEqual([
      ['prometheus', 'prometheus'],
      ['alertmanager', 'alertmanager'],
    ])
    const { global } = parse(readText('prometheus/prometheus.yml'))
    expect(datasources[0].jsonData.timeInterval).toBe(global.scrape_interval)
  })

  test('the sidecar gets all dashboards', () => {
    const [{ files, options }] = parse(readText('grafana/kustomization.yaml')).configMapGenerator
    expect(files.toSorted()).toEqual(all.map(({ file }) => `dashboards/${file}`).toSorted())
    expect(options.labels).toEqual({ grafana_dashboard: '1' })
  })
})
