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
import { firstTogether, LEVELS, type Level } from './levels.ts'
import { RECORD_BYTES, RECORD_WORDS, writeRecord } from './record.ts'

/**
 * The buckets of a key that are not in its rings yet, as float64s in memory of the caller:
 *
 *     bucket of 10 s, first value, rings, records of 10 s and of 1 min that wait for others,
 *     buckets of 1 min and of 15 min,
 *     samples and values up to the newest one in them (COUNT and PUSHED of key-row.ts)
 *
 * A sample is added to the finest bucket only, which is added to the next one when it closes.
 * `rings`: a bit for each level of which records were written.
 */
const BASE = BUCKET_LENGTH
const RINGS = BASE + 1
const RECORDS = RINGS + 1
/** By level: where the records that wait are, and behind the last of them. */
const RECORDS_AT = [RECORDS]
for (const { together } of LEVELS) {
  const records = together === 1 ? 0 : together
  RECORDS_AT.push((RECORDS_AT.at(-1) as number) + (records * RECORD_BYTES) / 8)
}
const COARSE = RECORDS_AT[LEVELS.length] as number
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
  /** The bucket `number` of a level closes, and the next to be filled is `next`. */
  close(place: OpenBuckets, level: number, number: number, next: number, isFirst: boolean): void
  /** The same for records that waited for each other, the first of which is `number`. */
  closeTogether(records: Uint32Array, level: number, number: number, next: number, isFirst: boolean): void
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

function advance(open: OpenBuckets, timestamp: number, closed: ClosedBuckets): void {
  for (let level = 0; level < LEVELS.length; level++) {
    if (!closeBucket(open, level, timestamp, closed)) return
  }
}

/** False if the bucket of the level goes on. */
function closeBucket(open: OpenBuckets, level: number, timestamp: number, closed: ClosedBuckets): boolean {
  const { numbers, at } = open
  const { stepMs, together } = LEVELS[level] as Level
  const place = at + placeIn(level)
  const number = (numbers[place + START] as number) / stepMs
  const next = Math.floor(timestamp / stepMs)
  if (next === number) return false
  if (together === 1) closed.close(open, level, number, next, markRing(numbers, at, level))
  else addRecord(open, level, [number, next], closed)
  if (level + 1 < LEVELS.length) addBucket(numbers, at + placeIn(level + 1), place)
  clearBucket(numbers, place, next * stepMs)
  return true
}

/** Adds the record of a bucket that closes to those that wait, which may be complete with it. */
function addRecord(
  open: OpenBuckets,
  level: number,
  [number, next]: readonly [number, number],
  closed: ClosedBuckets,
): void {
  const { numbers, words, at } = open
  const bounds = LEVELS[level] as Level
  const first = firstTogether(number, bounds)
  const records = 2 * (at + (RECORDS_AT[level] as number))
  const record = records + (number - first) * RECORD_WORDS
  writeRecord(numbers, at + placeIn(level), numbers[at + BASE] as number, words, record)
  const nextFirst = firstTogether(next, bounds)
  if (nextFirst === first) return
  const all = words.subarray(records, records + bounds.together * RECORD_WORDS)
  closed.closeTogether(all, level, first, nextFirst, markRing(numbers, at, level))
  all.fill(0)
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
  for (const [level, bounds] of LEVELS.entries()) {
    const place = at + placeIn(level)
    const number = Math.floor(timestamp / bounds.stepMs)
    const open = (numbers[place + START] as number) / bounds.stepMs
    if (number >= open) return
    const [first, openFirst] = [firstTogether(number, bounds), firstTogether(open, bounds)]
    if (first < openFirst && hasRing({ numbers, at }, level)) closed.erase(level, first, openFirst)
    numbers.fill(0, at + (RECORDS_AT[level] as number), at + (RECORDS_AT[level + 1] as number))
    clearBucket(numbers, place, number * bounds.stepMs)
  }
}

/** Returns the records of a level that are not in their ring yet, as bytes. */
export function waitingRecords({ numbers, at }: Place, level: number): Uint8Array {
  const [begin, end] = [RECORDS_AT[level] as number, RECORDS_AT[level + 1] as number]
  return new Uint8Array(numbers.buffer, numbers.byteOffset + 8 * (at + begin), 8 * (end - begin))
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
