/** The summary that locust/run.py writes at the end of a run. Shares are fractions of 1. */
export interface Summary {
  readonly shape: string
  readonly rps: number
  readonly seconds: number
  readonly seed: number
  readonly planned: number
  readonly requests: number
  readonly failures: number
  readonly error_rate: number
  readonly failed: readonly { readonly what: string; readonly count: number }[]
  readonly samples: number
  readonly routes: readonly Route[]
  /** How much later than planned requests were sent. */
  readonly late_ms: Times
  readonly unjudged: number
  readonly detection: Detection
  readonly detection_by_signal: readonly (Detection & { readonly kind: string })[]
  readonly anomalies: readonly { readonly kind: string; readonly anomalies: number; readonly found: number }[]
  readonly timeline: readonly Second[]
  readonly tracks: readonly Track[]
  readonly limits: Readonly<Record<string, number>>
  /** A sentence for each threshold that was missed. */
  readonly missed: readonly string[]
  /** CPU time of the load generator, in seconds. */
  readonly cpu_s: number
}

export interface Route {
  readonly name: string
  readonly failures: number
  readonly ms: Times
}

/** Null if nothing was measured. */
type Measured<Name extends string> = Readonly<Record<Name, number | null>>
type Counted<Name extends string> = Readonly<Record<Name, number>>

/** Milliseconds. */
export interface Times extends Counted<'count'>, Measured<'average' | 'p50' | 'p95' | 'p99' | 'max'> {}

/** The delay in samples is the mean. `verdict_ms` is from a sample's timestamp to its verdict. */
export interface Detection
  extends Counted<'series' | 'verdicts' | 'warming' | 'flagged' | 'anomalies' | 'found'>,
    Measured<'precision' | 'recall' | 'false_positive_rate' | 'delay_samples'> {
  readonly delay_ms: Times
  readonly verdict_ms: Times
}

/** One second of the run; flagged and labelled samples are those of the watched series. */
export interface Second
  extends Counted<'at' | 'target' | 'requests' | 'failures' | 'flagged' | 'labelled'>,
    Measured<'p95'> {}

/** One watched series, value by value. */
export interface Track {
  readonly key: string
  readonly kind: string
  readonly points: readonly (Counted<'at' | 'value'> &
    Measured<'low' | 'high'> & { readonly flagged: boolean; readonly labelled: boolean })[]
}

/** Returns the p95 of the slowest route: quantiles of several routes cannot be combined. */
export function worstP95(routes: readonly Route[]): number | null {
  const known = routes.map(({ ms }) => ms.p95).filter(p95 => p95 !== null)
  return known.length === 0 ? null : Math.max(...known)
}

export function averageMs(routes: readonly Route[]): number | null {
  const count = routes.reduce((sum, { ms }) => sum + ms.count, 0)
  return count === 0 ? null : routes.reduce((sum, { ms }) => sum + (ms.average ?? 0) * ms.count, 0) / count
}
