import assert from 'node:assert/strict'
import {
  copyRow,
  type KeyRow,
  PUSHED,
  type RowShape,
  rowShape,
  shapeFor,
  startDetector,
} from '@tidemark/shared/detection/key-row'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { NO_POLICY, type RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import {
  decodeWindow,
  encodeRow,
  encodeTail,
  fillRow,
  type StoredWindow,
  storedLengthMax,
} from '@tidemark/shared/detection/window-row'
import type { WindowUpdate } from '@tidemark/shared/store/ports/commit'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'

/** Rows of one slab. Slabs are never moved: doubling one array would need the memory of three at its worst moment. */
const SLAB_SHIFT = 8
const SLAB_ROWS = 1 << SLAB_SHIFT

/**
 * Samples of a tail. A longer one costs more each time it is written, a shorter one makes rows, of 50 samples, more frequent:
 * with one sample of a key in each commit 12 and 20 cost as much.
 */
const TAIL_MAX = 16

/** Float64s of the arrays that updates are cut from: an array for each costs four times as much. */
const UPDATES_LENGTH = 8192

/** Of a key whose row in the store is not the one that is in memory, but for what a tail can say. */
const NO_ROW = -1

/** Of a key whose policy is not known yet; versions of rules begin at 0. */
const NO_VERSION = -1

/**
 * What a rule that is tried out knows of a key stands under this and the key: no key begins with a control character, so
 * nothing else does.
 */
export const SHADOW = '\u0001'

/** Of a view that shows no row yet. */
const ANY_SHAPE = rowShape(VERDICT_DEFAULTS.window, 'zscore', false)

/** Where a key's row stands in memory. Valid until the next `evict` or `forget`. */
export type Slot = number

export const NO_SLOT: Slot = -1

export interface WindowsOptions {
  /** Rows that `evict` leaves. */
  readonly keysMax: number
}

/** Rows of one shape. */
interface Pool {
  readonly shape: RowShape
  readonly slabs: Float64Array[]
  readonly free: number[]
  used: number
}

/**
 * What is known of the keys of one partition: rows as key-row.ts lays them out, in slabs of float64s, so that a key costs its
 * row and a map entry (about 1.1 KiB with a window of 50).
 *
 * A cache of Redis, bounded by second chance: each use after the first marks a row, and the hand takes the first row that
 * was not used since it came by. Keys that are seen once therefore push out each other, not the busy ones.
 */
export class Windows {
  readonly #keysMax: number
  readonly #slots = new Map<string, Slot>()
  readonly #keys: (string | undefined)[] = []
  readonly #freeSlots: Slot[] = []
  readonly #pools: Pool[] = []
  readonly #poolOfShape = new Map<RowShape, number>()
  /** Of each slot its pool, and its row there. */
  #pool = new Uint16Array(SLAB_ROWS)
  #row = new Int32Array(SLAB_ROWS)
  /** Of each slot the policies in force and tried out, and the version of the rules that says so. */
  #policy = new Int32Array(SLAB_ROWS)
  #shadow = new Int32Array(SLAB_ROWS)
  #version = new Int32Array(SLAB_ROWS)
  #isUsed = new Uint8Array(SLAB_ROWS)
  /** Of each slot how many values had been put into the window when its row was last written; NO_ROW: write one. */
  #rowPushed = new Float64Array(SLAB_ROWS)
  /** Of each slot the number of the updates that it was last part of. */
  #updatedIn = new Float64Array(SLAB_ROWS)
  #updates = 0
  /** Where updates are put together, one after another; when it is full, another one begins. */
  #encoded = new Float64Array(UPDATES_LENGTH)
  #encodedLength = 0
  /** One for all: an object a sample would be garbage at once. */
  readonly #view: KeyRow = { rows: new Float64Array(), start: 0, shape: ANY_SHAPE }
  readonly #otherView: KeyRow = { rows: new Float64Array(), start: 0, shape: ANY_SHAPE }
  #hand = 0
  #unreadable = 0

  constructor({ keysMax }: WindowsOptions) {
    this.#keysMax = keysMax
  }

  get keyCount(): number {
    return this.#slots.size
  }

  /** Windows that stood in Redis and were not windows; their keys began anew. */
  get unreadableCount(): number {
    return this.#unreadable
  }

  /** The slot of a key that is in memory; asking counts as a use, which keeps it there longer. */
  use(key: string): Slot | undefined {
    const slot = this.#slots.get(key)
    if (slot !== undefined) this.#isUsed[slot] = 1
    return slot
  }

  /** Takes in what Redis has of a key, in the shape that it has there; null for a key that was never seen: `shape` is then its. */
  load(key: string, stored: StoredWindow | null, shape: RowShape): Slot {
    const content = stored === null ? undefined : decodeWindow(stored)
    if (stored !== null && content === undefined) this.#unreadable++
    const slot = this.#newSlot(key, content?.shape ?? shape)
    const row = this.row(slot)
    if (content === undefined) {
      row.rows.fill(0, row.start, row.start + row.shape.length)
      startDetector(row)
    } else {
      fillRow(row, content)
    }
    this.#rowPushed[slot] = content?.rowPushed ?? NO_ROW
    return slot
  }

  /** What is known of a key; the same object each time, moved. */
  row(slot: Slot): KeyRow {
    return this.#locate(slot, this.#view)
  }

  /** The number of the policy in force for a key; its row is brought into that one's shape. To be asked when a sample came. */
  policyOf(slot: Slot, rules: RuleSet): number {
    if (this.#version[slot] !== rules.version) this.#resolve(slot, rules)
    return this.#policy[slot] as number
  }

  /** The number of the policy that is tried out on a key, or NO_POLICY. To be asked after `policyOf`. */
  shadowOf(slot: Slot): number {
    return this.#shadow[slot] as number
  }

  /** The same for the row under SHADOW and the key, which only has that one policy. */
  adopt(slot: Slot, policy: Policy): void {
    const shape = shapeFor(this.row(slot), policy)
    if (shape !== this.row(slot).shape) this.#reshape(slot, shape)
  }

  /** What a tail cannot say has changed. */
  requireRow(slot: Slot): void {
    this.#rowPushed[slot] = NO_ROW
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

  /** What has to be written so that the store has of the key what is known now; taken as written from then on. */
  update(slot: Slot): WindowUpdate {
    const row = this.row(slot)
    const { capacity } = row.shape
    const pushed = row.rows[row.start + PUSHED] as number
    const rowPushed = this.#rowPushed[slot] as number
    const added = pushed - rowPushed
    const isTail = rowPushed >= capacity && added <= Math.min(TAIL_MAX, capacity)
    if (this.#encodedLength + storedLengthMax(row.shape) > this.#encoded.length) {
      this.#encoded = new Float64Array(Math.max(UPDATES_LENGTH, storedLengthMax(row.shape)))
      this.#encodedLength = 0
    }
    const begin = this.#encodedLength
    this.#encodedLength = isTail ? encodeTail(row, added, this.#encoded, begin) : encodeRow(row, this.#encoded, begin)
    if (!isTail) this.#rowPushed[slot] = pushed
    const bytes = new Uint8Array(this.#encoded.buffer, begin * 8, (this.#encodedLength - begin) * 8)
    return { kind: isTail ? 'tail' : 'row', bytes }
  }

  /** Forgets rows until no more than `keysMax` are left. */
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

  /** Forgets a key, because Redis knows better. */
  forget(key: string): void {
    const slot = this.#slots.get(key)
    if (slot !== undefined) this.#drop(key, slot)
  }

  /** Forgets everything, because Redis knows better. */
  clear(): void {
    this.#slots.clear()
    this.#keys.length = 0
    this.#freeSlots.length = 0
    this.#pools.length = 0
    this.#poolOfShape.clear()
    this.#hand = 0
  }

  #resolve(slot: Slot, rules: RuleSet): void {
    const key = this.#keys[slot] ?? ''
    const number = rules.resolve(key)
    this.#version[slot] = rules.version
    this.#policy[slot] = number
    this.#shadow[slot] = rules.hasShadows ? rules.resolveShadow(key) : NO_POLICY
    this.adopt(slot, rules.policies[number] as Policy)
  }

  #reshape(slot: Slot, shape: RowShape): void {
    const [pool, row] = [this.#pool[slot] as number, this.#row[slot] as number]
    const from = this.#locate(slot, this.#otherView)
    this.#place(slot, shape)
    copyRow(from, this.row(slot))
    this.#pools[pool]?.free.push(row)
    this.#rowPushed[slot] = NO_ROW
  }

  #locate(slot: Slot, view: KeyRow): KeyRow {
    const { shape, slabs } = this.#pools[this.#pool[slot] as number] as Pool
    const row = this.#row[slot] as number
    view.rows = slabs[row >> SLAB_SHIFT] as Float64Array
    view.start = (row & (SLAB_ROWS - 1)) * shape.length
    view.shape = shape
    return view
  }

  #newSlot(key: string, shape: RowShape): Slot {
    assert(!this.#slots.has(key), 'a window is loaded once')
    const slot = this.#freeSlots.pop() ?? this.#keys.length
    if (slot >= this.#isUsed.length) this.#grow()
    this.#keys[slot] = key
    this.#isUsed[slot] = 0
    this.#version[slot] = NO_VERSION
    this.#shadow[slot] = NO_POLICY
    this.#updatedIn[slot] = 0
    this.#slots.set(key, slot)
    this.#place(slot, shape)
    return slot
  }

  /** Gives a slot a row of a shape, with whatever stands there. */
  #place(slot: Slot, shape: RowShape): void {
    let number = this.#poolOfShape.get(shape)
    if (number === undefined) {
      number = this.#pools.length
      this.#pools.push({ shape, slabs: [], free: [], used: 0 })
      this.#poolOfShape.set(shape, number)
    }
    const pool = this.#pools[number] as Pool
    const row = pool.free.pop() ?? pool.used++
    if (row === pool.slabs.length * SLAB_ROWS) pool.slabs.push(new Float64Array(SLAB_ROWS * shape.length))
    this.#pool[slot] = number
    this.#row[slot] = row
  }

  #grow(): void {
    const length = 2 * this.#isUsed.length
    const longer = <T extends Uint8Array | Uint16Array | Int32Array | Float64Array>(from: T, to: T): T => {
      to.set(from)
      return to
    }
    this.#pool = longer(this.#pool, new Uint16Array(length))
    this.#row = longer(this.#row, new Int32Array(length))
    this.#policy = longer(this.#policy, new Int32Array(length))
    this.#shadow = longer(this.#shadow, new Int32Array(length))
    this.#version = longer(this.#version, new Int32Array(length))
    this.#isUsed = longer(this.#isUsed, new Uint8Array(length))
    this.#rowPushed = longer(this.#rowPushed, new Float64Array(length))
    this.#updatedIn = longer(this.#updatedIn, new Float64Array(length))
  }

  #drop(key: string, slot: Slot): void {
    this.#pools[this.#pool[slot] as number]?.free.push(this.#row[slot] as number)
    this.#slots.delete(key)
    this.#keys[slot] = undefined
    this.#freeSlots.push(slot)
  }
}
