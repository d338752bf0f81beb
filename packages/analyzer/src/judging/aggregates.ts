import { addSample, COUNT, START } from '@tidemark/shared/aggregates/bucket'
import { LEVELS, type Level } from '@tidemark/shared/aggregates/levels'
import {
  addToBuckets,
  baseOf,
  type ClosedBuckets,
  OPEN_BUCKETS_LENGTH,
  OPEN_LENGTH,
  type OpenBuckets,
  placeIn,
} from '@tidemark/shared/aggregates/open-buckets'
import { decodeOpenBuckets, type StoredOpenBuckets } from '@tidemark/shared/aggregates/reading'
import { ClosedRecords } from '@tidemark/shared/aggregates/rings'
import { type AggregateUpdates, restField } from '@tidemark/shared/store/ports/aggregates'
import type { Slot } from './row-memory.ts'

/** log2 of the keys in a block of memory. */
const SHIFT = 8
const MASK = 2 ** SHIFT - 1

/** What the open buckets of a key take in memory. */
export const OPEN_BUCKETS_BYTES = 8 * OPEN_BUCKETS_LENGTH
const OPEN_BYTES = 8 * OPEN_LENGTH

const STEP_MS = LEVELS[0].stepMs

/**
 * The open buckets of one partition's keys, by the slots of their windows, and the records of those
 * that closed since the last update of their key. A commit sends views of this memory.
 */
export class Aggregates implements ClosedBuckets {
  readonly #blocks: Float64Array<ArrayBuffer>[] = []
  /** By slot: of buckets that changed otherwise than by a sample in the finest one. */
  readonly #closed = new Map<Slot, ClosedRecords[]>()
  /** Reused: an object per sample would be garbage at once. */
  readonly #place: OpenBuckets = { numbers: new Float64Array(0), at: 0 }
  readonly #sample = { value: 0, timestamp: 0, time: 0, isFlagged: false }
  #slot: Slot = 0
  #unreadable = 0

  /** Stored buckets that could not be read; their keys started again without any. */
  get unreadableCount(): number {
    return this.#unreadable
  }

  /** Adds a key with its stored buckets. */
  load(slot: Slot, stored: StoredOpenBuckets | null): void {
    while (slot >> SHIFT >= this.#blocks.length) this.#blocks.push(new Float64Array(OPEN_BUCKETS_LENGTH << SHIFT))
    const { numbers, at } = this.#locate(slot)
    const loaded = stored === null ? undefined : decodeOpenBuckets(stored)
    if (stored !== null && loaded === undefined) this.#unreadable++
    if (loaded === undefined) numbers.fill(0, at, at + OPEN_BUCKETS_LENGTH)
    else numbers.set(loaded, at)
    this.#closed.delete(slot)
  }

  clear(): void {
    this.#blocks.length = 0
    this.#closed.clear()
  }

  /** Adds an analysed sample. `time` is when it arrived, `timestamp` when it was measured. */
  add(slot: Slot, value: number, isFlagged: boolean, timestamp: number, time: number): void {
    const numbers = this.#blocks[slot >> SHIFT] as Float64Array
    const at = (slot & MASK) * OPEN_BUCKETS_LENGTH
    const since = timestamp - (numbers[at + START] as number)
    if (since >= 0 && since < STEP_MS && numbers[at + COUNT] !== 0) {
      addSample(numbers, at, value, isFlagged)
      return
    }
    this.#slot = slot
    if (!this.#closed.has(slot)) this.#closed.set(slot, [])
    const sample = this.#sample
    sample.value = value
    sample.timestamp = timestamp
    sample.time = time
    sample.isFlagged = isFlagged
    addToBuckets(this.#locate(slot), sample, this)
  }

  close(level: number, { number, next, isFirst }: { number: number; next: number; isFirst: boolean }): void {
    const { numbers, at } = this.#place
    // The first one replaces the whole ring, whatever is there.
    const records = this.#recordsFrom(level, isFirst ? number - levelOf(level).kept + 1 : number)
    records.addEmpty(number - records.next)
    records.add(numbers, at + placeIn(level), baseOf(this.#place))
    records.addEmpty(next - records.next)
  }

  erase(level: number, { number, next }: { readonly number: number; readonly next: number }): void {
    this.#recordsFrom(level, number).addEmpty(next - number)
  }

  /** Adds what must be stored of a key's buckets to `updates`. From then on it counts as stored. */
  update(slot: Slot, key: string, updates: AggregateUpdates): void {
    const { buffer } = this.#blocks[slot >> SHIFT] as Float64Array<ArrayBuffer>
    const at = (slot & MASK) * OPEN_BUCKETS_BYTES
    updates.states.push({ field: key, bytes: new Uint8Array(buffer, at, OPEN_BYTES) })
    const closed = this.#closed.get(slot)
    if (closed === undefined) return
    this.#closed.delete(slot)
    const rest = new Uint8Array(buffer, at + OPEN_BYTES, OPEN_BUCKETS_BYTES - OPEN_BYTES)
    updates.states.push({ field: restField(key), bytes: rest })
    for (const records of closed) for (const write of records.writes) updates.writes.push({ key, ...write })
  }

  /** Returns the records of a level that go on with this number. */
  #recordsFrom(level: number, number: number): ClosedRecords {
    const closed = this.#closed.get(this.#slot) ?? []
    const before = closed.findLast(records => records.level === levelOf(level))
    if (before?.next === number) return before
    const records = new ClosedRecords(levelOf(level), number)
    closed.push(records)
    return records
  }

  #locate(slot: Slot): OpenBuckets {
    this.#place.numbers = this.#blocks[slot >> SHIFT] as Float64Array
    this.#place.at = (slot & MASK) * OPEN_BUCKETS_LENGTH
    return this.#place
  }
}

function levelOf(level: number): Level {
  return LEVELS[level] as Level
}
