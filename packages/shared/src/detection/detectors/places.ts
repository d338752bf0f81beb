import { roundingAt, SCORE_CAP } from '../../verdict/score.ts'

/** Views of one buffer, with indexes of their own: 8 bytes are 2 floats or words, or 4 shorts. */
export interface RowSlab {
  readonly rows: Float64Array
  readonly floats: Float32Array
  readonly words: Uint32Array
  readonly shorts: Uint16Array
}

export function createSlab(length: number): RowSlab {
  const rows = new Float64Array(length)
  const { buffer } = rows
  return { rows, floats: new Float32Array(buffer), words: new Uint32Array(buffer), shorts: new Uint16Array(buffer) }
}

/** How near a value is to the places of a key. Overwritten by the next look. */
export interface Found {
  /** From the nearest place; 0 if there is none. */
  distance: number
  /** From that place to its own nearest neighbour; 0 if there is none. */
  gap: number
  /** Of the range of the values. */
  width: number
  /** The nearest place as a value; NaN if there is none. */
  nearest: number
}

/** Samples in a ring of `capacity` from index `first`: `size` of them, the first at `from`. */
export interface Run {
  readonly rows: Float64Array
  readonly first: number
  readonly capacity: number
  readonly from: number
  readonly size: number
}

export function createFound(): Found {
  return { distance: 0, gap: 0, width: 0, nearest: Number.NaN }
}

/** Returns a distance in widths of the range of values of this size, from 0 to SCORE_CAP. */
export function inWidths(distance: number, width: number, size: number): number {
  const rounding = roundingAt(size)
  if (width <= rounding) return distance <= rounding ? 0 : SCORE_CAP
  return Math.min(SCORE_CAP, Math.max(0, distance) / width)
}

/** Offsets in 4-byte words: the range of the values, and when the next place expires. */
const LOW = 2
const HIGH = 3
const EXPIRY = 4
/** Offsets in 2-byte words: the number of places, and the one that matched last. */
const COUNT = 10
const LAST = 11
/** Bytes before the places; a place is a float32, its visit a uint16. */
const HEADER_BYTES = 24
const PLACE_BYTES = 6
const VALUES = HEADER_BYTES / 4

/** A place counts for this many samples after its last visit. */
export const PLACES_SAMPLES = 4000
/** Visits are numbers of samples modulo 65,536. */
const VISIT_MASK = 0xffff

/** The share of its width by which the range shrinks at each end. */
const SHRINKING = 0.5e-4

const FLOAT32_MAX = 2 ** 128 - 2 ** 104

/**
 * The places near which a series has been in its last 4,000 samples. In a slab: the first value as
 * a float64 anchor, because places are float32 distances from it, exact to seven digits; the range
 * of the values, which slowly shrinks; the places, in ascending order; the number of the last
 * sample near each. Zeros are an empty memory. Samples are numbered from 0.
 */
export class Places {
  /** In words of 8 bytes. */
  readonly length: number
  readonly #capacity: number
  /** A value further than this from all places, in widths of the range, is a new place. */
  readonly #newAbove: number
  /** Offset of the visits in 2-byte words. */
  readonly #visits: number
  readonly #one: Run = { rows: new Float64Array(1), first: 0, capacity: 1, from: 0, size: 1 }

  constructor({ capacity, newAbove }: { readonly capacity: number; readonly newAbove: number }) {
    this.length = Math.ceil((HEADER_BYTES + PLACE_BYTES * capacity) / 8)
    this.#capacity = capacity
    this.#newAbove = newAbove
    this.#visits = 2 * (VALUES + capacity)
  }

  /** Finds the nearest place; of two that are equally near the lower one. */
  look(slab: RowSlab, at: number, value: number, found: Found): void {
    const { rows, floats, shorts } = slab
    const count = shorts[4 * at + COUNT] as number
    found.width = (floats[2 * at + HIGH] as number) - (floats[2 * at + LOW] as number)
    found.distance = found.gap = 0
    found.nearest = Number.NaN
    if (count === 0) return
    const anchor = rows[at] as number
    const place = toPlace(value - anchor)
    const first = 2 * at + VALUES
    const nearest = findNearest(floats, first, count, shorts[4 * at + LAST] as number, place)
    const known = floats[first + nearest] as number
    found.nearest = anchor + known
    found.distance = Math.abs(place - known)
    if (count === 1) return
    const below = nearest > 0 ? known - (floats[first + nearest - 1] as number) : Number.POSITIVE_INFINITY
    const above = nearest + 1 < count ? (floats[first + nearest + 1] as number) - known : Number.POSITIVE_INFINITY
    found.gap = Math.min(below, above)
  }

  /** Learns the value of sample `number`: it visits the nearest place, or is a new one. */
  visit(slab: RowSlab, at: number, value: number, number: number): void {
    this.#one.rows[0] = value
    this.visitAll(slab, at, this.#one, number)
  }

  /** Learns the values of a run of samples of which the first is sample `number`. */
  visitAll(slab: RowSlab, at: number, { rows: values, first, capacity, from, size }: Run, number: number): void {
    const { rows, floats, words, shorts } = slab
    const base = 2 * at
    const counts = 4 * at
    const visits = counts + this.#visits
    if (shorts[counts + COUNT] === 0) this.#begin(slab, at, values[first + from] as number, number)
    const anchor = rows[at] as number
    const places = base + VALUES
    let low = floats[base + LOW] as number
    let high = floats[base + HIGH] as number
    let count = shorts[counts + COUNT] as number
    let last = shorts[counts + LAST] as number
    let index = first + from
    const end = first + capacity
    for (let rest = size; rest > 0; rest--, number++) {
      const place = toPlace((values[index] as number) - anchor)
      index = index + 1 === end ? first : index + 1
      const nearest = findNearest(floats, places, count, last, place)
      const width = high - low
      if (Math.abs(place - (floats[places + nearest] as number)) > this.#newAbove * width) {
        this.#add(slab, at, place, number)
        count = shorts[counts + COUNT] as number
        last = shorts[counts + LAST] as number
      } else {
        shorts[visits + nearest] = number & VISIT_MASK
        last = nearest
      }
      const step = width * SHRINKING
      low = Math.fround(Math.min(low + step, place))
      high = Math.fround(Math.max(high - step, place))
      // Both numbers are modulo 2 ** 32 here.
      if (((number + 1 - (words[base + EXPIRY] as number)) | 0) >= 0) {
        shorts[counts + LAST] = last
        this.#dropExpired(slab, at, number + 1)
        count = shorts[counts + COUNT] as number
        last = shorts[counts + LAST] as number
      }
    }
    floats[base + LOW] = low
    floats[base + HIGH] = high
    shorts[counts + LAST] = last
  }

  #begin({ rows, words, shorts }: RowSlab, at: number, value: number, number: number): void {
    rows[at] = value
    shorts[4 * at + COUNT] = 1
    words[2 * at + EXPIRY] = number + PLACES_SAMPLES + 1
    shorts[4 * at + this.#visits] = number & VISIT_MASK
  }

  /**
   * Returns the values of the places without those of `except`. If all places are taken, others may
   * have been dropped: then also the ends of the range.
   */
  values({ rows, floats, shorts }: RowSlab, at: number, except: readonly number[]): number[] {
    const anchor = rows[at] as number
    const first = 2 * at + VALUES
    const count = shorts[4 * at + COUNT] as number
    const excepted = new Set(except.map(value => toPlace(value - anchor)))
    const places = [...floats.subarray(first, first + count)].filter(place => !excepted.has(place))
    if (count === this.#capacity) places.push(floats[2 * at + LOW] as number, floats[2 * at + HIGH] as number)
    return places.map(place => anchor + place)
  }

  #add(slab: RowSlab, at: number, place: number, number: number): void {
    const { floats, shorts } = slab
    const first = 2 * at + VALUES
    const visits = 4 * at + this.#visits
    if (shorts[4 * at + COUNT] === this.#capacity) this.#remove(slab, at, this.#longestUnvisited(slab, at, number))
    let i = shorts[4 * at + COUNT] as number
    shorts[4 * at + COUNT] = i + 1
    for (; i > 0 && (floats[first + i - 1] as number) > place; i--) {
      floats[first + i] = floats[first + i - 1] as number
      shorts[visits + i] = shorts[visits + i - 1] as number
    }
    floats[first + i] = place
    shorts[visits + i] = number & VISIT_MASK
    shorts[4 * at + LAST] = i
  }

  #longestUnvisited({ shorts }: RowSlab, at: number, number: number): number {
    const visits = 4 * at + this.#visits
    let found = 0
    let longest = -1
    for (let i = 0; i < this.#capacity; i++) {
      const age = (number - (shorts[visits + i] as number)) & VISIT_MASK
      if (age <= longest) continue
      longest = age
      found = i
    }
    return found
  }

  #remove({ floats, shorts }: RowSlab, at: number, index: number): void {
    const first = 2 * at + VALUES
    const visits = 4 * at + this.#visits
    const last = (shorts[4 * at + COUNT] as number) - 1
    for (let i = index; i < last; i++) {
      floats[first + i] = floats[first + i + 1] as number
      shorts[visits + i] = shorts[visits + i + 1] as number
    }
    floats[first + last] = 0
    shorts[visits + last] = 0
    shorts[4 * at + COUNT] = last
  }

  /** Removes the places that do not count for sample `number` any more. */
  #dropExpired(slab: RowSlab, at: number, number: number): void {
    const { words, shorts } = slab
    const visits = 4 * at + this.#visits
    let oldest = 0
    for (let i = (shorts[4 * at + COUNT] as number) - 1; i >= 0; i--) {
      const age = (number - (shorts[visits + i] as number)) & VISIT_MASK
      if (age > PLACES_SAMPLES) this.#remove(slab, at, i)
      else if (age > oldest) oldest = age
    }
    words[2 * at + EXPIRY] = number - oldest + PLACES_SAMPLES + 1
    const count = shorts[4 * at + COUNT] as number
    if ((shorts[4 * at + LAST] as number) >= count) shorts[4 * at + LAST] = count - 1
  }
}

/** What float32 cannot hold becomes its greatest number. */
function toPlace(distance: number): number {
  return Math.fround(Math.max(-FLOAT32_MAX, Math.min(FLOAT32_MAX, distance)))
}

/** Returns the nearest of `count` places from `first`: what matched `last`, or by a search. */
function findNearest(floats: Float32Array, first: number, count: number, last: number, place: number): number {
  let below = first + last
  const isBelow = (floats[below] as number) <= place
  if (!isBelow || (below + 1 < first + count && (floats[below + 1] as number) <= place)) {
    below = first
    // Without a branch on the values: in noise, the processor would mispredict every other one.
    for (let rest = count; rest > 1; ) {
      const half = rest >> 1
      below += half * +((floats[below + half] as number) <= place)
      rest -= half
    }
  }
  // Now the place is between this one and the next, or beyond one of the ends.
  const next = below + 1
  const isNext = next < first + count && (floats[next] as number) - place < place - (floats[below] as number)
  return below - first + +isNext
}
