import { Counter, Gauge, type Registry } from 'prom-client'

export interface MetricDefinition {
  readonly name: string
  readonly help: string
  /** The values of each label; none for a label whose values are not known beforehand. */
  readonly labels?: Readonly<Record<string, readonly string[]>>
}

type LabelsOf<D> = D extends { readonly labels: infer L } ? keyof L & string : never

/** Creates the counters of a table. Known series start at 0: an absent one cannot rise. */
export function createCounters<const T extends Readonly<Record<string, MetricDefinition>>>(
  registry: Registry,
  table: T,
): { readonly [K in keyof T]: Counter<LabelsOf<T[K]>> } {
  return mapTable(table, ({ name, help, labels = {} }) => {
    const counter = new Counter({ name, help, labelNames: Object.keys(labels), registers: [registry] })
    for (const combination of combinationsOf(labels)) counter.inc(combination, 0)
    return counter
  }) as { readonly [K in keyof T]: Counter<LabelsOf<T[K]>> }
}

/** Creates the gauges of a table. */
export function createGauges<const T extends Readonly<Record<string, MetricDefinition>>>(
  registry: Registry,
  table: T,
): { readonly [K in keyof T]: Gauge<LabelsOf<T[K]>> } {
  return mapTable(
    table,
    ({ name, help, labels = {} }) => new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] }),
  ) as { readonly [K in keyof T]: Gauge<LabelsOf<T[K]>> }
}

function mapTable<M>(
  table: Readonly<Record<string, MetricDefinition>>,
  create: (definition: MetricDefinition) => M,
): Record<string, M> {
  return Object.fromEntries(Object.entries(table).map(([key, definition]) => [key, create(definition)]))
}

function combinationsOf(labels: Readonly<Record<string, readonly string[]>>): Record<string, string>[] {
  return Object.entries(labels).reduce<Record<string, string>[]>(
    (combinations, [label, values]) => combinations.flatMap(one => values.map(value => ({ ...one, [label]: value }))),
    [{}],
  )
}
