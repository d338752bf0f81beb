import { createAnalyzerMetrics } from '@tidemark/analyzer/metrics'
import { createNotifyMetrics } from '@tidemark/analyzer/notify/metrics'
import { createCanaryMetrics } from '@tidemark/gateway/canary/metrics'
import { createMetrics } from '@tidemark/gateway/metrics'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'

/** Names that dashboards from before 0.1.0 query. */
const LEGACY = ['metrics_ingest_total', 'metrics_anomaly_total', 'http_request_duration_seconds']

const metrics = [
  ...namesIn('gateway', registry => createMetrics(registry)),
  ...namesIn('canary', registry => createCanaryMetrics(registry)),
  ...namesIn('analyzer', registry => {
    createAnalyzerMetrics(registry)
    createNotifyMetrics(registry)
  }),
]

test('each has its service as prefix, and a name that no other metric has', () => {
  expect(metrics.length).toBeGreaterThan(40)
  const foreign = metrics.filter(({ service, name }) => !name.startsWith(`${service}_`) && !LEGACY.includes(name))
  expect(foreign).toEqual([])
  expect(new Set(metrics.map(({ name }) => name)).size).toBe(metrics.length)
})

test('counters end in total, and what is measured in a unit ends in that base unit', () => {
  const wrong = metrics.filter(({ type, name }) => {
    if (/_(ms|milliseconds|us|minutes|kb|mb|kib|mib|percent)(_|$)/.test(name)) return true
    if (type === 'counter') return !name.endsWith('_total')
    if (type === 'histogram') return !/_(seconds|samples|bytes)$/.test(name)
    return name.endsWith('_total')
  })
  expect(wrong).toEqual([])
})

test('each says in a sentence what it measures', () => {
  expect(metrics.filter(({ help }) => !/^[A-Z].{8,}\.$/.test(help))).toEqual([])
})

function namesIn(service: string, register: (registry: Registry) => unknown) {
  const registry = new Registry()
  register(registry)
  return registry.getMetricsAsArray().flatMap(metric => {
    // prom-client's types hide the name, type and help of its metrics.
    const { name, help, type } = metric as unknown as { name: string; help: string; type: string }
    // prom-client's own metrics of the process have its names.
    return /^(process|nodejs)_/.test(name) ? [] : [{ service, name, help, type }]
  })
}
