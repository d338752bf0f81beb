import { createAnalyzerMetrics } from '@tidemark/analyzer/metrics'
import { createNotifyMetrics } from '@tidemark/analyzer/notify/metrics'
import { createSinkMetrics } from '@tidemark/analyzer/sink/metrics'
import { createCanaryMetrics } from '@tidemark/gateway/canary/metrics'
import { createMetrics } from '@tidemark/gateway/metrics'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'

/** The labels of metrics, by their name in PromQL. */
export type KnownMetrics = ReadonlyMap<string, ReadonlySet<string>>

/**
 * The metrics in use of redis_exporter (github.com/oliver006/redis_exporter; the end-to-end test
 * scrapes it), kube-state-metrics (docs/metrics/workload/horizontalpodautoscaler-metrics.md and
 * pod-metrics.md), blackbox_exporter (github.com/prometheus/blackbox_exporter) and Prometheus
 * itself.
 */
const OF_OTHERS: Readonly<Record<string, readonly string[]>> = {
  up: [],
  ALERTS: ['alertname', 'alertstate', 'severity'],
  redis_aof_base_size_bytes: [],
  redis_aof_current_size_bytes: [],
  redis_aof_last_bgrewrite_status: [],
  redis_aof_last_write_status: [],
  redis_aof_rewrite_in_progress: [],
  redis_blocked_clients: [],
  redis_commands_duration_seconds_total: ['cmd'],
  redis_commands_total: ['cmd'],
  redis_connected_clients: [],
  redis_connected_slave_lag_seconds: ['slave_ip'],
  redis_connected_slaves: [],
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
  redis_rdb_bgsave_in_progress: [],
  redis_rejected_connections_total: [],
  redis_start_time_seconds: [],
  redis_stream_group_messages_pending: ['db', 'group', 'stream'],
  redis_up: [],
  redis_uptime_in_seconds: [],
  kube_horizontalpodautoscaler_status_current_replicas: ['horizontalpodautoscaler'],
  kube_horizontalpodautoscaler_status_desired_replicas: ['horizontalpodautoscaler'],
  kube_horizontalpodautoscaler_spec_max_replicas: ['horizontalpodautoscaler'],
  kube_pod_container_status_restarts_total: ['pod', 'container'],
  kube_pod_container_status_waiting_reason: ['pod', 'container', 'reason'],
  probe_success: [],
  probe_ssl_earliest_cert_expiry: [],
}

/** Returns what the services export, from their registries. */
export function serviceMetrics(): KnownMetrics {
  const gateway = new Registry()
  const metrics = createMetrics(gateway)
  metrics.watchQueue(() => 0)
  metrics.watchKeys(1, () => 0)
  metrics.watchFeeds({ open: 0, unsent: 0 })
  const analyzer = new Registry()
  createAnalyzerMetrics(analyzer)
  createNotifyMetrics(analyzer)
  createSinkMetrics(analyzer)
  collectDefaultMetrics({ register: analyzer })
  const canary = new Registry()
  createCanaryMetrics(canary)
  return new Map([gateway, analyzer, canary].flatMap(seriesOf))
}

/** Returns all metrics that dashboards and rules may use, except recorded ones. */
export function knownMetrics(): KnownMetrics {
  return new Map([
    ...serviceMetrics(),
    ...Object.entries(OF_OTHERS).map(([name, labels]) => [name, new Set(labels)] as const),
  ])
}

function seriesOf(registry: Registry): (readonly [string, ReadonlySet<string>])[] {
  return registry.getMetricsAsArray().flatMap(metric => {
    // prom-client's types do not include the label names.
    const { name, labelNames = [] } = metric as unknown as { name: string; labelNames?: readonly string[] }
    if (!(metric instanceof Histogram)) return [[name, new Set(labelNames)] as const]
    return ['_bucket', '_sum', '_count'].map(
      ending => [`${name}${ending}`, new Set([...labelNames, ...(ending === '_bucket' ? ['le'] : [])])] as const,
    )
  })
}
