import { createRow, PUSHED } from '../detection/key-row.ts'
import { decodeWindow, fillRow, type StoredWindow } from '../detection/window-row.ts'
import { type Bucket, START } from './bucket.ts'
import { addPending, marksIn, pendingIn } from './following.ts'
import { firstTogether, LEVELS, placeOf, type RingName } from './levels.ts'
import {
  areOpenBuckets,
  baseOf,
  hasRing,
  OPEN_BUCKETS_LENGTH,
  type OpenBuckets,
  openBucket,
  placeIn,
  waitingRecords,
} from './open-buckets.ts'
import { RECORD_BYTES, readRecord } from './record.ts'
import { RingWrites, writeTo } from './rings.ts'

/** What the store has of a key's aggregates. */
export interface StoredAggregates {
  /** The open buckets (open-buckets.ts). */
  readonly open: Uint8Array
  readonly rings: Readonly<Record<RingName, Uint8Array>>
  /** The key's window, which has newer samples. */
  readonly window: StoredWindow | null
}

/** The buckets of one level that have samples, oldest first. The last one is still open. */
export interface LevelBuckets {
  readonly stepMs: number
  readonly buckets: readonly Bucket[]
}

/** Returns the numbers of open-buckets.ts; undefined if another program wrote what is stored. */
export function decodeOpenBuckets(open: Uint8Array): Float64Array | undefined {
  if (open.byteLength !== 8 * OPEN_BUCKETS_LENGTH) return undefined
  const numbers = new Float64Array(OPEN_BUCKETS_LENGTH)
  new Uint8Array(numbers.buffer).set(open)
  return areOpenBuckets({ numbers, at: 0 }) ? numbers : undefined
}

/** Returns the aggregates of a key, finest level first; undefined if they cannot be read. */
export function decodeAggregates(stored: StoredAggregates): LevelBuckets[] | undefined {
  const numbers = decodeOpenBuckets(stored.open)
  if (numbers === undefined) return undefined
  const at = { numbers, words: new Uint32Array(numbers.buffer), at: 0 }
  const rings = stored.window === null ? stored.rings : follow(at, stored.window, stored.rings)
  const base = baseOf(at)
  return LEVELS.map((level, i) => {
    const { stepMs, kept } = level
    const ring = rings[level.ring]
    const open = (numbers[placeIn(i) + START] as number) / stepMs
    const start = (number: number) => ({ base, start: number * stepMs })
    const ringEnd = firstTogether(open, level)
    const buckets: (Bucket | null)[] = []
    for (let number = open - kept + 1; hasRing(at, i) && number < ringEnd; number++) {
      const offset = (level.at + placeOf(number, level)) * RECORD_BYTES
      if (offset + RECORD_BYTES <= ring.byteLength) buckets.push(readRecord(ring, offset, start(number)))
    }
    for (let number = ringEnd; number < open; number++) {
      buckets.push(readRecord(waitingRecords(at, i), (number - ringEnd) * RECORD_BYTES, start(number)))
    }
    const last = openBucket(at, i)
    return { stepMs, buckets: [...buckets, last].filter(bucket => bucket !== null) }
  })
}

/** Adds the samples that the window has since; returns the rings with the buckets that close. */
function follow(at: OpenBuckets, window: StoredWindow, rings: StoredAggregates['rings']): StoredAggregates['rings'] {
  const content = decodeWindow({ row: window.row, tail: window.tail })
  if (content === undefined) return rings
  const row = createRow(content.shape)
  fillRow(row, content)
  const pushed = row.rows[row.start + PUSHED] as number
  const closed = new RingWrites()
  addPending(at, row, { from: pushed - (pendingIn(at, row) ?? 0), to: pushed, marks: marksIn(row) }, closed)
  const written = { hours: rings.hours, days: rings.days }
  for (const write of closed.writes) written[write.ring] = writeTo(written[write.ring], write)
  return written
}
