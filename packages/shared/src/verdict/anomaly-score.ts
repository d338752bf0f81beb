/** Of a value outside the range of its rule, at least: it may have no score, or a usual one. */
const OUTSIDE_MIN = 2

/**
 * Returns how anomalous a sample is, as vmanomaly counts it: its score by the threshold, without a
 * sign. Anomalies have more than 1. Undefined while the score is unknown.
 */
export function anomalyScore(
  { score, threshold }: { readonly score: number | null; readonly threshold: number },
  isAnomaly: boolean,
): number | undefined {
  const isKnown = score !== null && !Number.isNaN(score)
  const ratio = isKnown ? Math.abs(score) / threshold : undefined
  if (!isAnomaly || (ratio !== undefined && ratio > 1)) return ratio
  return OUTSIDE_MIN
}
