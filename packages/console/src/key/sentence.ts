import type { Analysis } from '@tidemark/client/types'
import { formatDuration, formatValue, formatZ, plural } from '../format.ts'
import { tailProbability } from '../probability.ts'

/** A longer time says no more than that it does not happen. */
const NEVER_MS = 1e6 * 365.25 * 86_400_000

/** The capped z of a value that leaves a window of equal values. */
export const Z_CAP = 1e6

/** What an analysis means, for people. `rate` is in samples per millisecond. */
export function sentenceOf(analysis: Analysis, rate: number | undefined): string {
  const { state, z, window, deviation, low, high, detector, score, range, unit = '' } = analysis
  const perSecond = analysis.rate == null ? '' : ' per second'
  const value = `${formatValue(analysis.rate ?? analysis.value)}${unit && ` ${unit}`}${perSecond}`
  const usual = low === null || high === null ? '' : ` Usual is ${formatValue(low)} to ${formatValue(high)}.`
  if (range !== undefined) return `${value} is ${range} the range that the rule of this key allows.`
  if (state === 'warming') return `${value}. This key is being learned: ${plural(window + 1, 'sample')} so far.`
  if (state === 'flat') return `${value}, as in all of the ${plural(window, 'sample')} before it.`
  if (state === 'refused') return `${value} arrived late or twice: the rule of this key does not analyse such samples.`
  if (state === 'ignored') return `${value} is a value that the rule of this key ignores.`
  if (detector !== undefined && detector !== 'zscore' && score !== undefined && score !== null) {
    const side = score > 0 ? 'high' : 'low'
    const what = analysis.anomaly ? `is too ${side}` : 'is usual'
    return `${value} ${what}: the detector ${detector} gives it ${formatZ(Math.abs(score))}, the limit is ${formatValue(analysis.threshold)}.${usual}`
  }
  if (z === null) return `${value}.${usual}`
  if (deviation === 0 || Math.abs(z) >= Z_CAP) {
    return `${value} differs from the ${plural(window, 'sample')} before it, which were all ${formatValue(analysis.mean)}.`
  }
  const place = `${value} is ${formatZ(Math.abs(z))} deviations ${z < 0 ? 'below' : 'above'} the mean of the ${plural(window, 'sample')} before it`
  if (!analysis.anomaly) return `${place}.${usual}`
  return `${place}; ${rarity(z, window, rate)}.${usual}`
}

function rarity(z: number, window: number, rate: number | undefined): string {
  const probability = tailProbability(z, window)
  if (rate === undefined) return 'a value this far off is rare'
  const everyMs = 1 / (probability * rate)
  if (!Number.isFinite(everyMs) || everyMs > NEVER_MS) return 'normal noise never comes this far'
  return `normal noise comes this far once in ${formatDuration(everyMs)} of this signal`
}
