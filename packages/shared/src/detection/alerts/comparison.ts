import { valueAt } from '../detectors/detector.ts'
import type { AlertContext, Remembered, ScoredSample } from './context.ts'
import type { OpenedBy } from './state.ts'

/** What a key has been like before the deviation that opened an alert. */
export interface Comparison {
  readonly known?: KnownValues
  /** How far the value is from all known ones, in widths of their range. */
  readonly widths?: number
  /** The mean of the newest samples, where small deviations added up. */
  readonly recent?: { readonly samples: number; readonly mean: number }
}

export interface KnownValues {
  /** How many of the key's samples are known, the newest ones. */
  readonly samples: number
  readonly low: number
  readonly high: number
  /** The nearest ones to a value between them. */
  readonly below?: number
  readonly above?: number
}

/** A sum of deviations is compared with the mean of so many samples. */
const RECENT_SAMPLES = 10

/**
 * Compares a sample that opens an alert with what was known before. `newest` of the samples before
 * it belong to the deviation. It may take its time: few samples open an alert.
 */
export function compareSample(
  { value, score }: ScoredSample,
  by: OpenedBy,
  newest: number,
  { history, guard }: AlertContext,
): Comparison {
  const isSum = by === 'sustained'
  const skipped = Math.min(history.size, isSum ? RECENT_SAMPLES - 1 : newest)
  const values = Array.from({ length: history.size }, (_, n) => valueAt(history, n))
  const before = values.slice(0, history.size - skipped)
  const after = values.slice(history.size - skipped)
  const side = Math.sign(score)
  const least = Math.min(side * value, side * (after[0] ?? value))
  const deviating = isSum ? [] : after.filter(one => side * one >= least)
  // A value outside the range of its rule is not weighed by the guard, which may be at another key.
  const remembered = by === 'range' ? undefined : guard?.remembered(value, deviating)
  const known =
    isSum && remembered !== undefined ? rememberedBy(value, before, remembered) : knownOf(value, before, remembered)
  const widths = remembered !== undefined && by === 'instant' ? { widths: remembered.widths } : {}
  const recent = isSum ? { recent: meanOf([...after, value]) } : {}
  return { ...(known && { known }), ...widths, ...recent }
}

/** The memory knows more, unless it cannot say whether the value is beyond all others. */
function knownOf(
  value: number,
  before: readonly number[],
  remembered: Remembered | undefined,
): KnownValues | undefined {
  const window = before.length === 0 ? undefined : { samples: before.length, ...extremesOf(value, before) }
  if (remembered === undefined || remembered.values.length === 0) return window
  const { tolerance } = remembered
  const memory = rememberedBy(value, before, remembered)
  const isSurelyBeyond = value > memory.high + tolerance || value < memory.low - tolerance
  const isBeyondWindow = window !== undefined && (value > window.high || value < window.low)
  return isSurelyBeyond || !isBeyondWindow ? memory : window
}

function rememberedBy(value: number, before: readonly number[], { samples, values }: Remembered): KnownValues {
  return { samples, ...extremesOf(value, [...values, ...before]) }
}

function extremesOf(value: number, values: readonly number[]): Omit<KnownValues, 'samples'> {
  let [low, high, below, above] = [Infinity, -Infinity, -Infinity, Infinity]
  for (const one of values) {
    low = Math.min(low, one)
    high = Math.max(high, one)
    if (one <= value) below = Math.max(below, one)
    if (one >= value) above = Math.min(above, one)
  }
  return Number.isFinite(below) && Number.isFinite(above) ? { low, high, below, above } : { low, high }
}

function meanOf(values: readonly number[]): { samples: number; mean: number } {
  // Sums of the greatest numbers overflow.
  return { samples: values.length, mean: values.reduce((mean, value) => mean + value / values.length, 0) }
}
