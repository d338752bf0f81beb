import assert from 'node:assert/strict'
import type { History } from '@tidemark/shared/detection/detector'
import { type Summary, summarize } from '@tidemark/shared/detection/detectors/summary'
import type { WindowUpdate } from '@tidemark/shared/store/ports'
import { decodeWindow, ROW_HEADER, rowLength, type StoredWindow, type WindowContent } from '@tidemark/shared/window-row'

/** Rows of one slab. Slabs are never moved: doubling one array would need the memory of three at its worst moment. */
const SLAB_SHIFT = 8
const SLAB_ROWS = 1 << SLAB_SHIFT

/**
 * Samples of a tail. A longer one costs more each time it is written, a shorter one makes rows, of 50 samples, more frequent:
 * with one sample of a key in each commit 12 and 20 cost as much.
 */
const TAIL_MAX = 16

/** Float64s of the arrays that tails are cut from: an array for each tail costs four times as much. */
const TAILS_LENGTH = 8192

/** Of a key whose row in the store is not the ring that is in memory. */
const NO_ROW = -1

const NEW_KEY: WindowContent = { count: 0, pushed: 0, rowPushed: NO_ROW, values: [], timestamps: [] }

/** Where a key's window stands in memory. Valid until the next `evict`. */
export type Slot = number

export interface WindowsOptions {
  /** Samples in a full window. */
  readonly capacity: number
  /** Windows that `evict` leaves. */
  readonly keysMax: number
}

/**
 * The windows of one partition: rows as window-row.ts lays them out, in slabs of float64s, so that a key costs its row and
 * a map entry (about 0.9 KiB with a window of 50), and what goes to Redis is the row's own bytes.
 *
 * A cache of Redis, bounded by second chance: each use after the first marks a row, and the hand takes the first row that
 * was not used since it came by. Keys that are seen once therefore push out each other, not the busy ones.
 */
export class Windows {
  readonly #capacity: number
  readonly #keysMax: number
  readonly #rowLength: number
  readonly #slots = new Map<string, Slot>()
  readonly #keys: (string | undefined)[] = []
  readonly #slabs: Float64Array[] = []
  readonly #free: Slot[] = []
  #isUsed = new Uint8Array(SLAB_ROWS)
  /** Of each slot how many values had been put into the window when its row was last written; NO_ROW: write one. */
  #rowPushed = new Float64Array(SLAB_ROWS)
  /** Of each slot the number of the updates that it was last part of. */
  #updatedIn = new Float64Array(SLAB_ROWS)
  #updates = 0
  /** Where tails are put together, one after another; when it is full, another one begins. */
  #tails = new Float64Array(TAILS_LENGTH)
  #tailsUsed = 0
  /** One for all: an object a sample would be garbage at once. */
  readonly #history: History = { rows: new Float64Array(), start: 0, size: 0, head: 0 }
  #hand = 0
  #unreadable = 0

  constructor({ capacity, keysMax }: WindowsOptions) {
    this.#capacity = capacity
    this.#keysMax = keysMax
    this.#rowLength = rowLength(capacity)
  }

  get keyCount(): number {
    return this.#slots.size
  }

  /** Windows that stood in Redis and were not rows; their keys began anew. */
  get unreadableCount(): number {
    return this.#unreadable
  }

  /** The slot of a key whose window is in memory; asking counts as a use, which keeps it there longer. */
  use(key: string): Slot | undefined {
    const slot = this.#slots.get(key)
    if (slot !== undefined) this.#isUsed[slot] = 1
    return slot
  }

  /** Takes a key's window in, as it stands in Redis; null for a key that was never seen. */
  load(key: string, stored: StoredWindow | null): Slot {
    const decoded = stored === null ? NEW_KEY : decodeWindow(stored)
    if (decoded === undefined) this.#unreadable++
    const { count, pushed, rowPushed, values, timestamps } = decoded ?? NEW_KEY
    const slot = this.#newSlot(key)
    const { slab, start } = this.#locate(slot)
    // A window of another size leaves its newest samples, and the ring starts anew.
    const isSameSize = values.length === Math.min(pushed, this.#capacity)
    const kept = Math.min(values.length, this.#capacity)
    const from = isSameSize ? pushed - kept : 0
    slab[start] = count
    slab[start + 1] = from + kept
    this.#rowPushed[slot] = isSameSize ? rowPushed : NO_ROW
    for (let i = 0; i < kept; i++) {
      const at = start + ROW_HEADER + 2 * ((from + i) % this.#capacity)
      slab[at] = values[values.length - kept + i] as number
      slab[at + 1] = timestamps[timestamps.length - kept + i] as number
    }
    return slot
  }

  /** Samples in the window. */
  size(slot: Slot): number {
    const { slab, start } = this.#locate(slot)
    return Math.min(slab[start + 1] as number, this.#capacity)
  }

  /** Samples of the key ever analysed. */
  count(slot: Slot): number {
    const { slab, start } = this.#locate(slot)
    return slab[start] as number
  }

  /** Mean and deviation of a window that is not empty. */
  summarize(slot: Slot, summary: Summary): void {
    const { slab, start } = this.#locate(slot)
    const pushed = slab[start + 1] as number
    const isFull = pushed > this.#capacity
    const history = this.#history
    history.rows = slab
    history.start = start + ROW_HEADER
    history.size = isFull ? this.#capacity : pushed
    history.head = isFull ? pushed % this.#capacity : 0
    summarize(history, summary)
  }

  /** Adds a sample; the oldest leaves a full window. */
  push(slot: Slot, value: number, timestamp: number): void {
    const { slab, start } = this.#locate(slot)
    const pushed = slab[start + 1] as number
    const at = start + ROW_HEADER + 2 * (pushed % this.#capacity)
    slab[at] = value
    slab[at + 1] = timestamp
    slab[start] = (slab[start] as number) + 1
    slab[start + 1] = pushed + 1
  }

  /** From now on every slot has not been updated. */
  beginUpdates(): void {
    this.#updates++
  }

  /** Whether a slot is asked about for the first time since `beginUpdates`. */
  isFirstUpdate(slot: Slot): boolean {
    const isFirst = this.#updatedIn[slot] !== this.#updates
    this.#updatedIn[slot] = this.#updates
    return isFirst
  }

  /**
   * What has to be written so that the store has the window as it is now; taken as written from then on. Of a row these are
   * the slab's own bytes: they change with the next push.
   */
  update(slot: Slot): WindowUpdate {
    const { slab, start } = this.#locate(slot)
    const pushed = slab[start + 1] as number
    const rowPushed = this.#rowPushed[slot] as number
    const added = pushed - rowPushed
    if (rowPushed < this.#capacity || added > Math.min(TAIL_MAX, this.#capacity)) {
      this.#rowPushed[slot] = pushed
      return { kind: 'row', bytes: new Uint8Array(slab.buffer, start * 8, (ROW_HEADER + 2 * this.size(slot)) * 8) }
    }
    const length = ROW_HEADER + 2 * added
    if (this.#tailsUsed + length > TAILS_LENGTH) {
      this.#tails = new Float64Array(TAILS_LENGTH)
      this.#tailsUsed = 0
    }
    const tails = this.#tails
    const tail = this.#tailsUsed
    this.#tailsUsed += length
    tails[tail] = slab[start] as number
    tails[tail + 1] = pushed
    for (let i = 0; i < added; i++) {
      const at = start + ROW_HEADER + 2 * ((rowPushed + i) % this.#capacity)
      tails[tail + ROW_HEADER + 2 * i] = slab[at] as number
      tails[tail + ROW_HEADER + 2 * i + 1] = slab[at + 1] as number
    }
    return { kind: 'tail', bytes: new Uint8Array(tails.buffer, tail * 8, length * 8) }
  }

  /** Forgets windows until no more than `keysMax` are left; they must stand in Redis as they stand here. */
  evict(): void {
    while (this.#slots.size > this.#keysMax) {
      const slot = this.#hand
      this.#hand = (this.#hand + 1) % this.#keys.length
      const key = this.#keys[slot]
      if (key === undefined) continue
      if (this.#isUsed[slot] === 1) this.#isUsed[slot] = 0
      else this.#drop(key, slot)
    }
  }

  /** Forgets everything, because Redis knows better. */
  clear(): void {
    this.#slots.clear()
    this.#keys.length = 0
    this.#slabs.length = 0
    this.#free.length = 0
    this.#isUsed = new Uint8Array(SLAB_ROWS)
    this.#rowPushed = new Float64Array(SLAB_ROWS)
    this.#updatedIn = new Float64Array(SLAB_ROWS)
    this.#hand = 0
  }

  #locate(slot: Slot): { slab: Float64Array; start: number } {
    return { slab: this.#slabs[slot >> SLAB_SHIFT] as Float64Array, start: (slot & (SLAB_ROWS - 1)) * this.#rowLength }
  }

  #newSlot(key: string): Slot {
    assert(!this.#slots.has(key), 'a window is loaded once')
    const slot = this.#free.pop() ?? this.#keys.length
    if (slot === this.#slabs.length * SLAB_ROWS) {
      this.#slabs.push(new Float64Array(SLAB_ROWS * this.#rowLength))
      if (slot >= this.#isUsed.length) {
        const isUsed = new Uint8Array(2 * this.#isUsed.length)
        isUsed.set(this.#isUsed)
        this.#isUsed = isUsed
        this.#rowPushed = grown(this.#rowPushed)
        this.#updatedIn = grown(this.#updatedIn)
      }
    }
    this.#keys[slot] = key
    this.#isUsed[slot] = 0
    this.#slots.set(key, slot)
    return slot
  }

  #drop(key: string, slot: Slot): void {
    this.#slots.delete(key)
    this.#keys[slot] = undefined
    this.#free.push(slot)
  }
}

/** The same numbers in an array of twice the length. */
function grown(numbers: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(2 * numbers.length)
  larger.set(numbers)
  return larger
}
