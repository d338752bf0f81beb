import assert from 'node:assert/strict'
// @ts-expect-error: it comes without types.
import jstat from 'jstat'

interface StudentT {
  inv(probability: number, degreesOfFreedom: number): number
  cdf(value: number, degreesOfFreedom: number): number
}

const studentt: StudentT = jstat.jStat.studentt

/** How many normal samples may be flagged: a share of them, or a number per key and time. */
export type Budget =
  | { readonly kind: 'share'; readonly share: number }
  | { readonly kind: 'rate'; readonly perMillisecond: number }

export type Direction = 'up' | 'down' | 'both'

/** The samples of a window, and the sides on which they can be anomalies. */
type Window = { readonly samples: number; readonly direction: Direction }

/** A larger share is not a budget; for a smaller one quantiles are not accurate. */
const SHARE_MAX = 0.1
const SHARE_MIN = 1e-12

/** Far below SCORE_CAP: a value that leaves a flat window is an anomaly under every budget. */
const THRESHOLD_MAX = 1e4

const MILLISECONDS = { minute: 60e3, hour: 3600e3, day: 86_400e3, week: 604_800e3 } as const

const SHARE = /^(\d+(?:\.\d+)?) ?%$/
const RATE = /^(\d+(?:\.\d+)?) per key per (minute|hour|day|week)$/

/** The format of a budget, as the end of a sentence that begins with the field's name. */
export const BUDGET_RULE =
  'must be like "1 per key per day" (minute, hour, day, week) or "0.1 %" (more than 0, at most 10)'

/** Parses `1 per key per day` or `0.1 %`. Returns undefined for any other text. */
export function parseBudget(text: string): Budget | undefined {
  const share = SHARE.exec(text)
  if (share !== null) {
    const value = Number(share[1]) / 100
    return value > 0 && value <= SHARE_MAX ? { kind: 'share', share: value } : undefined
  }
  const rate = RATE.exec(text)
  if (rate === null) return undefined
  const count = Number(rate[1])
  const perMillisecond = count / MILLISECONDS[rate[2] as keyof typeof MILLISECONDS]
  return count > 0 && perMillisecond <= SHARE_MAX ? { kind: 'rate', perMillisecond } : undefined
}

/** Formats a budget as `parseBudget` parses it, a rate by the shortest time that has one. */
export function formatBudget(budget: Budget): string {
  const rounded = (value: number): number => Number(value.toPrecision(6))
  if (budget.kind === 'share') return `${rounded(budget.share * 100)} %`
  const rates = Object.entries(MILLISECONDS).map(([time, ms]) => ({ time, count: rounded(ms * budget.perMillisecond) }))
  const { time, count } = rates.find(rate => rate.count >= 1) ?? { time: 'week', count: rates.at(-1)?.count }
  return `${count} per key per ${time}`
}

/**
 * Returns the threshold that |z| of a normal sample exceeds with the probability `share`. Here z =
 * (value - mean) / deviation, with the mean and population deviation of the n samples before it.
 *
 * All samples have one normal distribution, so value - mean has the variance s^2 (1 + 1/n). Divided
 * by the sample deviation times sqrt(1 + 1/n), it has the t distribution with n - 1 degrees of
 * freedom: Hahn and Meeker, "Statistical Intervals", 1991, section 4.8. The population deviation is
 * the sample deviation times sqrt((n - 1) / n), so z = t sqrt((n + 1) / (n - 1)).
 */
export function thresholdForShare(share: number, { samples, direction }: Window): number {
  assert(samples >= 2, 'one sample has no deviation')
  const bounded = Math.min(SHARE_MAX, Math.max(SHARE_MIN, share))
  const tail = direction === 'both' ? bounded / 2 : bounded
  // Rounded to six decimals: JavaScript engines may differ in the last place of a logarithm.
  return Math.min(THRESHOLD_MAX, Math.round(-studentt.inv(tail, samples - 1) * scale(samples) * 1e6) / 1e6)
}

/** Returns the share of normal samples beyond a threshold: inverts `thresholdForShare`. */
export function shareBeyond(threshold: number, { samples, direction }: Window): number {
  assert(samples >= 2, 'one sample has no deviation')
  const tail = studentt.cdf(-threshold / scale(samples), samples - 1)
  return direction === 'both' ? 2 * tail : tail
}

function scale(samples: number): number {
  return Math.sqrt((samples + 1) / (samples - 1))
}

/** Intervals are grouped by eighths of an octave: a float64's exponent and three more bits. */
const INTERVAL_SHIFT = 17
const BUCKETS = 2 ** (32 - INTERVAL_SHIFT)

/** The thresholds of one budget, each computed once. They depend on samples and interval alone. */
export class BudgetThresholds {
  /** As a rule sets it. */
  readonly text: string
  readonly #budget: Budget
  readonly #direction: Direction
  /** By samples and bucket, of which there are a few hundred from a millisecond to a year. */
  readonly #thresholds = new Map<number, number>()
  readonly #float = new DataView(new ArrayBuffer(8))

  constructor(budget: Budget, direction: Direction) {
    this.text = formatBudget(budget)
    this.#budget = budget
    this.#direction = direction
  }

  /** Under a rate, intervals count as up to an eighth shorter, which gives fewer false alarms. */
  thresholdFor(samples: number, intervalMs: number): number {
    const bucket = this.#budget.kind === 'share' ? 0 : this.#bucketOf(intervalMs)
    const index = samples * BUCKETS + bucket
    const known = this.#thresholds.get(index)
    if (known !== undefined) return known
    const threshold = thresholdForShare(this.#shareIn(bucket), { samples, direction: this.#direction })
    this.#thresholds.set(index, threshold)
    return threshold
  }

  shareFor(intervalMs: number): number {
    return this.#shareIn(this.#bucketOf(intervalMs))
  }

  #shareIn(bucket: number): number {
    if (this.#budget.kind === 'share') return this.#budget.share
    this.#float.setUint32(0, bucket << INTERVAL_SHIFT)
    this.#float.setUint32(4, 0)
    return Math.min(SHARE_MAX, Math.max(SHARE_MIN, this.#budget.perMillisecond * this.#float.getFloat64(0)))
  }

  #bucketOf(intervalMs: number): number {
    // Timestamps that do not increase give no interval; the shortest gives the fewest false alarms.
    this.#float.setFloat64(0, Math.max(1, intervalMs || 1))
    return this.#float.getUint32(0) >>> INTERVAL_SHIFT
  }
}
