import assert from 'node:assert/strict'
import { decodeRow, ROW_HEADER, rowLength, type WindowContent } from '@tidemark/shared/window-row'
import { type Summary, summarize } from './summary.ts'

/** Rows of one slab. Slabs are never moved: doubling one array would need the memory of three at its worst moment. */
const SLAB_SHIFT = 8
const SLAB_ROWS = 1 << SLAB_SHIFT

const NEW_KEY: WindowContent = { count: 0, values: [], timestamps: [] }

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

  /** Whether a key's window is in memory; asking counts as a use, which keeps it there longer. */
  has(key: string): boolean {
    const slot = this.#slots.get(key)
    if (slot === undefined) return false
    this.#isUsed[slot] = 1
    return true
  }

  /** The slot of a key whose window is in memory. */
  find(key: string): Slot | undefined {
    return this.#slots.get(key)
  }

  /** Takes a key's window in, as it stands in Redis; null for a key that was never seen. */
  load(key: string, bytes: Uint8Array | null): Slot {
    const decoded = bytes === null ? NEW_KEY : decodeRow(bytes)
    if (decoded === undefined) this.#unreadable++
    const content = decoded ?? NEW_KEY
    const slot = this.#newSlot(key)
    const { slab, start } = this.#locate(slot)
    // A window of another size leaves its newest samples, and the ring starts anew.
    const kept = Math.min(content.values.length, this.#capacity)
    const skipped = content.values.length - kept
    slab[start] = content.count
    slab[start + 1] = kept
    for (let i = 0; i < kept; i++) {
      slab[start + ROW_HEADER + 2 * i] = content.values[skipped + i] as number
      slab[start + ROW_HEADER + 2 * i + 1] = content.timestamps[skipped + i] as number
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
    summarize(slab, start, isFull ? this.#capacity : pushed, isFull ? pushed % this.#capacity : 0, summary)
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

  /** The row's own bytes: they change with the next push. */
  row(slot: Slot): Uint8Array {
    const { slab, start } = this.#locate(slot)
    return new Uint8Array(slab.buffer, start * 8, (ROW_HEADER + 2 * this.size(slot)) * 8)
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
