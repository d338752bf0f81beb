import { addSample, COUNT, START } from '@tidemark/shared/aggregates/bucket'
import { LEVELS, type Level } from '@tidemark/shared/aggregates/levels'
import {
  addToBuckets,
  baseOf,
  type ClosedBuckets,
  createOpenBuckets,
  OPEN_BUCKETS_LENGTH,
  OPEN_LENGTH,
  type OpenBuckets,
  PER_MINUTE,
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
  readonly #blocks: OpenBuckets[] = []
  /** By block and key: whether more than the finest bucket changed since the last update. */
  readonly #changed: Uint8Array[] = []
  readonly #closed = new Map<Slot, ClosedRecords[]>()
  /** Reused: an object per sample would be garbage at once. */
  readonly #sample = { value: 0, timestamp: 0, time: 0, isFlagged: false }
  /** Of the key that is being changed. */
  #slot: Slot = 0
  #place: OpenBuckets = createOpenBuckets(0)
  #unreadable = 0

  /** Stored buckets that could not be read; their keys started again without any. */
  get unreadableCount(): number {
    return this.#unreadable
  }

  /** Adds a key with its stored buckets. */
  load(slot: Slot, stored: StoredOpenBuckets | null): void {
    while (slot >> SHIFT >= this.#blocks.length) {
      this.#blocks.push(createOpenBuckets(2 ** SHIFT))
      this.#changed.push(new Uint8Array(2 ** SHIFT))
    }
    const { numbers, at } = this.#locate(slot)
    const loaded = stored === null ? undefined : decodeOpenBuckets(stored)
    if (stored !== null && loaded === undefined) this.#unreadable++
    if (loaded === undefined) numbers.fill(0, at, at + OPEN_BUCKETS_LENGTH)
    else numbers.set(loaded, at)
    this.#mark(slot, 0)
    this.#closed.delete(slot)
  }

  clear(): void {
    this.#blocks.length = 0
    this.#changed.length = 0
    this.#closed.clear()
  }

  /** Adds an analysed sample. `time` is when it arrived, `timestamp` when it was measured. */
  add(slot: Slot, value: number, isFlagged: boolean, timestamp: number, time: number): void {
    const { numbers } = this.#blocks[slot >> SHIFT] as OpenBuckets
    const at = (slot & MASK) * OPEN_BUCKETS_LENGTH
    const since = timestamp - (numbers[at + START] as number)
    if (since >= 0 && since < STEP_MS && numbers[at + COUNT] !== 0) {
      addSample(numbers, at, value, isFlagged)
      return
    }
    this.#slot = slot
    this.#place = this.#locate(slot)
    this.#mark(slot, 1)
    const sample = this.#sample
    sample.value = value
    sample.timestamp = timestamp
    sample.time = time
    sample.isFlagged = isFlagged
    addToBuckets(this.#place, sample, this)
  }

  close(level: number, number: number, next: number, isFirst: boolean): void {
    const { numbers, at } = this.#place
    const records = this.#recordsFrom(level, number, isFirst ? number + 1 - levelOf(level).kept : number)
    records.add(numbers, at + placeIn(level), baseOf(this.#place))
    records.addEmpty(next - records.next)
  }

  closeMinute(words: Uint32Array, number: number, next: number, isFirst: boolean): void {
    const records = this.#recordsFrom(0, number, isFirst ? number + PER_MINUTE - levelOf(0).kept : number)
    records.addWords(words)
    records.addEmpty(next - records.next)
  }

  erase(level: number, number: number, next: number): void {
    this.#recordsFrom(level, number, number).addEmpty(next - number)
  }

  /** Adds what must be stored of a key's buckets to `updates`. From then on it counts as stored. */
  update(slot: Slot, key: string, updates: AggregateUpdates): void {
    const { buffer } = (this.#blocks[slot >> SHIFT] as OpenBuckets).numbers
    const at = (slot & MASK) * OPEN_BUCKETS_BYTES
    updates.states.push({ field: key, bytes: new Uint8Array(buffer, at, OPEN_BYTES) })
    if (this.#changed[slot >> SHIFT]?.[slot & MASK] === 0) return
    this.#mark(slot, 0)
    const rest = new Uint8Array(buffer, at + OPEN_BYTES, OPEN_BUCKETS_BYTES - OPEN_BYTES)
    updates.states.push({ field: restField(key), bytes: rest })
    const closed = this.#closed.get(slot)
    if (closed === undefined) return
    this.#closed.delete(slot)
    for (const records of closed) for (const write of records.writes) updates.writes.push({ key, ...write })
  }

  /** Returns the records of a level that go on with `number`. New ones have none before it. */
  #recordsFrom(level: number, number: number, first: number): ClosedRecords {
    const closed = this.#closed.get(this.#slot) ?? []
    if (closed.length === 0) this.#closed.set(this.#slot, closed)
    const before = closed.findLast(records => records.level === levelOf(level))
    if (before?.next === number) return before
    const records = new ClosedRecords(levelOf(level), first)
    // The first one replaces the whole ring, whatever is there.
    records.addEmpty(number - first)
    closed.push(records)
    return records
  }

  #mark(slot: Slot, changed: 0 | 1): void {
    const ofBlock = this.#changed[slot >> SHIFT] as Uint8Array
    ofBlock[slot & MASK] = changed
  }

  #locate(slot: Slot): OpenBuckets {
    const block = this.#blocks[slot >> SHIFT] as OpenBuckets
    block.at = (slot & MASK) * OPEN_BUCKETS_LENGTH
    return block
  }
}

function levelOf(level: number): Level {
  return LEVELS[level] as Level
}
