import { createSlab, type RowSlab } from '@tidemark/shared/detection/detectors/places'
import { type KeyRow, memoryLength, type RowShape } from '@tidemark/shared/detection/key-row'

/** Bytes of a slab: it holds as many rows as fit, a power of two and at least one. */
const SLAB_BYTES = 32_768

/** Share of the bound for empty slabs: a busy cache frees and takes them all the time. */
const SPARE_SHARE = 1 / 32

/** What a key costs besides its row and its characters: map entry, string, places in arrays. */
export const KEY_BYTES = 200

/** The place of a key in the memory of its owner. */
export type Slot = number

/** The keys of one partition. */
export interface RowOwner {
  /** The row of `slot` is now at `row` of the same pool. */
  moved(slot: Slot, row: number): void
}

/** All rows of one shape. The first `used` rows are in use, without a hole. */
interface Pool {
  readonly shape: RowShape
  /** Float64s of the guard's memory of a row. All of them follow the rows in the slab. */
  readonly memory: number
  /** log2 of the rows in a slab. */
  readonly shift: number
  readonly mask: number
  readonly slabs: RowSlab[]
  /** Empty slabs that will be used again. */
  readonly spares: RowSlab[]
  /** By row. */
  readonly owners: RowOwner[]
  readonly slots: Slot[]
  used: number
}

/**
 * The memory of all windows of a process: rows as key-row.ts lays them out, in slabs of float64s.
 *
 * All partitions share it, so its bound holds however many partitions there are. A row that is
 * freed is replaced by the last one of its shape, so a shape that no key has any more has no slabs.
 */
export class RowMemory {
  readonly #bytesMax: number
  readonly #owners = new Set<RowOwner>()
  readonly #pools: Pool[] = []
  readonly #poolOfShape = new Map<RowShape, number>()
  #slabBytes = 0
  #spareBytes = 0
  #keyBytes = 0
  /** One slab of each shape in use: at most so much of the slabs is empty. */
  #emptyMax = 0

  constructor({ bytesMax }: { readonly bytesMax: number }) {
    this.#bytesMax = bytesMax
  }

  /** Bytes in use, slabs that are partly empty included. */
  get bytes(): number {
    return this.#slabBytes + this.#spareBytes + this.#keyBytes
  }

  join(owner: RowOwner): void {
    this.#owners.add(owner)
  }

  leave(owner: RowOwner): void {
    this.#owners.delete(owner)
  }

  /**
   * Whether an owner of `ownBytes` must evict a key: memory is over its bound, and the owner over
   * its share. When no owner is over its share, memory is within its bound.
   */
  isOver(ownBytes: number): boolean {
    if (this.bytes <= this.#bytesMax) return false
    return ownBytes > (this.#bytesMax * (1 - SPARE_SHARE) - this.#emptyMax) / this.#owners.size
  }

  addKeyBytes(bytes: number): void {
    this.#keyBytes += bytes
  }

  /** Returns the number of the pool for a shape. */
  poolOf(shape: RowShape): number {
    let number = this.#poolOfShape.get(shape)
    if (number === undefined) {
      number = this.#pools.length
      const shift = Math.max(0, Math.floor(Math.log2(SLAB_BYTES / rowBytes(shape))))
      const memory = memoryLength(shape)
      this.#pools.push({
        shape,
        memory,
        shift,
        mask: 2 ** shift - 1,
        slabs: [],
        spares: [],
        owners: [],
        slots: [],
        used: 0,
      })
      this.#poolOfShape.set(shape, number)
    }
    return number
  }

  /** Points `view` at a row. */
  locate(number: number, row: number, view: KeyRow): KeyRow {
    const { shape, memory, slabs, shift, mask } = this.#pools[number] as Pool
    const slab = slabs[row >> shift] as RowSlab
    view.slab = slab
    view.rows = slab.rows
    view.start = (row & mask) * shape.length
    view.memoryStart = (shape.length << shift) + (row & mask) * memory
    view.shape = shape
    return view
  }

  /** Returns a row for a key, with stale content. */
  place(number: number, owner: RowOwner, slot: Slot): number {
    const pool = this.#pools[number] as Pool
    const { shape, slabs, shift, owners, slots } = pool
    const row = pool.used++
    if (row >> shift === slabs.length) {
      if (slabs.length === 0) this.#emptyMax += slabBytes(pool)
      const spare = pool.spares.pop()
      if (spare !== undefined) this.#spareBytes -= slabBytes(pool)
      slabs.push(spare ?? createSlab((shape.length + pool.memory) << shift))
      this.#slabBytes += slabBytes(pool)
    }
    owners.push(owner)
    slots.push(slot)
    return row
  }

  /** Frees a row, and moves the last one of its pool there. No view of either may be used after. */
  free(number: number, row: number): void {
    const pool = this.#pools[number] as Pool
    const { shape, slabs, shift, mask, owners, slots } = pool
    const last = --pool.used
    const owner = owners.pop() as RowOwner
    const slot = slots.pop() as Slot
    if (row !== last) {
      const from = slabs[last >> shift] as RowSlab
      const to = slabs[row >> shift] as RowSlab
      moveWords(from, (last & mask) * shape.length, to, (row & mask) * shape.length, shape.length)
      const memories = shape.length << shift
      const { memory } = pool
      moveWords(from, memories + (last & mask) * memory, to, memories + (row & mask) * memory, memory)
      owners[row] = owner
      slots[row] = slot
      owner.moved(slot, row)
    }
    if ((last & mask) !== 0) return
    const bytes = slabBytes(pool)
    const spare = slabs.pop() as RowSlab
    this.#slabBytes -= bytes
    if (slabs.length === 0) {
      this.#emptyMax -= bytes
      this.#spareBytes -= bytes * pool.spares.splice(0).length
    } else if (this.#spareBytes + bytes <= this.#bytesMax * SPARE_SHARE) {
      pool.spares.push(spare)
      this.#spareBytes += bytes
    }
  }
}

function moveWords(from: RowSlab, start: number, to: RowSlab, at: number, length: number): void {
  to.rows.set(from.rows.subarray(start, start + length), at)
}

/** Returns the bytes of a row in memory, the guard's memory included. */
export function rowBytes(shape: RowShape): number {
  return (shape.length + memoryLength(shape)) * Float64Array.BYTES_PER_ELEMENT
}

function slabBytes({ shape, shift }: Pool): number {
  return rowBytes(shape) << shift
}
