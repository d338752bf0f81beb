import { zScore } from '../../verdict/score.ts'
import type { History } from './detector.ts'
import { type Summary, summarizeFor } from './summary.ts'

/** With fewer samples in the window z is unknown. */
const SAMPLES_MIN = 10
/** A spike of more deviations is discounted, but not below the minimum. */
const DISCOUNTED_FROM = 4
const FACTOR_MIN = 0.3

const summary: Summary = { mean: 0, rest: 0, deviation: 0 }

/**
 * Returns the share of a value's novelty that counts. Within a deviation of the window nothing is
 * new. Beyond four, the further a spike is, the less its distance says: keys with spikes have them
 * in all sizes.
 */
export function discountFor(history: History, value: number): number {
  if (history.size < SAMPLES_MIN) return 0
  summarizeFor(value, history, summary)
  const z = Math.abs(zScore(value, summary.mean, summary.deviation, summary.rest))
  return z <= 1 ? 0 : Math.max(FACTOR_MIN, Math.sqrt(Math.min(1, DISCOUNTED_FROM / z)))
}
