import {
  Histogram,
  type HistogramConfiguration,
  type OpenMetricsContentType,
  openMetricsContentType,
  Registry,
} from 'prom-client'
import type { TraceContext } from '../sample/trace-context.ts'

export const OPEN_METRICS_TYPE = openMetricsContentType

/**
 * The metrics of `registry` as OpenMetrics. prom-client decides on the format when a registry is made, and while it writes this
 * one it takes `_total` off the counters' names for good. So it gets views of the metrics, which share their values and not
 * their names.
 */
export function renderOpenMetrics(registry: Registry): Promise<string> {
  const views = new Registry<OpenMetricsContentType>()
  views.setContentType(OPEN_METRICS_TYPE)
  for (const metric of registry.getMetricsAsArray()) views.registerMetric(Object.create(metric))
  return views.metrics()
}

/** Methods that prom-client has and does not declare. */
interface WithExemplars {
  observeWithoutExemplar: Histogram['observe']
  updateExemplar(labels: object, value: number, exemplar: Readonly<Record<string, string>>): void
}

export interface TracedHistogram extends Histogram {
  /** Hangs a trace on the bucket of a value that was observed: the newest one is shown. */
  exemplify(value: number, trace: TraceContext): void
}

/**
 * A histogram without labels that takes exemplars besides. With them prom-client's `observe` wants an object each time, and most
 * values have none: so that one takes numbers as ever. And prom-client takes such a histogram into a registry for OpenMetrics
 * only, unless it is registered afterwards.
 */
export function createTracedHistogram(registry: Registry, config: HistogramConfiguration<string>): TracedHistogram {
  const histogram = new Histogram({ ...config, registers: [], enableExemplars: true }) as Histogram & WithExemplars
  registry.registerMetric(histogram)
  return Object.assign(histogram, {
    observe: histogram.observeWithoutExemplar,
    exemplify(value: number, { traceId, spanId }: TraceContext): void {
      histogram.updateExemplar({}, value, { trace_id: traceId, span_id: spanId })
    },
  })
}
