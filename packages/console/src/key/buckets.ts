import type { Aggregates, Bucket } from '@tidemark/client/types'
import type { Point } from './points.ts'

/** So many times the usual time between buckets is a gap. */
const GAP = 2

interface Joined {
  readonly bucket: Bucket
  readonly stepMs: number
}

/**
 * Joins the levels of a key, finest first, to its newest samples, so that no time is shown twice
 * and none is left out. Levels finer than `baseMs` only fill the time after its last bucket.
 */
export function joinLevels(
  levels: readonly Aggregates[],
  newest: readonly Point[],
  { isCounter, baseMs = 0 }: { readonly isCounter: boolean; readonly baseMs?: number },
): Point[] {
  const singles = withoutHoles(newest, levels)
  let until = singles[0]?.timestamp ?? Number.POSITIVE_INFINITY
  const joined: Joined[] = []
  for (const [i, level] of levels.entries()) {
    const { buckets, step_ms: stepMs } = level
    const begin = beginOf(level, levels[i + 1], until, baseMs)
    const shown = buckets.filter(({ start }) => start >= begin && start + stepMs <= until)
    joined.unshift(...shown.map(bucket => ({ bucket, stepMs })))
    until = Math.min(until, begin)
  }
  const points = isCounter ? ratePoints(joined) : meanPoints(joined)
  return [...points, ...singles.map(point => ({ ...point, low: point.value, high: point.value, bucket: null }))]
}

/** Returns where a level begins: with a bucket of the coarser one, or the time between is lost. */
function beginOf(level: Aggregates, coarser: Aggregates | undefined, until: number, baseMs: number): number {
  const first = level.buckets[0]?.start ?? until
  if (coarser === undefined) return first
  const { buckets, step_ms: stepMs } = coarser
  if (level.step_ms < baseMs) return stepMs * Math.floor(until / stepMs)
  const covering = buckets.find(({ start }) => start < first && first < start + stepMs)
  const end = covering === undefined ? first : covering.start + stepMs
  return end <= until ? end : first
}

/**
 * Returns the newest samples of which the page has all: not those before a time in which there were
 * others, and not those of a bucket of which it has a part.
 */
function withoutHoles(newest: readonly Point[], levels: readonly Aggregates[]): readonly Point[] {
  const [finest] = levels
  if (finest === undefined) return newest
  const { buckets, step_ms: stepMs } = finest
  const hole = newest.findLastIndex(({ timestamp }, i) => {
    const before = newest[i - 1]?.timestamp ?? timestamp
    return timestamp - before > stepMs && buckets.some(({ start }) => start > before && start + stepMs <= timestamp)
  })
  const known = hole < 0 ? newest : newest.slice(hole)
  const [first, last] = [known[0]?.timestamp ?? 0, known.at(-1)?.timestamp ?? 0]
  const part = buckets.find(({ start }) => start < first && first < start + stepMs)
  if (part === undefined || part.start + stepMs > last) return known
  return known.filter(({ timestamp }) => timestamp >= part.start + stepMs)
}

function meanPoints(joined: readonly Joined[]): Point[] {
  const isGapBefore = gapsIn(joined)
  return joined.flatMap(({ bucket, stepMs }, i) => {
    const { mean, min, max } = bucket
    const point = { ...pointAt(bucket, stepMs), value: mean ?? Number.NaN, low: min, high: max }
    return isGapBefore(i) ? [gapAt(bucket.start), point] : [point]
  })
}

/** Of a counter, the rate from bucket to bucket. It is unknown after a reset. */
function ratePoints(joined: readonly Joined[]): Point[] {
  const isGapBefore = gapsIn(joined)
  return joined.flatMap(({ bucket, stepMs }, i) => {
    const before = joined[i - 1]
    const rise = before === undefined ? Number.NaN : (bucket.mean ?? Number.NaN) - (before.bucket.mean ?? Number.NaN)
    const at = pointAt(bucket, stepMs)
    const seconds = before === undefined ? 1 : (at.timestamp - pointAt(before.bucket, before.stepMs).timestamp) / 1000
    const point = { ...at, value: rise >= 0 ? rise / seconds : Number.NaN }
    return isGapBefore(i) ? [gapAt(bucket.start), point] : [point]
  })
}

function pointAt(bucket: Bucket, stepMs: number): Point {
  const unknown = { value: Number.NaN, mean: null, low: null, high: null, state: null }
  return { ...unknown, timestamp: bucket.start + stepMs / 2, bucket }
}

/** Finds where a key sent nothing for much longer than it usually does: a rare one has few. */
function gapsIn(joined: readonly Joined[]): (i: number) => boolean {
  const lengths = joined.map(({ bucket }, i) => {
    const before = joined[i - 1]
    return before === undefined ? 0 : bucket.start - before.bucket.start - before.stepMs
  })
  const usual = lengths.toSorted((a, b) => a - b)[Math.floor(lengths.length / 2)] ?? 0
  return i => (lengths[i] ?? 0) > GAP * usual
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
