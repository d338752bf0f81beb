import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { anomalyScore } from '@tidemark/shared/verdict/anomaly-score'

/** The metrics of a point, by the names of vmanomaly. `y` is the value, of a counter its rate. */
export const POINT_METRICS = ['anomaly_score', 'y', 'yhat', 'yhat_lower', 'yhat_upper'] as const
export type PointMetric = (typeof POINT_METRICS)[number]

/** What the sink writes of a key for one interval. */
export interface Point {
  readonly key: string
  /** When the sample was measured, Unix milliseconds. */
  readonly timestamp: number
  /** Those that are known: while a key is warming, only `y`. */
  readonly values: Readonly<Partial<Record<PointMetric, number>>>
}

/** Returns the point of an analysis; undefined if there is nothing to write. */
export function toPoint(analysis: Analysis): Point | undefined {
  const { key, timestamp, value, low, high, rate } = analysis
  const values = {
    anomaly_score: scoreOf(analysis),
    y: rate === undefined ? value : rate,
    yhat: expectedOf(analysis),
    yhat_lower: low,
    yhat_upper: high,
  }
  const known = Object.entries(values).filter((entry): entry is [PointMetric, number] => entry[1] != null)
  return known.length === 0 ? undefined : { key, timestamp, values: Object.fromEntries(known) }
}

/** Returns how anomalous an analysis is; undefined while that is unknown. */
export function scoreOf({ score, z, threshold, anomaly }: Analysis): number | undefined {
  return anomalyScore({ score: score === undefined ? z : score, threshold }, anomaly)
}

/** The middle of the band. It is the mean of the window where that is what the detector expects. */
function expectedOf({ mean, low, high, detector = 'zscore', state }: Analysis): number | null {
  if (state === 'warming') return null
  if (detector === 'zscore') return mean
  return low === null || high === null ? null : low / 2 + high / 2
}
