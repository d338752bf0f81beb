import { Counter, Gauge, type Metric, type Registry } from 'prom-client'
import type { Clock } from './clock.ts'

/** How old a measured value may be, and how long a scrape waits for a new one. */
const MEASURED_MS = 1000

/** The values of each label; none for a label whose values are not known beforehand. */
type Labels = Readonly<Record<string, readonly string[]>>

/** Names, HELP texts and labels of metrics. */
export type MetricTable = Readonly<Record<string, readonly [name: string, help: string, labels?: Labels]>>

type LabelsOf<Row> = Row extends readonly [string, string, infer L] ? keyof L & string : never

/** Creates the counters of a table. Known series start at 0: an absent one cannot rise. */
export function createCounters<const T extends MetricTable>(registry: Registry, table: T) {
  const counters = Object.entries(table).map(([key, [name, help, labels = {}]]) => {
    const counter = new Counter({ name, help, labelNames: Object.keys(labels), registers: [registry] })
    for (const combination of combinationsOf(labels)) counter.inc(combination, 0)
    return [key, counter]
  })
  return Object.fromEntries(counters) as { readonly [K in keyof T]: Counter<LabelsOf<T[K]>> }
}

/** Creates the gauges of a table. */
export function createGauges<const T extends MetricTable>(registry: Registry, table: T) {
  const gauges = Object.entries(table).map(([key, [name, help, labels = {}]]) => [
    key,
    new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] }),
  ])
  return Object.fromEntries(gauges) as { readonly [K in keyof T]: Gauge<LabelsOf<T[K]>> }
}

/**
 * Measures metrics when they are read, not all the time: once a second at most, for all of them.
 * `measure` must not reject. If it takes longer, the values that were measured before are read.
 */
export function measureWhenRead(
  metrics: readonly Metric<string>[],
  clock: Pick<Clock, 'monotonicMs' | 'pause'>,
  measure: () => Promise<void>,
): void {
  let measuredAt = Number.NEGATIVE_INFINITY
  let running: Promise<void> | undefined
  async function collect(): Promise<void> {
    if (running === undefined && clock.monotonicMs() - measuredAt < MEASURED_MS) return
    running ??= measure().finally(() => {
      measuredAt = clock.monotonicMs()
      running = undefined
    })
    const measured = new AbortController()
    await Promise.race([running, clock.pause(MEASURED_MS, measured.signal)])
    measured.abort()
  }
  for (const metric of metrics) Object.assign(metric, { collect })
}

function combinationsOf(labels: Labels): Record<string, string>[] {
  return Object.entries(labels).reduce<Record<string, string>[]>(
    (combinations, [label, values]) => combinations.flatMap(one => values.map(value => ({ ...one, [label]: value }))),
    [{}],
  )
}
