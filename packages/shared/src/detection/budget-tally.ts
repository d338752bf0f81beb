import { shareBeyond } from './budget.ts'
import type { Policy } from './policy.ts'

/** How many samples a rule flagged, and how many it would have, had they been normal noise. */
export interface FalseAlarmRates {
  /** Samples with a score. */
  readonly judged: number
  readonly flagged: number
  /** Null where nobody knows: for other detectors than the z-score. */
  readonly expected: number | null
}

/**
 * Counts for one policy what was flagged against what was to be expected of independent normal samples. Far more observed than
 * expected says that the signal is not such noise, and that another detector suits it better.
 */
export class BudgetTally {
  readonly #policy: Policy
  /** By the samples in the window: the share that a fixed threshold flags. */
  readonly #shares: number[] = []
  #judged = 0
  #flagged = 0
  #expected = 0

  constructor(policy: Policy) {
    this.#policy = policy
  }

  get rates(): FalseAlarmRates {
    const isKnown = this.#policy.detector === 'zscore'
    return { judged: this.#judged, flagged: this.#flagged, expected: isKnown ? this.#expected : null }
  }

  /** Counts a sample with a score, by the window before it. */
  count(samples: number, intervalMs: number, isFlagged: boolean): void {
    this.#judged++
    if (isFlagged) this.#flagged++
    if (this.#policy.detector === 'zscore') this.#expected += this.#shareOf(samples, intervalMs)
  }

  #shareOf(samples: number, intervalMs: number): number {
    const { budget, threshold, direction } = this.#policy
    if (budget !== null) return budget.shareFor(intervalMs)
    const known = this.#shares[samples]
    if (known !== undefined) return known
    const share = shareBeyond(threshold, { samples, direction })
    this.#shares[samples] = share
    return share
  }
}
