/** The largest score, and |z|, that is given. A value that leaves a flat window has this score. */
export const SCORE_CAP = 1e6

/** Rounding must not decide a tie: only more than this share beyond a threshold counts. */
const TIE_MARGIN = 1e-12

/** A deviation of a few units in the last place is rounding, not variation. */
const FLAT_ULPS = 4

/** Returns how much of a difference at the given size of numbers may be rounding. */
export function roundingAt(size: number): number {
  return size * Number.EPSILON * FLAT_ULPS
}

/** Whether a window with this mean and deviation varies by no more than rounding. */
export function isFlat(mean: number, deviation: number): boolean {
  return deviation <= roundingAt(Math.abs(mean))
}

/**
 * Returns z up to +-SCORE_CAP; in a flat window 0 for a value within rounding, or the cap. `rest`
 * is what the mean lost to rounding: near 1e9, it may be more than 1e-8.
 */
export function zScore(value: number, mean: number, deviation: number, rest = 0): number {
  const distance = value - mean - rest
  if (isFlat(mean, deviation)) {
    if (Math.abs(distance) <= roundingAt(Math.abs(mean))) return 0
    return distance > 0 ? SCORE_CAP : -SCORE_CAP
  }
  // Two of the greatest doubles are further apart than the greatest double.
  const z = Number.isFinite(distance) ? distance / deviation : (value / 2 - mean / 2) / (deviation / 2)
  return Math.min(SCORE_CAP, Math.max(-SCORE_CAP, z))
}

/** Whether a score exceeds a threshold, on either side. False for NaN. */
export function isBeyond(score: number, threshold: number): boolean {
  return Math.abs(score) > threshold * (1 + TIE_MARGIN)
}
