import { COUNT as IN_BUCKET, START } from '@tidemark/shared/aggregates/bucket'
import {
  addMark,
  addPending,
  markFollowed,
  marksIn,
  pendingIn,
  pendingMax,
  writeMarks,
} from '@tidemark/shared/aggregates/following'
import {
  addToBuckets,
  type ClosedBuckets,
  createOpenBuckets,
  OPEN_BUCKETS_LENGTH,
  type OpenBuckets,
  PUSHED_THEN,
} from '@tidemark/shared/aggregates/open-buckets'
import { decodeOpenBuckets } from '@tidemark/shared/aggregates/reading'
import { RingWrites } from '@tidemark/shared/aggregates/rings'
import type { Judged } from '@tidemark/shared/detection/judge'
import { COUNT, type KeyRow, PUSHED } from '@tidemark/shared/detection/key-row'
import type { AggregateUpdates } from '@tidemark/shared/store/ports/aggregates'
import type { Slot } from './row-memory.ts'

/** log2 of the keys in a block of memory. */
const SHIFT = 8
const MASK = 2 ** SHIFT - 1

/** What the open buckets of a key take in memory. */
export const OPEN_BUCKETS_BYTES = 8 * OPEN_BUCKETS_LENGTH

/** The buckets of a key changed since they were stored. */
const CHANGED = 1
/** The next sample cannot wait: there are no buckets yet, or they are ahead of the window. */
const CANNOT_WAIT = 2

/**
 * The open buckets of one partition's keys, by the slots of their windows, and the records of those
 * that closed since the last update of their key. They follow the windows (following.ts). A commit
 * sends views of this memory.
 */
export class Aggregates implements ClosedBuckets {
  readonly #blocks: OpenBuckets[] = []
  /** By slot: the samples up to the newest one in the buckets, and which of the above holds. */
  #followed = new Float64Array(2 ** SHIFT)
  #states = new Uint8Array(2 ** SHIFT)
  /** By slot: which of the samples that wait were flagged (following.ts). */
  #marks = new Float64Array(2 ** SHIFT)
  readonly #closed = new Map<Slot, RingWrites>()
  /** Reused: an object per sample would be garbage at once. */
  readonly #sample = { value: 0, timestamp: 0, time: 0, isFlagged: false }
  /** The key that is being changed. */
  #slot: Slot = 0
  #unreadable = 0

  /** Stored buckets that could not be read; their keys started again without any. */
  get unreadableCount(): number {
    return this.#unreadable
  }

  /** Adds a key, whose window is loaded, with its stored buckets. */
  load(slot: Slot, row: KeyRow, stored: Uint8Array | null): void {
    while (slot >> SHIFT >= this.#blocks.length) this.#grow()
    const place = this.#locate(slot)
    const loaded = stored === null ? undefined : decodeOpenBuckets(stored)
    if (stored !== null && loaded === undefined) this.#unreadable++
    if (loaded === undefined) place.numbers.fill(0, place.at, place.at + OPEN_BUCKETS_LENGTH)
    else place.numbers.set(loaded, place.at)
    this.#closed.delete(slot)
    const pending = loaded === undefined ? undefined : pendingIn(place, row)
    this.#followed[slot] = (row.rows[row.start + COUNT] as number) - (pending ?? 0)
    this.#states[slot] = loaded === undefined || (pending === 0 && isAhead(place, row)) ? CANNOT_WAIT : 0
    this.#marks[slot] = (pending ?? 0) > 0 ? marksIn(row) : 0
    if (loaded !== undefined && pending === undefined) this.rebase(slot, row)
  }

  clear(): void {
    this.#blocks.length = 0
    this.#closed.clear()
  }

  /** Adds an analysed sample, after its row was updated. `time` is when it arrived. */
  follow(slot: Slot, row: KeyRow, judged: Judged, value: number, timestamp: number, time: number): void {
    const { rows, start, shape } = row
    const pushed = rows[start + PUSHED] as number
    // The same as having joined the window after a sample that is not newer.
    if (
      judged.order === 'in_order' &&
      pushed > 1 &&
      timestamp >= (rows[start + shape.timesAt + ((pushed - 2) % shape.capacity)] as number) &&
      ((this.#states[slot] as number) & CANNOT_WAIT) === 0 &&
      (!judged.isFlagged || this.#mark(slot, judged.count, pushed))
    ) {
      const pending = judged.count - (this.#followed[slot] as number)
      if (pending >= pendingMax(shape)) this.catchUp(slot, row)
      return
    }
    this.#add(slot, row, judged, value, timestamp, time)
  }

  /** Adds the samples of a key's window that are not in its buckets yet. */
  catchUp(slot: Slot, row: KeyRow): void {
    const { rows, start } = row
    const pending = (rows[start + COUNT] as number) - (this.#followed[slot] as number)
    if (pending === 0) return
    const place = this.#locate(slot)
    if (place.numbers[place.at + IN_BUCKET] === 0) return
    const pushed = rows[start + PUSHED] as number
    this.#slot = slot
    addPending(place, row, { from: pushed - pending, to: pushed, marks: this.#marks[slot] as number }, this)
    this.#markFollowed(slot, place, row)
    this.#states[slot] = CHANGED
  }

  /** The key's window began again or changed its shape, after `catchUp`. */
  rebase(slot: Slot, row: KeyRow): void {
    const place = this.#locate(slot)
    if (place.numbers[place.at + IN_BUCKET] === 0) return
    this.#markFollowed(slot, place, row)
    this.#states[slot] = CHANGED | (isAhead(place, row) ? CANNOT_WAIT : 0)
  }

  /** Writes to the key's row what its samples need that wait in it. Before the row is stored. */
  completeRow(slot: Slot, row: KeyRow): void {
    if (!writeMarks(row, this.#marks[slot] as number)) this.catchUp(slot, row)
  }

  close(place: OpenBuckets, level: number, number: number, next: number, isFirst: boolean): void {
    this.#writes.close(place, level, number, next, isFirst)
  }

  closeTogether(words: Uint32Array, level: number, number: number, next: number, isFirst: boolean): void {
    this.#writes.closeTogether(words, level, number, next, isFirst)
  }

  erase(level: number, number: number, next: number): void {
    this.#writes.erase(level, number, next)
  }

  /** Adds what must be stored of a key's buckets to `updates`. From then on it counts as stored. */
  update(slot: Slot, key: string, updates: AggregateUpdates): void {
    const state = this.#states[slot] as number
    if ((state & CHANGED) === 0) return
    this.#states[slot] = state & ~CHANGED
    const { numbers, at } = this.#locate(slot)
    updates.states.push({ key, bytes: new Uint8Array(numbers.buffer, 8 * at, OPEN_BUCKETS_BYTES) })
    const closed = this.#closed.get(slot)
    if (closed === undefined) return
    this.#closed.delete(slot)
    for (const write of closed.writes) updates.writes.push({ key, ...write })
  }

  #add(slot: Slot, row: KeyRow, judged: Judged, value: number, timestamp: number, time: number): void {
    const place = this.#locate(slot)
    const pending = judged.count - 1 - (this.#followed[slot] as number)
    this.#slot = slot
    if (pending > 0) {
      // This sample may have joined the window after those that wait.
      const from = place.numbers[place.at + PUSHED_THEN] as number
      addPending(place, row, { from, to: from + pending, marks: this.#marks[slot] as number }, this)
    }
    const sample = this.#sample
    sample.value = value
    sample.timestamp = timestamp
    sample.time = time
    sample.isFlagged = judged.isFlagged
    addToBuckets(place, sample, this)
    this.#markFollowed(slot, place, row)
    this.#states[slot] = CHANGED | (isAhead(place, row) ? CANNOT_WAIT : 0)
  }

  #markFollowed(slot: Slot, place: OpenBuckets, row: KeyRow): void {
    markFollowed(place, row)
    this.#followed[slot] = row.rows[row.start + COUNT] as number
    this.#marks[slot] = 0
  }

  /** Marks the newest sample as flagged; false if a rule kept it out of the window. */
  #mark(slot: Slot, count: number, pushed: number): boolean {
    const { numbers, at } = this.#locate(slot)
    if (pushed - (numbers[at + PUSHED_THEN] as number) !== count - (this.#followed[slot] as number)) return false
    this.#marks[slot] = addMark(this.#marks[slot] as number, pushed - 1)
    return true
  }

  get #writes(): RingWrites {
    const writes = this.#closed.get(this.#slot) ?? new RingWrites()
    this.#closed.set(this.#slot, writes)
    return writes
  }

  #grow(): void {
    this.#blocks.push(createOpenBuckets(2 ** SHIFT))
    const length = this.#blocks.length << SHIFT
    if (length <= this.#states.length) return
    const [followed, states, marks] = [this.#followed, this.#states, this.#marks]
    this.#followed = new Float64Array(2 * length)
    this.#states = new Uint8Array(2 * length)
    this.#marks = new Float64Array(2 * length)
    this.#marks.set(marks)
    this.#followed.set(followed)
    this.#states.set(states)
  }

  #locate(slot: Slot): OpenBuckets {
    const block = this.#blocks[slot >> SHIFT] as OpenBuckets
    block.at = (slot & MASK) * OPEN_BUCKETS_LENGTH
    return block
  }
}

/** Whether the open bucket begins after the newest sample of the window. */
function isAhead({ numbers, at }: OpenBuckets, { rows, start, shape }: KeyRow): boolean {
  const pushed = rows[start + PUSHED] as number
  if (pushed === 0) return true
  return (numbers[at + START] as number) > (rows[start + shape.timesAt + ((pushed - 1) % shape.capacity)] as number)
}
