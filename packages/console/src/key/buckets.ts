import type { Aggregates, Bucket } from '@tidemark/client/types'
import type { Point } from './points.ts'

export interface Zoom {
  readonly title: string
  readonly spanMs: number
  /** The steps that are joined, finest first: each is kept for a part of the span. */
  readonly steps: readonly string[]
}

const HOUR_MS = 3_600_000

export const ZOOMS: readonly Zoom[] = [
  { title: '1 h', spanMs: HOUR_MS, steps: ['10s', '1m'] },
  { title: '6 h', spanMs: 6 * HOUR_MS, steps: ['1m'] },
  { title: '24 h', spanMs: 24 * HOUR_MS, steps: ['1m', '15m'] },
  { title: '7 d', spanMs: 7 * 24 * HOUR_MS, steps: ['15m'] },
]

interface Joined {
  readonly bucket: Bucket
  readonly stepMs: number
}

/**
 * Joins the levels of a key to its newest samples, so that no time is shown twice: a coarse bucket
 * ends before the first of the next finer level, and that level before the first sample.
 */
export function joinLevels(levels: readonly Aggregates[], newest: readonly Point[], isCounter: boolean): Point[] {
  let until = newest[0]?.timestamp ?? Number.POSITIVE_INFINITY
  const joined: Joined[] = []
  for (const { buckets, step_ms: stepMs } of levels) {
    const before = buckets.filter(({ start }) => start + stepMs <= until)
    joined.unshift(...before.map(bucket => ({ bucket, stepMs })))
    until = Math.min(until, buckets[0]?.start ?? until)
  }
  const points = isCounter ? ratePoints(joined) : meanPoints(joined)
  const singles = newest.map(point => ({ ...point, low: point.value, high: point.value, bucket: null }))
  return [...points, ...singles]
}

function meanPoints(joined: readonly Joined[]): Point[] {
  return joined.flatMap(({ bucket, stepMs }, i) => {
    const { mean, min, max } = bucket
    const point = { ...pointAt(bucket, stepMs), value: mean ?? Number.NaN, low: min, high: max }
    return hasGapBefore(joined, i) ? [gapAt(bucket.start), point] : [point]
  })
}

/** Of a counter, the rate from bucket to bucket. It is unknown after a reset. */
function ratePoints(joined: readonly Joined[]): Point[] {
  return joined.flatMap(({ bucket, stepMs }, i) => {
    const before = joined[i - 1]
    const rise = before === undefined ? Number.NaN : (bucket.mean ?? Number.NaN) - (before.bucket.mean ?? Number.NaN)
    const at = pointAt(bucket, stepMs)
    const seconds = before === undefined ? 1 : (at.timestamp - pointAt(before.bucket, before.stepMs).timestamp) / 1000
    const point = { ...at, value: rise >= 0 ? rise / seconds : Number.NaN }
    return hasGapBefore(joined, i) ? [gapAt(bucket.start), point] : [point]
  })
}

function pointAt(bucket: Bucket, stepMs: number): Point {
  const unknown = { value: Number.NaN, mean: null, low: null, high: null, state: null }
  return { ...unknown, timestamp: bucket.start + stepMs / 2, bucket }
}

function hasGapBefore(joined: readonly Joined[], i: number): boolean {
  const before = joined[i - 1]
  return before !== undefined && before.bucket.start + before.stepMs < (joined[i]?.bucket.start ?? 0)
}

/** An interval without samples is a gap, not a line. */
function gapAt(timestamp: number): Point {
  return { timestamp, value: Number.NaN, mean: null, low: null, high: null, state: null, bucket: null }
}

export function bucketsToCsv(points: readonly Point[]): string {
  const lines = points
    .filter(({ bucket = null, value }) => bucket !== null || !Number.isNaN(value))
    .map(({ timestamp, value, state, bucket = null }) =>
      bucket === null
        ? [new Date(timestamp).toISOString(), 1, value, 0, value, value, state === 'anomalous' ? 1 : 0]
        : [
            ...[new Date(bucket.start).toISOString(), bucket.count, bucket.mean ?? '', bucket.deviation ?? ''],
            ...[bucket.min ?? '', bucket.max ?? '', bucket.anomalies],
          ],
    )
  return `${['start,count,mean,deviation,min,max,anomalies', ...lines.map(one => one.join(','))].join('\r\n')}\r\n`
}
