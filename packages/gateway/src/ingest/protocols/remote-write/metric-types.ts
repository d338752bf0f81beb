/** `MetricMetadata.MetricType` of Prometheus that say what the values are. */
const COUNTER = 1
const GAUGE = 2
const HISTOGRAM = 3
const GAUGE_HISTOGRAM = 4
const SUMMARY = 5

/** Types of metric families, by the name of the family. */
export type MetricTypes = ReadonlyMap<string, number>

/** The names that counters have, and what counts the observations of histograms and summaries. */
const OF_COUNTER = /^(.+)_(?:total|count|sum|bucket)$/

/** Returns whether a metric's values are those of a counter, by its name alone. */
export function isCounterByName(name: string): boolean {
  return OF_COUNTER.test(name)
}

/** Returns whether a metric's values are those of a counter; undefined if no type says it. */
export function isCounterByType(name: string, types: MetricTypes): boolean | undefined {
  const own = types.get(name)
  if (own === COUNTER) return true
  // The quantiles of a summary have its name.
  if (own === GAUGE || own === SUMMARY) return false
  const family = OF_COUNTER.exec(name)?.[1]
  const type = family === undefined ? undefined : types.get(family)
  if (type === COUNTER || type === HISTOGRAM || type === SUMMARY) return true
  return type === GAUGE || type === GAUGE_HISTOGRAM ? false : undefined
}
