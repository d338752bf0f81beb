import { type Bucket, START } from './bucket.ts'
import { LEVELS, placeOf, type RingName } from './levels.ts'
import {
  areOpenBuckets,
  baseOf,
  hasRing,
  OPEN_BUCKETS_LENGTH,
  OPEN_LENGTH,
  openBucket,
  PER_MINUTE,
  placeIn,
  REST_LENGTH,
  recordsOfMinute,
} from './open-buckets.ts'
import { RECORD_BYTES, readRecord } from './record.ts'

/** The open buckets of a key, as they are stored: the two parts of open-buckets.ts. */
export interface StoredOpenBuckets {
  readonly open: Uint8Array
  readonly rest: Uint8Array
}

export interface StoredAggregates extends StoredOpenBuckets {
  readonly rings: Readonly<Record<RingName, Uint8Array>>
}

/** The buckets of one level that have samples, oldest first. The last one is still open. */
export interface LevelBuckets {
  readonly stepMs: number
  readonly buckets: readonly Bucket[]
}

/** Returns the numbers of open-buckets.ts; undefined if another program wrote what is stored. */
export function decodeOpenBuckets({ open, rest }: StoredOpenBuckets): Float64Array | undefined {
  if (open.byteLength !== 8 * OPEN_LENGTH || rest.byteLength !== 8 * REST_LENGTH) return undefined
  const numbers = new Float64Array(OPEN_BUCKETS_LENGTH)
  const bytes = new Uint8Array(numbers.buffer)
  bytes.set(open)
  bytes.set(rest, open.byteLength)
  return areOpenBuckets({ numbers, at: 0 }) ? numbers : undefined
}

/** Returns the aggregates of a key, finest level first; undefined if they cannot be read. */
export function decodeAggregates(stored: StoredAggregates): LevelBuckets[] | undefined {
  const numbers = decodeOpenBuckets(stored)
  if (numbers === undefined) return undefined
  const at = { numbers, at: 0 }
  const base = baseOf(at)
  return LEVELS.map((level, i) => {
    const { stepMs, kept } = level
    const ring = stored.rings[level.ring]
    const open = (numbers[placeIn(i) + START] as number) / stepMs
    const start = (number: number) => ({ base, start: number * stepMs })
    // The buckets of 10 s of this minute are not in the ring yet.
    const ringEnd = i === 0 ? open - placeOf(open, { kept: PER_MINUTE }) : open
    const buckets: (Bucket | null)[] = []
    for (let number = open - kept + 1; hasRing(at, i) && number < ringEnd; number++) {
      const offset = (level.at + placeOf(number, level)) * RECORD_BYTES
      if (offset + RECORD_BYTES <= ring.byteLength) buckets.push(readRecord(ring, offset, start(number)))
    }
    for (let number = ringEnd; number < open; number++) {
      buckets.push(readRecord(recordsOfMinute(at), (number - ringEnd) * RECORD_BYTES, start(number)))
    }
    const last = openBucket(at, i)
    return { stepMs, buckets: [...buckets, last].filter(bucket => bucket !== null) }
  })
}
