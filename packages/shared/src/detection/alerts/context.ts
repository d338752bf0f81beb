import type { History, Judgement } from '../detectors/detector.ts'
import type { TimedSample } from '../order.ts'
import { isOneStep } from './resolution.ts'
import { isOnTrend } from './trend.ts'

/** A sample with its score. Reused from one sample to the next. */
export interface ScoredSample extends TimedSample {
  count: number
  /** As `signedScore` returns it. */
  score: number
  threshold: number
  /** The key's mean interval between samples; 0 while unknown. */
  intervalMs: number
}

/** What a memory knows of a key. */
export interface Remembered {
  readonly samples: number
  readonly values: readonly number[]
  /** How far a value that was seen may be from all `values`. */
  readonly tolerance: number
  /** How far the value is from all of them, in widths of their range. */
  readonly widths: number
}

/** What the guard knows of the key of a sample. One object for all keys of a policy. */
export interface KeyNews {
  /** A flagged sample with more news than this is a candidate, one with more than that opens. */
  readonly candidate: number
  readonly instant: number
  /** Whether the caution after other openings is squared. */
  readonly squaresHeat: boolean
  /** Samples that the key's memory has learned. */
  samples(): number
  /** How new a value is to that memory. */
  news(value: number): number
  /** What is known of the key, without the samples that deviate as `value` does. */
  remembered(value: number, deviating: readonly number[]): Remembered | undefined
  /** A sum of deviations beyond this, in thresholds, is evidence. */
  readonly sustained: number
}

/** What else is known when a sample is weighed. One object for all keys of a policy. */
export interface AlertContext {
  /** The samples before this one, and what the detector made of it. */
  readonly history: History
  readonly judgement: Pick<Judgement, 'low' | 'high'>
  /** Whether a level that moves steadily is expected: only a window's mean lags behind it. */
  readonly allowsTrend: boolean
  /** Whether a step of the key's resolution is expected. */
  readonly allowsStep: boolean
  /** The samples as they arrived, which have the resolution: of a counter, its counts. */
  readonly arrived: History
  arrivedValue: number
  /** What a deviation of 1 is there: of a rate, the seconds since the count before. */
  arrivedPerScored: number
  /** Whether the rule has a range, so that a value without a score is known to be one it allows. */
  readonly hasRange?: boolean
  /** What decides when an alert opens; null where the members of the alert policy do. */
  readonly guard?: KeyNews | null
  /** When the key counts as silent if no other sample comes; 0 where that is not watched. */
  silentAt: number
}

export function createScoredSample(): ScoredSample {
  return { value: 0, timestamp: 0, time: 0, count: 0, score: Number.NaN, threshold: 0, intervalMs: 0 }
}

/** Whether a deviation is a step of the key's resolution, or continues its trend. */
export function isExpected(sample: ScoredSample, context: AlertContext | undefined): boolean {
  if (context === undefined) return false
  return isStep(sample, context) || (context.allowsTrend && isOnTrend(context.history, sample.value))
}

/**
 * Whether a value continues a window that only rises, or only falls, along a trend: each value of
 * a counter is new, and none is news.
 */
export function isOnCount({ value }: ScoredSample, { allowsTrend, history }: AlertContext): boolean {
  if (!allowsTrend) return false
  const { rows, start, size, head } = history
  let hasRise = false
  let hasFall = false
  let before = value
  for (let n = size - 1; n >= 0 && !(hasRise && hasFall); n--) {
    const one = rows[start + ((head + n) % size)] as number
    if (one < before) hasRise = true
    else if (one > before) hasFall = true
    before = one
  }
  return !(hasRise && hasFall) && isOnTrend(history, value)
}

/** Whether a deviation is one step of the key's resolution. */
export function isStep({ value }: ScoredSample, context: AlertContext): boolean {
  if (!context.allowsStep) return false
  const { low, high } = context.judgement
  const distance = (value > high ? value - high : low - value) * context.arrivedPerScored
  return isOneStep(context.arrived, distance, context.arrivedValue)
}
