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
import { LEVELS, type Level, placeOf } from './levels.ts'
import { RECORD_BYTES, RECORD_WORDS, writeRecord } from './record.ts'

/**
 * The buckets of a key that are not in its rings yet, as float64s in memory of the caller:
 *
 *     bucket of 10 s, first value, rings, records of this minute, buckets of 1 min and of 15 min,
 *     samples and values up to the newest one in them (COUNT and PUSHED of key-row.ts)
 *
 * A sample is added to the finest bucket only, which is added to the next one when it closes.
 * `rings`: a bit for each level of which a bucket has closed. The records of closed buckets of 10 s
 * go to their ring with that of their minute.
 */
const BASE = BUCKET_LENGTH
const RINGS = BASE + 1
const RECORDS = RINGS + 1
/** Buckets of 10 s in a minute. */
export const PER_MINUTE = 6
const MINUTE = { kept: PER_MINUTE }
const RECORDS_LENGTH = (PER_MINUTE * RECORD_BYTES) / 8
const COARSE = RECORDS + RECORDS_LENGTH
/** The key's samples, and values in its window, up to the newest one in the buckets. */
export const COUNT_THEN = COARSE + 2 * BUCKET_LENGTH
export const PUSHED_THEN = COUNT_THEN + 1
export const OPEN_BUCKETS_LENGTH = PUSHED_THEN + 1

/** By level: where its bucket is. */
const PLACES = [0, COARSE, COARSE + BUCKET_LENGTH]

/**
 * A bucket that begins so long after its samples arrived was opened by a clock that was ahead.
 * Clocks of gateways, which date samples without a timestamp, may differ by less.
 */
const AHEAD_MS = 60_000

/** Takes what must be stored of buckets that close, oldest first. */
export interface ClosedBuckets {
  /** The bucket `number` of a level but the finest closes, and the next to be filled is `next`. */
  close(place: OpenBuckets, level: number, number: number, next: number, isFirst: boolean): void
  /** The records of a minute, the first of which is `number`, are complete. */
  closeMinute(records: Uint32Array, number: number, next: number, isFirst: boolean): void
  /** The buckets from `number` to `next` were opened by mistake: they are empty. */
  erase(level: number, number: number, next: number): void
}

/** The buckets of one key: its place in the memory. */
export interface OpenBuckets {
  numbers: Float64Array
  /** The same memory. */
  words: Uint32Array
  at: number
}

type Place = Pick<OpenBuckets, 'numbers' | 'at'>

/** Returns memory for the buckets of some keys. */
export function createOpenBuckets(keys: number): OpenBuckets {
  const numbers = new Float64Array(keys * OPEN_BUCKETS_LENGTH)
  return { numbers, words: new Uint32Array(numbers.buffer), at: 0 }
}

/**
 * Adds a sample to the buckets of its timestamp. `time` is when it arrived.
 *
 * A bucket closes with the first sample of a later one. A late sample counts in the buckets of its
 * time that are still open: closed ones do not change. If the newest bucket is one that cannot have
 * begun yet, a clock was ahead: its samples are dropped, or all others would be late until then.
 */
export function addToBuckets(
  place: OpenBuckets,
  sample: { readonly value: number; readonly timestamp: number; readonly time: number; readonly isFlagged: boolean },
  closed: ClosedBuckets,
): void {
  const { numbers, at } = place
  const { value, timestamp, time, isFlagged } = sample
  const begin = numbers[at + START] as number
  if (numbers[at + COUNT] === 0) {
    numbers[at + BASE] = value
    openFrom(numbers, at, timestamp)
  } else if (timestamp >= begin + LEVELS[0].stepMs) {
    advance(place, timestamp, closed)
  } else if (timestamp < begin) {
    if (begin - Math.max(time, timestamp) <= AHEAD_MS) {
      addLate(numbers, at, sample)
      return
    }
    goBack(place, timestamp, closed)
  }
  addSample(numbers, at, value, isFlagged)
}

/** Begins all buckets at the time of a key's first sample. */
function openFrom(numbers: Float64Array, at: number, timestamp: number): void {
  numbers.fill(0, at + RINGS, at + COARSE)
  for (const [level, { stepMs }] of LEVELS.entries()) {
    clearBucket(numbers, at + placeIn(level), stepMs * Math.floor(timestamp / stepMs))
  }
}

function advance(place: OpenBuckets, timestamp: number, closed: ClosedBuckets): void {
  const { numbers, words, at } = place
  const { stepMs } = LEVELS[0]
  const number = (numbers[at + START] as number) / stepMs
  const next = Math.floor(timestamp / stepMs)
  const ofMinute = placeOf(number, MINUTE)
  const records = 2 * (at + RECORDS)
  writeRecord(numbers, at, numbers[at + BASE] as number, words, records + ofMinute * RECORD_WORDS)
  addBucket(numbers, at + COARSE, at)
  clearBucket(numbers, at, next * stepMs)
  if (next - number < PER_MINUTE - ofMinute) return
  const nextMinute = next - placeOf(next, MINUTE)
  const ofRecords = words.subarray(records, records + PER_MINUTE * RECORD_WORDS)
  closed.closeMinute(ofRecords, number - ofMinute, nextMinute, markRing(numbers, at, 0))
  ofRecords.fill(0)
  for (let level = 1; level < LEVELS.length; level++) {
    if (!closeCoarse(place, level, timestamp, closed)) return
  }
}

/** False if the bucket of the level goes on. */
function closeCoarse(open: OpenBuckets, level: number, timestamp: number, closed: ClosedBuckets): boolean {
  const { numbers, at } = open
  const { stepMs } = LEVELS[level] as Level
  const place = at + placeIn(level)
  const number = (numbers[place + START] as number) / stepMs
  const next = Math.floor(timestamp / stepMs)
  if (next === number) return false
  closed.close(open, level, number, next, markRing(numbers, at, level))
  if (level + 1 < LEVELS.length) addBucket(numbers, at + placeIn(level + 1), place)
  clearBucket(numbers, place, next * stepMs)
  return true
}

/** Notes that a level has a ring; returns whether it is new. */
function markRing(numbers: Float64Array, at: number, level: number): boolean {
  const rings = numbers[at + RINGS] as number
  numbers[at + RINGS] = rings | (1 << level)
  return (rings & (1 << level)) === 0
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

function goBack({ numbers, at }: OpenBuckets, timestamp: number, closed: ClosedBuckets): void {
  const open = (numbers[at + START] as number) / LEVELS[0].stepMs
  // The clock was ahead by more than a minute, so this one is another minute.
  const first = Math.floor(timestamp / LEVELS[1].stepMs) * PER_MINUTE
  if (hasRing({ numbers, at }, 0)) closed.erase(0, first, open - placeOf(open, MINUTE))
  numbers.fill(0, at + RECORDS, at + COARSE)
  clearBucket(numbers, at, LEVELS[0].stepMs * Math.floor(timestamp / LEVELS[0].stepMs))
  for (let level = 1; level < LEVELS.length; level++) {
    const { stepMs } = LEVELS[level] as Level
    const place = at + placeIn(level)
    const number = Math.floor(timestamp / stepMs)
    const next = (numbers[place + START] as number) / stepMs
    if (number >= next) return
    if (hasRing({ numbers, at }, level)) closed.erase(level, number, next)
    clearBucket(numbers, place, number * stepMs)
  }
}

/** Returns the records of the buckets of 10 s that are not in their ring yet, as bytes. */
export function recordsOfMinute({ numbers, at }: Place): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset + 8 * (at + RECORDS), PER_MINUTE * RECORD_BYTES)
}

/** Returns the key's first value, from which records have their distances. */
export function baseOf({ numbers, at }: Place): number {
  return numbers[at + BASE] as number
}

/** Returns where the bucket of a level is, in `OpenBuckets.numbers`. Finer ones are not in it. */
export function placeIn(level: number): number {
  return PLACES[level] as number
}

/** Whether a bucket of the level has closed since the key's first sample. */
export function hasRing({ numbers, at }: Place, level: number): boolean {
  return ((numbers[at + RINGS] as number) & (1 << level)) !== 0
}

/** Returns the open bucket of a level, with the samples of the finer ones; null before any. */
export function openBucket({ numbers, at }: Place, level: number): Bucket | null {
  const sum = new Float64Array(OPEN_BUCKETS_LENGTH)
  sum.set(numbers.subarray(at, at + OPEN_BUCKETS_LENGTH))
  for (let finer = 0; finer < level; finer++) addBucket(sum, placeIn(finer + 1), placeIn(finer))
  return sum[placeIn(level) + COUNT] === 0 ? null : readBucket(sum, placeIn(level))
}

/** Whether stored numbers can be those of open buckets. */
export function areOpenBuckets({ numbers, at }: Place): boolean {
  const starts = LEVELS.map(({ stepMs }: Level, level) => {
    const place = at + placeIn(level)
    const [start, count, anomalies] = [START, COUNT, ANOMALIES].map(offset => numbers[place + offset] as number)
    const isOne = Number.isSafeInteger(start) && Number.isSafeInteger(count) && Number.isSafeInteger(anomalies)
    return isOne && (start as number) % stepMs === 0 && (count as number) >= 0
  })
  const isFollowed = (numbers[at + COUNT_THEN] as number) >= 0 && (numbers[at + PUSHED_THEN] as number) >= 0
  return (
    starts.every(Boolean) && Number.isFinite(numbers[at + BASE]) && (numbers[at + COUNT] as number) > 0 && isFollowed
  )
}
