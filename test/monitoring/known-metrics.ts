import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import { createAnalyzerMetrics } from '../../packages/analyzer/src/metrics.ts'
import { createMetrics } from '../../packages/gateway/src/metrics.ts'

/** A metric's own labels, by the name that PromQL knows it under. */
export type KnownMetrics = ReadonlyMap<string, ReadonlySet<string>>

/**
 * DECLARED BY THE ALERT LAYER and not in a registry yet: rules and panels are there already. A name that a service has must
 * go from this list (a test says so), and when the list is empty, the list.
 */
export const DECLARED_BY_ALERT_LAYER: Readonly<Record<string, readonly string[]>> = {
  analyzer_alerts_firing: [],
  analyzer_alerts_opened_total: ['kind', 'severity'],
  analyzer_alerts_resolved_total: ['reason'],
  analyzer_alerts_suppressed_total: ['by'],
  analyzer_notification_seconds_bucket: ['le'],
  analyzer_notification_seconds_count: [],
  analyzer_notification_seconds_sum: [],
  analyzer_notifications_total: ['receiver', 'result'],
  analyzer_outbox_entries: [],
  analyzer_rule_samples_expected_total: ['rule'],
  analyzer_rule_samples_flagged_total: ['rule'],
  analyzer_rule_samples_judged_total: ['rule'],
  analyzer_rules_unreadable_total: [],
  analyzer_rules_version: [],
  analyzer_samples_duplicate_total: [],
  analyzer_samples_late_total: [],
  analyzer_samples_refused_total: ['reason'],
  analyzer_storms_total: [],
}

/**
 * What is used of redis_exporter's metrics (github.com/oliver006/redis_exporter; the end-to-end test meets them for real),
 * of kube-state-metrics' (its docs/metrics/workload/horizontalpodautoscaler-metrics.md), and of Prometheus' own.
 */
const OF_OTHERS: Readonly<Record<string, readonly string[]>> = {
  up: [],
  redis_aof_current_size_bytes: [],
  redis_aof_last_bgrewrite_status: [],
  redis_aof_last_write_status: [],
  redis_blocked_clients: [],
  redis_commands_duration_seconds_total: ['cmd'],
  redis_commands_total: ['cmd'],
  redis_connected_clients: [],
  redis_cpu_sys_seconds_total: [],
  redis_cpu_user_seconds_total: [],
  redis_db_keys: ['db'],
  redis_evicted_keys_total: [],
  redis_mem_fragmentation_ratio: [],
  redis_memory_max_bytes: [],
  redis_memory_used_bytes: [],
  redis_memory_used_rss_bytes: [],
  redis_net_input_bytes_total: [],
  redis_net_output_bytes_total: [],
  redis_rejected_connections_total: [],
  redis_start_time_seconds: [],
  redis_stream_group_messages_pending: ['db', 'group', 'stream'],
  redis_stream_length: ['db', 'stream'],
  redis_up: [],
  redis_uptime_in_seconds: [],
  kube_horizontalpodautoscaler_status_current_replicas: ['horizontalpodautoscaler'],
  kube_horizontalpodautoscaler_spec_max_replicas: ['horizontalpodautoscaler'],
}

/** What the services export, from the registries that they are built with. */
export function serviceMetrics(): KnownMetrics {
  const gateway = new Registry()
  createMetrics(gateway).watchQueue(() => 0)
  const analyzer = new Registry()
  createAnalyzerMetrics(analyzer)
  collectDefaultMetrics({ register: analyzer })
  return new Map([gateway, analyzer].flatMap(seriesOf))
}

/** All that dashboards and rules may ask for, but for what Prometheus records. */
export function knownMetrics(): KnownMetrics {
  const declared = Object.entries({ ...DECLARED_BY_ALERT_LAYER, ...OF_OTHERS })
  return new Map([...serviceMetrics(), ...declared.map(([name, labels]) => [name, new Set(labels)] as const)])
}

function seriesOf(registry: Registry): (readonly [string, ReadonlySet<string>])[] {
  return registry.getMetricsAsArray().flatMap(metric => {
    // prom-client's types hide what its metrics were made of.
    const { name, labelNames = [] } = metric as unknown as { name: string; labelNames?: readonly string[] }
    if (!(metric instanceof Histogram)) return [[name, new Set(labelNames)] as const]
    return ['_bucket', '_sum', '_count'].map(
      ending => [`${name}${ending}`, new Set([...labelNames, ...(ending === '_bucket' ? ['le'] : [])])] as const,
    )
  })
}
