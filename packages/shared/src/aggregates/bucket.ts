/** What is known of the samples in an interval. */
export interface Bucket {
  /** When it begins: Unix milliseconds. */
  readonly start: number
  readonly count: number
  /** Null where the numbers are too large: see record.ts. */
  readonly mean: number | null
  /** Population deviation. */
  readonly deviation: number | null
  readonly min: number | null
  readonly max: number | null
  /** Samples that were flagged. */
  readonly anomalies: number
}

/** Offsets of a bucket that is still filled. `SQUARES`: of the distances from the mean. */
export const START = 0
export const COUNT = 1
export const MEAN = 2
export const SQUARES = 3
export const MIN = 4
export const MAX = 5
export const ANOMALIES = 6
export const BUCKET_LENGTH = 7

/** Adds a sample to the bucket at `at`. */
export function addSample(numbers: Float64Array, at: number, value: number, isFlagged: boolean): void {
  const count = (numbers[at + COUNT] as number) + 1
  numbers[at + COUNT] = count
  if (isFlagged) numbers[at + ANOMALIES] = (numbers[at + ANOMALIES] as number) + 1
  if (count === 1) {
    numbers[at + MEAN] = numbers[at + MIN] = numbers[at + MAX] = value
    return
  }
  const mean = numbers[at + MEAN] as number
  const distance = value - mean
  const next = Number.isFinite(distance) ? mean + distance / count : mean - mean / count + value / count
  numbers[at + MEAN] = next
  numbers[at + SQUARES] = (numbers[at + SQUARES] as number) + distance * (value - next)
  if (value < (numbers[at + MIN] as number)) numbers[at + MIN] = value
  else if (value > (numbers[at + MAX] as number)) numbers[at + MAX] = value
}

/** Adds the samples of the bucket at `from` to that at `at`, which keeps its start. */
export function addBucket(numbers: Float64Array, at: number, from: number): void {
  const added = numbers[from + COUNT] as number
  if (added === 0) return
  const before = numbers[at + COUNT] as number
  if (before === 0) {
    numbers.copyWithin(at + COUNT, from + COUNT, from + BUCKET_LENGTH)
    return
  }
  const count = before + added
  const mean = numbers[at + MEAN] as number
  const other = numbers[from + MEAN] as number
  const distance = other - mean
  const share = added / count
  numbers[at + COUNT] = count
  numbers[at + MEAN] = Number.isFinite(distance) ? mean + distance * share : mean * (before / count) + other * share
  const squares = (numbers[at + SQUARES] as number) + (numbers[from + SQUARES] as number)
  numbers[at + SQUARES] = squares + distance * (distance * (before * share))
  numbers[at + MIN] = Math.min(numbers[at + MIN] as number, numbers[from + MIN] as number)
  numbers[at + MAX] = Math.max(numbers[at + MAX] as number, numbers[from + MAX] as number)
  numbers[at + ANOMALIES] = (numbers[at + ANOMALIES] as number) + (numbers[from + ANOMALIES] as number)
}

/** Empties the bucket at `at` and lets it begin at `start`. */
export function clearBucket(numbers: Float64Array, at: number, start: number): void {
  numbers.fill(0, at, at + BUCKET_LENGTH)
  numbers[at + START] = start
}

/** Returns the bucket at `at`. */
export function readBucket(numbers: Float64Array, at: number): Bucket {
  const count = numbers[at + COUNT] as number
  const deviation = Math.sqrt((numbers[at + SQUARES] as number) / count)
  return {
    start: numbers[at + START] as number,
    count,
    mean: numbers[at + MEAN] as number,
    deviation: Number.isFinite(deviation) ? deviation : null,
    min: numbers[at + MIN] as number,
    max: numbers[at + MAX] as number,
    anomalies: numbers[at + ANOMALIES] as number,
  }
}

/** Returns one bucket with the samples of several, which must not be empty. */
export function joinBuckets(buckets: readonly Bucket[], start: number): Bucket {
  const numbers = new Float64Array(2 * BUCKET_LENGTH)
  let isKnown = true
  for (const { count, mean, deviation, min, max, anomalies } of buckets) {
    if (mean === null || min === null || max === null) isKnown = false
    const squares = deviation === null ? Number.POSITIVE_INFINITY : deviation * deviation * count
    numbers.set([0, count, mean ?? 0, squares, min ?? 0, max ?? 0, anomalies], BUCKET_LENGTH)
    addBucket(numbers, 0, BUCKET_LENGTH)
  }
  numbers[START] = start
  const joined = readBucket(numbers, 0)
  return isKnown ? joined : { ...joined, mean: null, deviation: null, min: null, max: null }
}
