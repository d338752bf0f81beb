import type { Alert } from '@tidemark/client/types'
import { plural } from '../format.ts'
import type { Point } from './points.ts'
import type { Range } from './span.ts'

/** When an alert fired; `to` is null while it fires. */
export interface AlertSpan {
  readonly from: number
  readonly to: number | null
}

/** Something that the chart marks: the anomalies of a point, or an alert. */
export interface Mark {
  readonly from: number
  /** Null while it goes on. */
  readonly to: number | null
  /** Undefined for an alert. */
  readonly point?: Point
}

export function spanOf({ opened_at: from, resolved_at: to }: Pick<Alert, 'opened_at' | 'resolved_at'>): AlertSpan {
  return { from, to }
}

/** The time that a point stands for: that of a bucket is around its middle. */
export function intervalOf({ timestamp, bucket }: Point): Range {
  return bucket == null
    ? { from: timestamp, to: timestamp }
    : { from: bucket.start, to: 2 * timestamp - bucket.start - 1 }
}

export function anomaliesOf({ bucket, state }: Point): number {
  return bucket?.anomalies ?? (state === 'anomalous' ? 1 : 0)
}

/** Of normal samples, a threshold of two deviations flags up to this share. */
const NOISE = 0.1

/** Whether a point stands for more anomalies than noise explains. */
export function isBeyondNoise({ bucket }: Point): boolean {
  return bucket != null && bucket.anomalies > 1 && bucket.anomalies > NOISE * bucket.count
}

/** Returns the alerts that fired at some time of an interval. */
export function alertsIn(alerts: readonly AlertSpan[], { from, to }: Range): readonly AlertSpan[] {
  return alerts.filter(alert => alert.from <= to && (alert.to ?? Number.POSITIVE_INFINITY) >= from)
}

/** Returns what the chart marks, newest first. */
export function marksOf(points: readonly Point[], alerts: readonly AlertSpan[]): Mark[] {
  const marked = points.filter(point => anomaliesOf(point) > 0).map(point => ({ ...intervalOf(point), point }))
  return [...marked, ...alerts].sort((a, b) => b.from - a.from)
}

/** What the chart marks, in words. */
export function summaryOf(points: readonly Point[], alerts: readonly AlertSpan[], range: Range): string {
  const anomalies = points.reduce((sum, point) => sum + anomaliesOf(point), 0)
  const intervals = points.filter(point => point.bucket != null && anomaliesOf(point) > 0).length
  const fired = alertsIn(alerts, range).length
  const many = points.filter(isBeyondNoise).length
  const more = many === 0 ? '' : `; ${many} with more than noise explains`
  const where = intervals === 0 ? '' : ` (in ${plural(intervals, 'interval')}, marked with diamonds${more})`
  const first = anomalies === 0 ? 'No anomalies' : `${plural(anomalies, 'anomaly', 'anomalies')}${where}`
  return `${first} and ${fired === 0 ? 'no alerts' : plural(fired, 'alert')} in the time shown.`
}
