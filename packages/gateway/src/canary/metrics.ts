import { exportBuildInfo } from '@tidemark/shared/runtime/build-info'
import { createCounters, createGauges } from '@tidemark/shared/runtime/metric-tables'
import { collectProcessMetrics } from '@tidemark/shared/runtime/process-metrics'
import { Histogram, type Registry } from 'prom-client'

/** What became of a sample of the canary. */
const PROBE_RESULTS = ['ok', 'unreachable', 'refused', 'no_verdict'] as const
export type ProbeResult = (typeof PROBE_RESULTS)[number]

const COUNTERS = {
  probes: [
    'canary_probes_total',
    'Samples sent: ok (verdict read), unreachable (no response), refused (not stored), no_verdict (stored, but no verdict on it).',
    { result: PROBE_RESULTS },
  ],
} as const

const GAUGES = {
  lastSuccess: [
    'canary_last_success_timestamp_seconds',
    'When the last sample was sent that got its verdict, as Unix time; when the canary started, before the first.',
  ],
  certificateExpiry: [
    'canary_certificate_expiry_timestamp_seconds',
    'When the TLS certificate of the way in expires, as Unix time; 0 without TLS and while it is not known.',
  ],
} as const

export type CanaryMetrics = ReturnType<typeof createCanaryMetrics>

export function createCanaryMetrics(registry: Registry) {
  collectProcessMetrics(registry)
  exportBuildInfo(registry, 'canary')
  return {
    ...createCounters(registry, COUNTERS),
    ...createGauges(registry, GAUGES),
    seconds: new Histogram({
      name: 'canary_probe_seconds',
      help: 'Time from a sample to its verdict, as a client sees it.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    }),
  }
}
