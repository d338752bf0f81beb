import type { Analysis, Bucket, History } from '@tidemark/client/types'

/** Samples of a key in memory, as columns for the chart. */
const KEPT_MAX = 20_000

export interface Point {
  readonly timestamp: number
  readonly value: number
  readonly mean: number | null
  readonly low: number | null
  readonly high: number | null
  readonly state: Analysis['state'] | null
  /** Where longer times are shown: the samples that it stands for, null for a single one. */
  readonly bucket?: Bucket | null
}

/** Adds points to others; of two with one timestamp the later one is right. */
export function merge(known: readonly Point[], added: readonly Point[]): readonly Point[] {
  const [first] = added
  const last = known.at(-1)
  if (first === undefined) return known
  if (added.length === 1 && last !== undefined && first.timestamp > last.timestamp) {
    return [...known, first].slice(-KEPT_MAX)
  }
  const all = new Map(known.map(point => [point.timestamp, point]))
  for (const point of added) {
    const before = all.get(point.timestamp)
    // The band of an older sample may no longer be kept, though it was known here.
    if (before === undefined || before.state === null || point.state !== null) all.set(point.timestamp, point)
  }
  return [...all.values()].sort((a, b) => a.timestamp - b.timestamp).slice(-KEPT_MAX)
}

export function pointsOfHistory({ values, rates, timestamps, mean, low, high, state }: History): Point[] {
  return values.map((value, i) => ({
    timestamp: timestamps[i] ?? 0,
    value: rates?.[i] ?? value,
    mean: mean[i] ?? null,
    low: low[i] ?? null,
    high: high[i] ?? null,
    state: state[i] ?? null,
  }))
}

export function pointOfAnalysis({ timestamp, value, rate, mean, low, high, state }: Analysis): Point {
  return { timestamp, value: rate ?? value, mean, low, high, state }
}

/** Samples per millisecond, by the median interval of the newest; undefined for too few. */
export function rateOf(points: readonly Point[]): number | undefined {
  const times = points.slice(-50).map(({ timestamp }) => timestamp)
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time))
  const middle = gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 2)]
  return middle === undefined || middle <= 0 ? undefined : 1 / middle
}

export function toCsv(points: readonly Point[]): string {
  const lines = points.map(({ timestamp, value, mean, low, high, state }) =>
    [new Date(timestamp).toISOString(), value, mean ?? '', low ?? '', high ?? '', state ?? ''].join(','),
  )
  return `${['timestamp,value,mean,low,high,state', ...lines].join('\r\n')}\r\n`
}
