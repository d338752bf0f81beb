import assert from 'node:assert/strict'
import { createSlab } from '@tidemark/shared/detection/detectors/places'
import {
  clearRow,
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
  encodeMemory,
  encodeRow,
  encodeTail,
  fillRow,
  hasStateBeside,
  learnedTo,
  mustStoreMemory,
  type StoredWindow,
  storedLengthMax,
  storedMemoryLength,
} from '@tidemark/shared/detection/window-row'
import type { WindowUpdate } from '@tidemark/shared/store/ports/commit'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { KEY_BYTES, type RowMemory, type RowOwner, rowBytes, type Slot } from './row-memory.ts'

/** Slots at first; their number doubles when they are used up. */
const SLOTS_MIN = 256

/** Samples in a tail. Longer ones cost more, shorter ones need more rows; 12 and 20 are equal. */
const TAIL_MAX = 16

/** Float64s per array of encoded updates: one array per update costs four times as much. */
const UPDATES_LENGTH = 8192

/** The next update must write a row: a tail cannot bring the stored row up to date. */
const NO_ROW = -1

/** No guard's memory is stored, or one that must be replaced with the next row. */
const NO_MEMORY = -1
const STALE_MEMORY = -2
const VOID = new Uint8Array()

/** How much more anomalous a further point of an interval must be: this bounds their number. */
const POINT_GROWTH = 1.1

/** Prefix of a key's shadow window. No key begins with a control character. */
export const SHADOW = '\u0001'

/** The shape of a view that shows no row yet. */
const ANY_SHAPE = rowShape(VERDICT_DEFAULTS.window, 'zscore', false)

/** No place in memory. A slot is valid until the next `evict`, `drop` or `clear`. */
export const NO_SLOT: Slot = -1

export interface WindowsOptions {
  /** Shared by all partitions. */
  readonly memory: RowMemory
  /** Windows of the partition in memory. */
  readonly keysMax: number
  /** What a key takes in memory besides its row and KEY_BYTES. */
  readonly besideBytes?: number
  /** Follows the windows. */
  readonly follower?: WindowFollower | null
}

/** What keeps a place in windows, by their slots. */
export interface WindowFollower {
  /** Called before a window changes its shape. */
  catchUp(slot: Slot, row: KeyRow): void
  /** Called after it. */
  rebase(slot: Slot, row: KeyRow): void
}

/**
 * The windows of one partition's keys, with their rows in the memory of all partitions.
 *
 * It is a cache of Redis with second-chance eviction: each use after the first marks a row, and the
 * hand evicts the first row not used since it last passed, so keys seen once evict each other.
 */
export class Windows implements RowOwner, Disposable {
  readonly #memory: RowMemory
  readonly #keysMax: number
  readonly #keyBytes: number
  readonly #follower: WindowFollower | null
  /** Bytes of the partition's keys and rows. */
  #bytes = 0
  readonly #slots = new Map<string, Slot>()
  readonly #keys: (string | undefined)[] = []
  readonly #freeSlots: Slot[] = []
  /** By slot: its pool, and its row there. */
  #pool = new Uint16Array(SLOTS_MIN)
  #row = new Int32Array(SLOTS_MIN)
  /** By slot: the policies in force and in shadow, and the serial of the rules. */
  #policy = new Int32Array(SLOTS_MIN)
  #shadow = new Int32Array(SLOTS_MIN)
  #rules = new Int32Array(SLOTS_MIN)
  /** By slot: whether its samples say that they are of a counter (sample/arrival.ts). */
  #isOfCounter = new Uint8Array(SLOTS_MIN)
  #isUsed = new Uint8Array(SLOTS_MIN)
  /** By slot: the row's count of pushed values when it was last written, or NO_ROW. */
  #rowPushed = new Float64Array(SLOTS_MIN)
  /** By slot: the same when the guard's memory was last stored, or NO_MEMORY, or STALE_MEMORY. */
  #memoryPushed = new Float64Array(SLOTS_MIN)
  /** By slot: the number of the `beginUpdates` since which it was last updated. */
  #updatedIn = new Float64Array(SLOTS_MIN)
  #updates = 0
  /** By slot: the interval of the key's newest point for the sink, and how anomalous it was. */
  #pointIn = new Int32Array(SLOTS_MIN)
  #pointScore = new Float32Array(SLOTS_MIN)
  /** Updates are encoded here one after another; when it is full, it is replaced. */
  #encoded = new Float64Array(UPDATES_LENGTH)
  #encodedLength = 0
  /** Reused for all rows: an object per sample would be garbage at once. */
  readonly #view = emptyView()
  readonly #otherView = emptyView()
  #hand = 0
  #unreadable = 0

  constructor({ memory, keysMax, besideBytes = 0, follower = null }: WindowsOptions) {
    this.#follower = follower
    this.#memory = memory
    this.#keysMax = keysMax
    this.#keyBytes = KEY_BYTES + besideBytes
    memory.join(this)
  }

  [Symbol.dispose](): void {
    this.clear()
    this.#memory.leave(this)
  }

  get keyCount(): number {
    return this.#slots.size
  }

  /** Stored windows that could not be decoded; their keys started again with an empty window. */
  get unreadableCount(): number {
    return this.#unreadable
  }

  /** Returns the slot of a key that is in memory. Counts as a use for the eviction. */
  use(key: string): Slot | undefined {
    const slot = this.#slots.get(key)
    if (slot !== undefined) this.#isUsed[slot] = 1
    return slot
  }

  /** Adds a key with its stored window; `shape` is for a key that was never stored. */
  load(key: string, stored: StoredWindow | null, shape: RowShape): Slot {
    const content = stored === null ? undefined : decodeWindow(stored)
    if (stored !== null && content === undefined) this.#unreadable++
    const slot = this.#newSlot(key, content?.shape ?? shape)
    const row = this.row(slot)
    if (content === undefined) {
      clearRow(row)
      startDetector(row)
    } else {
      fillRow(row, content)
    }
    // What was learned of rates must not be lost to a timer before the next sample comes.
    this.#isOfCounter[slot] = row.shape.isOfRates || row.shape.memory === 'rates' ? 1 : 0
    this.#rowPushed[slot] = content?.rowPushed ?? NO_ROW
    this.#memoryPushed[slot] = content?.memory?.pushed ?? (stored?.memory?.byteLength ? STALE_MEMORY : NO_MEMORY)
    return slot
  }

  /** Returns the row of a key. It is the same object in each call: the next call moves it. */
  row(slot: Slot): KeyRow {
    return this.#locate(slot, this.#view)
  }

  /**
   * Returns the number of the policy in force for a sample of a key. Reshapes the row for new
   * rules, and where the samples begin or cease to say that they are of a counter.
   */
  policyOf(slot: Slot, rules: RuleSet, isOfCounter: boolean): number {
    if (this.#rules[slot] !== rules.serial || (this.#isOfCounter[slot] === 1) !== isOfCounter) {
      this.#isOfCounter[slot] = isOfCounter ? 1 : 0
      this.#resolve(slot, rules)
    }
    return this.#policy[slot] as number
  }

  /** The same without a sample: by what its last one said. */
  lastPolicyOf(slot: Slot, rules: RuleSet): number {
    return this.policyOf(slot, rules, this.#isOfCounter[slot] === 1)
  }

  /** Whether `policyOf` knows the policy without matching the key against the rules. */
  hasPolicy(slot: Slot, rules: RuleSet): boolean {
    return this.#rules[slot] === rules.serial
  }

  /** Returns the number of a key's shadow policy, or NO_POLICY. Valid after `policyOf`. */
  shadowOf(slot: Slot): number {
    return this.#shadow[slot] as number
  }

  /** Reshapes a row for a policy if needed; shadow rows have only this one policy. */
  adopt(slot: Slot, policy: Policy): void {
    const shape = shapeFor(this.row(slot), policy)
    if (shape !== this.row(slot).shape) this.#reshape(slot, shape)
  }

  /** Makes the next update write a row: something changed that a tail cannot hold. */
  requireRow(slot: Slot): void {
    this.#rowPushed[slot] = NO_ROW
    if (this.#memoryPushed[slot] !== NO_MEMORY) this.#memoryPushed[slot] = STALE_MEMORY
  }

  /** Starts a new set of updates, which includes no slot yet. */
  beginUpdates(): void {
    this.#updates++
  }

  /** Includes a slot in the set of updates; false if it was included already. */
  addToUpdates(slot: Slot): boolean {
    const isFirst = this.#updatedIn[slot] !== this.#updates
    this.#updatedIn[slot] = this.#updates
    return isFirst
  }

  /**
   * Whether the sink gets a point of the key: the first one of an interval, and later ones that are
   * more anomalous. The sink writes the most anomalous one.
   */
  takesPoint(slot: Slot, interval: number, score: number): boolean {
    if (this.#pointIn[slot] === interval && !(score > (this.#pointScore[slot] as number) * POINT_GROWTH)) return false
    this.#pointIn[slot] = interval
    this.#pointScore[slot] = score
    return true
  }

  /** Encodes the key's current row for the store. From then on it counts as written. */
  encodeUpdate(slot: Slot): WindowUpdate {
    const row = this.row(slot)
    const { capacity } = row.shape
    const pushed = row.rows[row.start + PUSHED] as number
    const rowPushed = this.#rowPushed[slot] as number
    const added = pushed - rowPushed
    const isTail = rowPushed >= capacity && added <= Math.min(TAIL_MAX, capacity)
    const length = storedLengthMax(row.shape) + storedMemoryLength(row.shape)
    if (this.#encodedLength + length > this.#encoded.length) {
      this.#encoded = new Float64Array(Math.max(UPDATES_LENGTH, length))
      this.#encodedLength = 0
    }
    const begin = this.#encodedLength
    const end = isTail ? encodeTail(row, added, this.#encoded, begin) : encodeRow(row, this.#encoded, begin)
    this.#encodedLength = end
    const bytes = this.#bytesOf(begin, end)
    if (isTail && hasStateBeside(row.shape)) return { kind: 'tail', bytes, memory: this.#encodeMemory(slot, row) }
    if (isTail) return { kind: 'tail', bytes }
    this.#rowPushed[slot] = pushed
    return { kind: 'row', bytes, memory: this.#encodeMemory(slot, row) }
  }

  /** Returns what must be stored beside the row, nothing in its place, or null. */
  #encodeMemory(slot: Slot, row: KeyRow): Uint8Array | null {
    const storedAt = this.#memoryPushed[slot] as number
    if (mustStoreMemory(row, storedAt)) {
      this.#memoryPushed[slot] = learnedTo(row)
      const begin = this.#encodedLength
      this.#encodedLength = encodeMemory(row, this.#encoded, begin)
      return this.#bytesOf(begin, this.#encodedLength)
    }
    if (row.shape.memory !== 'none' || storedAt === NO_MEMORY) return null
    // Otherwise it would be taken for this row's, should the guard return.
    this.#memoryPushed[slot] = NO_MEMORY
    return VOID
  }

  #bytesOf(begin: number, end: number): Uint8Array {
    return new Uint8Array(this.#encoded.buffer, begin * 8, (end - begin) * 8)
  }

  /** Evicts keys beyond the limits of number and memory; returns how many. */
  evict(): number {
    let evicted = 0
    while (this.#isOver()) {
      const slot = this.#hand
      this.#hand = (this.#hand + 1) % this.#keys.length
      const key = this.#keys[slot]
      if (key === undefined) continue
      if (this.#isUsed[slot] === 1) {
        this.#isUsed[slot] = 0
      } else {
        this.#remove(key, slot)
        evicted++
      }
    }
    return evicted
  }

  drop(key: string): void {
    const slot = this.#slots.get(key)
    if (slot !== undefined) this.#remove(key, slot)
  }

  clear(): void {
    for (const [key, slot] of this.#slots) this.#remove(key, slot)
    this.#keys.length = 0
    this.#freeSlots.length = 0
    this.#hand = 0
  }

  moved(slot: Slot, row: number): void {
    this.#row[slot] = row
  }

  #isOver(): boolean {
    const { size } = this.#slots
    return size > this.#keysMax || (size > 0 && this.#memory.isOver(this.#bytes))
  }

  #resolve(slot: Slot, rules: RuleSet): void {
    const key = this.#keys[slot] ?? ''
    const isOfCounter = this.#isOfCounter[slot] === 1
    const found = rules.resolve(key)
    const shadow = rules.hasShadows ? rules.resolveShadow(key) : NO_POLICY
    const number = isOfCounter ? rules.ofCounter(found) : found
    this.#rules[slot] = rules.serial
    this.#policy[slot] = number
    this.#shadow[slot] = isOfCounter ? rules.ofCounter(shadow) : shadow
    this.adopt(slot, rules.policies[number] as Policy)
  }

  #reshape(slot: Slot, shape: RowShape): void {
    const pool = this.#pool[slot] as number
    const row = this.#row[slot] as number
    const from = this.#locate(slot, this.#otherView)
    this.#follower?.catchUp(slot, from)
    this.#bytes -= rowBytes(from.shape)
    this.#place(slot, shape)
    copyRow(from, this.row(slot))
    this.#follower?.rebase(slot, this.row(slot))
    this.#memory.free(pool, row)
    this.requireRow(slot)
  }

  #locate(slot: Slot, view: KeyRow): KeyRow {
    return this.#memory.locate(this.#pool[slot] as number, this.#row[slot] as number, view)
  }

  #newSlot(key: string, shape: RowShape): Slot {
    assert(!this.#slots.has(key), 'a window is loaded once')
    const slot = this.#freeSlots.pop() ?? this.#keys.length
    if (slot >= this.#isUsed.length) this.#grow()
    this.#keys[slot] = key
    this.#isUsed[slot] = 0
    // No rules have been applied to the key yet.
    this.#rules[slot] = 0
    this.#shadow[slot] = NO_POLICY
    this.#isOfCounter[slot] = 0
    this.#updatedIn[slot] = 0
    this.#pointIn[slot] = 0
    this.#slots.set(key, slot)
    this.#addKeyBytes(key, 1)
    this.#place(slot, shape)
    return slot
  }

  /** Gives a slot a row of a shape, with stale content. */
  #place(slot: Slot, shape: RowShape): void {
    const pool = this.#memory.poolOf(shape)
    this.#pool[slot] = pool
    this.#row[slot] = this.#memory.place(pool, this, slot)
    this.#bytes += rowBytes(shape)
  }

  #addKeyBytes(key: string, sign: 1 | -1): void {
    const bytes = sign * (this.#keyBytes + key.length)
    this.#bytes += bytes
    this.#memory.addKeyBytes(bytes)
  }

  #grow(): void {
    const length = 2 * this.#isUsed.length
    const longer = <T extends Uint8Array | Uint16Array | Int32Array | Float32Array | Float64Array>(
      from: T,
      to: T,
    ): T => {
      to.set(from)
      return to
    }
    this.#pool = longer(this.#pool, new Uint16Array(length))
    this.#row = longer(this.#row, new Int32Array(length))
    this.#policy = longer(this.#policy, new Int32Array(length))
    this.#shadow = longer(this.#shadow, new Int32Array(length))
    this.#rules = longer(this.#rules, new Int32Array(length))
    this.#isUsed = longer(this.#isUsed, new Uint8Array(length))
    this.#isOfCounter = longer(this.#isOfCounter, new Uint8Array(length))
    this.#rowPushed = longer(this.#rowPushed, new Float64Array(length))
    this.#memoryPushed = longer(this.#memoryPushed, new Float64Array(length))
    this.#updatedIn = longer(this.#updatedIn, new Float64Array(length))
    this.#pointIn = longer(this.#pointIn, new Int32Array(length))
    this.#pointScore = longer(this.#pointScore, new Float32Array(length))
  }

  #remove(key: string, slot: Slot): void {
    this.#bytes -= rowBytes(this.row(slot).shape)
    this.#memory.free(this.#pool[slot] as number, this.#row[slot] as number)
    this.#addKeyBytes(key, -1)
    this.#slots.delete(key)
    this.#keys[slot] = undefined
    this.#freeSlots.push(slot)
  }
}

function emptyView(): KeyRow {
  const slab = createSlab(0)
  return { slab, rows: slab.rows, start: 0, memoryStart: 0, shape: ANY_SHAPE }
}
