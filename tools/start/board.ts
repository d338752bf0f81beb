import type { Analysis } from '@tidemark/shared/verdict/analysis'

/** Values kept of each key for its trend: the samples of a window. */
const TREND_MAX = 50

/** Keys in the order a reader expects: cpu.2 before cpu.10. */
const keyOrder = new Intl.Collator('en', { numeric: true })

export interface Row {
  readonly analysis: Analysis
  /** Oldest first, the analysed value last. */
  readonly trend: readonly number[]
  readonly anomalies: number
  /** When the newest of them was seen, Unix milliseconds. */
  readonly anomalyAt: number | undefined
}

export interface Totals {
  readonly sent: number
  readonly accepted: number
  readonly analysed: number
  readonly anomalies: number
}

/** What is known of the keys that were fed: the newest verdict of each, and counts. */
export class Board {
  readonly #rows = new Map<string, Row>()
  #sorted: Row[] | undefined
  #totals: Totals = { sent: 0, accepted: 0, analysed: 0, anomalies: 0 }
  #trouble: { readonly text: string; readonly count: number } | undefined

  get totals(): Totals {
    return this.#totals
  }

  /** What went wrong last, and how often in a row; undefined while all goes well. */
  get trouble(): { readonly text: string; readonly count: number } | undefined {
    return this.#trouble
  }

  /** In order of key, so that no row jumps. */
  get rows(): readonly Row[] {
    this.#sorted ??= [...this.#rows.values()].sort((a, b) => keyOrder.compare(a.analysis.key, b.analysis.key))
    return this.#sorted
  }

  countSent({ sent, accepted }: { sent: number; accepted: number }): void {
    this.#totals = {
      ...this.#totals,
      sent: this.#totals.sent + sent,
      accepted: this.#totals.accepted + accepted,
    }
  }

  /** Takes the verdict on a sample, each once; returns the key's row as it is then. */
  record(analysis: Analysis, now: number): Row {
    const before = this.#rows.get(analysis.key)
    const row: Row = {
      analysis,
      trend: [...(before?.trend ?? []), analysis.value].slice(-TREND_MAX),
      anomalies: (before?.anomalies ?? 0) + (analysis.anomaly ? 1 : 0),
      anomalyAt: analysis.anomaly ? now : before?.anomalyAt,
    }
    this.#rows.set(analysis.key, row)
    this.#sorted = undefined
    this.#totals = {
      ...this.#totals,
      analysed: this.#totals.analysed + 1,
      anomalies: this.#totals.anomalies + (analysis.anomaly ? 1 : 0),
    }
    return row
  }

  setTrouble(text: string | undefined): void {
    this.#trouble = text === undefined ? undefined : { text, count: (this.#trouble?.count ?? 0) + 1 }
  }
}
