import type { Analysis } from '@tidemark/shared/verdict/analysis'

/** Values kept of each key for its trend: as many as a window has. */
const TREND_MAX = 50

/** Compares numbers in keys as numbers: cpu.2 comes before cpu.10. */
const keyOrder = new Intl.Collator('en', { numeric: true })

export interface Row {
  readonly analysis: Analysis
  /** Oldest first, the analysed value last. */
  readonly trend: readonly number[]
  readonly anomalies: number
  /** When the newest of them was seen, Unix milliseconds. */
  readonly anomalyAt: number | undefined
}

/** The newest verdict on each key, and counts. */
export class Board {
  readonly totals = { sent: 0, accepted: 0, analysed: 0, anomalies: 0 }
  readonly #rows = new Map<string, Row>()
  /** The last failure and how often it occurred in a row; undefined after a round without one. */
  failure: { readonly text: string; readonly count: number } | undefined

  /** In the order of the keys, so that a row keeps its place. */
  get rows(): readonly Row[] {
    return [...this.#rows.values()].sort((a, b) => keyOrder.compare(a.analysis.key, b.analysis.key))
  }

  countSent({ sent, accepted }: { sent: number; accepted: number }): void {
    this.totals.sent += sent
    this.totals.accepted += accepted
  }

  record(analysis: Analysis, now: number): Row {
    const before = this.#rows.get(analysis.key)
    const row: Row = {
      analysis,
      trend: [...(before?.trend ?? []), analysis.value].slice(-TREND_MAX),
      anomalies: (before?.anomalies ?? 0) + (analysis.anomaly ? 1 : 0),
      anomalyAt: analysis.anomaly ? now : before?.anomalyAt,
    }
    this.#rows.set(analysis.key, row)
    this.totals.analysed += 1
    if (analysis.anomaly) this.totals.anomalies += 1
    return row
  }

  setFailure(text: string | undefined): void {
    this.failure = text === undefined ? undefined : { text, count: (this.failure?.count ?? 0) + 1 }
  }
}
