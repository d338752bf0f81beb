import { Histogram, type HistogramConfiguration, type Registry } from 'prom-client'
import type { TraceContext } from '../sample/trace-context.ts'

/** A histogram without labels. Each bucket can have the newest trace in it as its exemplar. */
export class TracedHistogram extends Histogram {
  readonly #name: string
  readonly #buckets: readonly number[]
  /** By the bucket's line in the text format, up to its value. */
  readonly exemplars = new Map<string, string>()

  constructor(config: HistogramConfiguration<string> & { readonly buckets: number[] }) {
    super(config)
    this.#name = config.name
    this.#buckets = config.buckets
  }

  /** Sets the exemplar of the bucket of a value that was observed. */
  exemplify(value: number, { traceId, spanId }: TraceContext): void {
    const bucket = this.#buckets.find(bound => value <= bound) ?? '+Inf'
    const exemplar = ` # {trace_id="${traceId}",span_id="${spanId}"} ${value} ${Date.now() / 1000}`
    this.exemplars.set(`${this.#name}_bucket{le="${bucket}"}`, exemplar)
  }
}

const COUNTER_HEAD = /^(# HELP \S+)_total (.*\n# TYPE \S+)_total counter$/gm

/** Converts the plain text: prom-client's OpenMetrics renames a registry's counters for good. */
export async function renderOpenMetrics(registry: Registry): Promise<string> {
  const text = await registry.metrics()
  const exemplars = new Map(
    registry.getMetricsAsArray().flatMap(metric => (metric instanceof TracedHistogram ? [...metric.exemplars] : [])),
  )
  // A counter is declared without the suffix that its samples have.
  const lines = text.replace(COUNTER_HEAD, '$1 $2 counter').split('\n')
  const rendered = lines.filter(line => line !== '').map(line => `${line}${exemplarOf(line)}\n`)
  return `${rendered.join('')}# EOF\n`

  function exemplarOf(line: string): string {
    return exemplars.get(line.slice(0, line.lastIndexOf(' '))) ?? ''
  }
}
