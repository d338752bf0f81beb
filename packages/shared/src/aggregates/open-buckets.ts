import {
  ANOMALIES,
  addBucket,
  addSample,
  BUCKET_LENGTH,
  type Bucket,
  COUNT,
  clearBucket,
  readBucket,
  START,
} from './bucket.ts'
import { LEVELS, type Level } from './levels.ts'

/**
 * The buckets of a key that are still filled, as float64s in memory of the caller:
 *
 *     bucket of 10 s; the key's first value, rings, bucket of 1 min, bucket of 15 min
 *
 * A sample is added to the finest bucket only, which is added to the next one when it closes. The
 * part before the semicolon changes with each sample, the other one once in 10 s; the store has
 * them as two values. `rings`: a bit for each level of which a bucket has closed.
 */
export const OPEN_LENGTH = BUCKET_LENGTH
const BASE = OPEN_LENGTH
const RINGS = BASE + 1
const COARSE = RINGS + 1
export const REST_LENGTH = 2 + 2 * BUCKET_LENGTH
export const OPEN_BUCKETS_LENGTH = OPEN_LENGTH + REST_LENGTH

/** By level: where its bucket is. */
const PLACES = [0, COARSE, COARSE + BUCKET_LENGTH]

/**
 * A bucket that begins so long after its samples arrived was opened by a clock that was ahead.
 * Clocks of gateways, which date samples without a timestamp, may differ by less.
 */
const AHEAD_MS = 60_000

/** Takes what must be stored of buckets that close, oldest first. */
export interface ClosedBuckets {
  /** The bucket `number` of a level closes, and the next one to be filled is `next`. */
  close(level: number, bucket: { readonly number: number; readonly next: number; readonly isFirst: boolean }): void
  /** The buckets from `number` to `next` were opened by mistake: they are empty. */
  erase(level: number, range: { readonly number: number; readonly next: number }): void
}

/** The buckets of one key: its place in the memory. */
export interface OpenBuckets {
  numbers: Float64Array
  at: number
}

/**
 * Adds a sample to the buckets of its timestamp. `time` is when it arrived.
 *
 * A bucket closes with the first sample of a later one. A late sample counts in the buckets of its
 * time that are still open: closed ones do not change. If the newest bucket is one that cannot have
 * begun yet, a clock was ahead: its samples are dropped, or all others would be late until then.
 */
export function addToBuckets(
  { numbers, at }: OpenBuckets,
  sample: { readonly value: number; readonly timestamp: number; readonly time: number; readonly isFlagged: boolean },
  closed: ClosedBuckets,
): void {
  const { value, timestamp, time, isFlagged } = sample
  const begin = numbers[at + START] as number
  if (numbers[at + COUNT] === 0) {
    numbers[at + BASE] = value
    openFrom(numbers, at, timestamp)
  } else if (timestamp >= begin + LEVELS[0].stepMs) {
    advance(numbers, at, timestamp, closed)
  } else if (timestamp < begin) {
    if (begin - Math.max(time, timestamp) <= AHEAD_MS) {
      addLate(numbers, at, sample)
      return
    }
    goBack(numbers, at, timestamp, closed)
  }
  addSample(numbers, at, value, isFlagged)
}

/** Begins all buckets at the time of a key's first sample. */
function openFrom(numbers: Float64Array, at: number, timestamp: number): void {
  numbers[at + RINGS] = 0
  for (const [level, { stepMs }] of LEVELS.entries()) {
    clearBucket(numbers, at + placeIn(level), stepMs * Math.floor(timestamp / stepMs))
  }
}

function advance(numbers: Float64Array, at: number, timestamp: number, closed: ClosedBuckets): void {
  for (const [level, { stepMs }] of LEVELS.entries()) {
    const place = at + placeIn(level)
    const begin = numbers[place + START] as number
    const next = Math.floor(timestamp / stepMs)
    if (next === begin / stepMs) return
    const rings = numbers[at + RINGS] as number
    const isFirst = (rings & (1 << level)) === 0
    numbers[at + RINGS] = rings | (1 << level)
    closed.close(level, { number: begin / stepMs, next, isFirst })
    if (level + 1 < LEVELS.length) addBucket(numbers, at + placeIn(level + 1), place)
    clearBucket(numbers, place, next * stepMs)
  }
}

function addLate(
  numbers: Float64Array,
  at: number,
  { value, timestamp, isFlagged }: { readonly value: number; readonly timestamp: number; readonly isFlagged: boolean },
): void {
  // A bucket that closes is added to the next one: it must be in one of them only.
  const level = LEVELS.findIndex((_, one) => timestamp >= (numbers[at + placeIn(one) + START] as number))
  if (level > 0) addSample(numbers, at + placeIn(level), value, isFlagged)
}

function goBack(numbers: Float64Array, at: number, timestamp: number, closed: ClosedBuckets): void {
  for (const [level, { stepMs }] of LEVELS.entries()) {
    const place = at + placeIn(level)
    const number = Math.floor(timestamp / stepMs)
    const next = (numbers[place + START] as number) / stepMs
    if (number >= next) return
    if (((numbers[at + RINGS] as number) & (1 << level)) !== 0) closed.erase(level, { number, next })
    clearBucket(numbers, place, number * stepMs)
  }
}

/** Returns the key's first value, from which records have their distances. */
export function baseOf({ numbers, at }: OpenBuckets): number {
  return numbers[at + BASE] as number
}

/** Returns where the bucket of a level is, in `OpenBuckets.numbers`. Finer ones are not in it. */
export function placeIn(level: number): number {
  return PLACES[level] as number
}

/** Whether a bucket of the level has closed since the key's first sample. */
export function hasRing({ numbers, at }: OpenBuckets, level: number): boolean {
  return ((numbers[at + RINGS] as number) & (1 << level)) !== 0
}

/** Returns the open bucket of a level, with the samples of the finer ones; null before any. */
export function openBucket({ numbers, at }: OpenBuckets, level: number): Bucket | null {
  const sum = new Float64Array(OPEN_BUCKETS_LENGTH)
  sum.set(numbers.subarray(at, at + OPEN_BUCKETS_LENGTH))
  for (let finer = 0; finer < level; finer++) addBucket(sum, placeIn(finer + 1), placeIn(finer))
  return sum[placeIn(level) + COUNT] === 0 ? null : readBucket(sum, placeIn(level))
}

/** Whether stored numbers can be those of open buckets. */
export function areOpenBuckets({ numbers, at }: OpenBuckets): boolean {
  const starts = LEVELS.map(({ stepMs }: Level, level) => {
    const place = at + placeIn(level)
    const [start, count, anomalies] = [START, COUNT, ANOMALIES].map(offset => numbers[place + offset] as number)
    const isOne = Number.isSafeInteger(start) && Number.isSafeInteger(count) && Number.isSafeInteger(anomalies)
    return isOne && (start as number) % stepMs === 0 && (count as number) >= 0
  })
  return starts.every(Boolean) && Number.isFinite(numbers[at + BASE]) && (numbers[at + COUNT] as number) > 0
}
