import { filledIn, panelsOf, readDashboards } from './dashboards.ts'
import { compressed, inlined, selectorsOf, shortened, withBoolComparisons } from './promql.ts'
import { readRuleFiles, recordedExpressions } from './rules.ts'

/** A query to Prometheus. */
export interface Query {
  /** The panel or rule that sends it. */
  readonly where: string
  readonly expr: string
}

/** Metrics without data outside of Kubernetes, or without the feature. */
const WITHOUT_DATA: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  { pattern: /^kube_/, reason: 'no Kubernetes' },
  { pattern: /^probe_/, reason: 'no blackbox exporter' },
  { pattern: /^redis_connected_slave_lag_/, reason: 'no replicas' },
  { pattern: /^analyzer_(notification|outbox)/, reason: 'no receivers of notifications' },
  { pattern: /^analyzer_(rule|samples_ignored)_/, reason: 'no rules' },
  { pattern: /^gateway_tls_certificate_expiry_/, reason: 'no TLS' },
  { pattern: /^(analyzer_sink_.*|y|yhat.*|anomaly_score)$/, reason: 'no sink: sink.test.ts has one' },
]

/** Returns all queries of dashboards and rules that must have data, in compressed time. */
export function allQueries(factor: number): Query[] {
  const queries = [...panelQueries(factor), ...ruleQueries(factor)]
  return [...queries, ...matcherQueries(queries)]
}

/** Returns the queries of the graphs' annotations, in compressed time. */
export function annotationQueries(factor: number): Query[] {
  return readDashboards().flatMap(({ file, annotations }) =>
    annotations.list.flatMap(({ name, expr }) =>
      expr === undefined ? [] : [{ where: `${file}: ${name}`, expr: compressed(filledIn(expr, '5m'), factor) }],
    ),
  )
}

function panelQueries(factor: number): Query[] {
  return readDashboards()
    .flatMap(dashboard =>
      panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
        targets.map(({ expr }) => ({
          where: `${dashboard.file}: ${title}`,
          expr: filledIn(expr, shortened('5m', factor)),
        })),
      ),
    )
    .filter(mustHaveData)
}

/** Returns the expressions of rules as they are and with recorded ones inlined, as in Grafana. */
function ruleQueries(factor: number): Query[] {
  const recorded = recordedExpressions()
  return readRuleFiles()
    .flatMap(({ groups }) => groups.flatMap(({ rules }) => rules))
    .flatMap(({ record, alert, expr }) =>
      [expr, inlined(expr, recorded)]
        .flatMap(withBoolComparisons)
        .map(query => ({ where: record ?? alert ?? '', expr: compressed(query, factor) })),
    )
    .filter(mustHaveData)
}

/** Returns one query per matcher. A metric behind `or 0` must exist even if nothing is wrong. */
function matcherQueries(queries: readonly Query[]): Query[] {
  const found = queries.flatMap(({ where, expr }) =>
    selectorsOf(expr).flatMap(({ metric, matchers }) =>
      matchers
        // No request of the test gets 5xx.
        .filter(({ label }) => label !== 'status')
        .map(({ label, operator, value }) => [`${metric}{${label}${operator}"${value}"}`, where] as const),
    ),
  )
  return [...new Map(found)].map(([expr, where]) => ({ where, expr }))
}

/** A recorded name has data if its expression does. */
function mustHaveData({ expr }: Query): boolean {
  return !selectorsOf(inlined(expr, recordedExpressions())).some(({ metric }) =>
    WITHOUT_DATA.some(({ pattern }) => pattern.test(metric)),
  )
}
