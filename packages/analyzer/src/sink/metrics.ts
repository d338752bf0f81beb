import { createCounters, createGauges } from '@tidemark/shared/runtime/metric-tables'
import { Histogram, type Registry } from 'prom-client'

const COUNTERS = {
  points: [
    'analyzer_sink_points_total',
    'Points by what became of them: sent; refused, which is final; dropped, because the sink did not take them within SINK_RETRY_MAX_MS.',
    { result: ['sent', 'refused', 'dropped'] },
  ],
  requests: [
    'analyzer_sink_requests_total',
    'Requests to the sink by result: ok; refused by a status 4xx, not retried; failed, and retried.',
    { result: ['ok', 'refused', 'failed'] },
  ],
} as const

const GAUGES = {
  lagSeconds: [
    'analyzer_sink_lag_seconds',
    'How long the oldest point that is due in the owned partitions has waited for the sink; 0 if there is none.',
  ],
} as const

export function createSinkMetrics(registry: Registry) {
  return {
    ...createCounters(registry, COUNTERS),
    ...createGauges(registry, GAUGES),
    seconds: new Histogram({
      name: 'analyzer_sink_request_seconds',
      help: 'Response time of the sink.',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    }),
  }
}

export type SinkMetrics = ReturnType<typeof createSinkMetrics>
