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

/** Milliseconds; null if nothing was measured. */
export interface Times {
  readonly count: number
  readonly average: number | null
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly max: number | null
}

export interface Detection {
  readonly series: number
  readonly verdicts: number
  readonly warming: number
  readonly flagged: number
  readonly anomalies: number
  readonly found: number
  readonly precision: number | null
  readonly recall: number | null
  readonly false_positive_rate: number | null
  /** The mean, in samples. */
  readonly delay_samples: number | null
  readonly delay_ms: Times
  /** From a sample's timestamp to its verdict. */
  readonly verdict_ms: Times
}

/** One second of the run. */
export interface Second {
  readonly at: number
  readonly users: number
  readonly target: number
  readonly requests: number
  readonly p95: number | null
  readonly failures: number
  /** Samples of the watched series. */
  readonly flagged: number
  readonly labelled: number
}

/** One watched series, value by value. */
export interface Track {
  readonly key: string
  readonly kind: string
  readonly points: readonly {
    readonly at: number
    readonly value: number
    readonly low: number | null
    readonly high: number | null
    readonly flagged: boolean
    readonly labelled: boolean
  }[]
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
