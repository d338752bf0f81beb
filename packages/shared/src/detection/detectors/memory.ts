import { inSpreads } from './detector.ts'
import { moveRange } from './range.ts'

/** A remembered value is kept while it was visited within this many samples. */
const SAMPLES = 4000

/** An empty slot's value: further from any value than a remembered one. */
const EMPTY = Number.POSITIVE_INFINITY

const LOW = 0
const HIGH = 1
/** The number of the next sample at which a visit expires. */
const EXPIRY = 2
const VALUES = 3

/** The remembered value that is nearest to a value. Overwritten by the next search. */
export interface Nearest {
  /** Its slot; -1 when nothing is remembered. */
  index: number
  value: number
  distance: number
}

/**
 * The values near which a series has been in its last 4,000 samples, each with the number of its
 * visit: the last sample near it. When added, each was a share of the range away from the others.
 * Float64s in a slab: low, high (as in range.ts), expiry, values, visits. Samples count from 1.
 */
export class Memory {
  readonly length: number
  readonly #capacity: number
  /** A value further than this from all remembered ones is added, in widths of the range. */
  readonly #newAbove: number

  constructor({ capacity, newAbove }: { capacity: number; newAbove: number }) {
    this.length = VALUES + 2 * capacity
    this.#capacity = capacity
    this.#newAbove = newAbove
  }

  start(states: Float64Array, at: number): void {
    states.fill(0, at, at + this.length)
    states.fill(EMPTY, at + VALUES, at + VALUES + this.#capacity)
  }

  width(states: Float64Array, at: number): number {
    return (states[at + HIGH] as number) - (states[at + LOW] as number)
  }

  /** Finds the (first) remembered value that is nearest to `value`, skipping slot `except`. */
  findNearest(states: Float64Array, at: number, value: number, except: number, found: Nearest): void {
    const first = at + VALUES
    const end = first + this.#capacity
    const skipped = first + except
    let least = EMPTY
    let nearest = -1
    for (let i = first; i < end; i++) {
      const distance = Math.abs((states[i] as number) - value)
      if (distance < least && i !== skipped) {
        least = distance
        nearest = i
      }
    }
    found.index = nearest < 0 ? -1 : nearest - first
    found.value = nearest < 0 ? EMPTY : (states[nearest] as number)
    found.distance = least
  }

  /** Updates the memory by sample `number`, whose nearest value is in slot `nearest` (-1: none). */
  visit(states: Float64Array, at: number, value: number, nearest: number, number: number): void {
    if (nearest < 0) {
      states[at + LOW] = value
      states[at + HIGH] = value
      states[at + EXPIRY] = number + SAMPLES
      this.#remember(states, at, 0, value, number)
      return
    }
    const distance = Math.abs((states[at + VALUES + nearest] as number) - value)
    const isNew = inSpreads(distance, this.width(states, at), Math.abs(value)) > this.#newAbove
    if (isNew) this.#remember(states, at, this.#longestUnvisited(states, at), value, number)
    else states[at + VALUES + this.#capacity + nearest] = number
    moveRange(states, at + LOW, value)
    if (number >= (states[at + EXPIRY] as number)) this.#expire(states, at, number)
  }

  #remember(states: Float64Array, at: number, index: number, value: number, number: number): void {
    states[at + VALUES + index] = value
    states[at + VALUES + this.#capacity + index] = number
  }

  /** Returns the slot with the oldest visit: an empty one, if there is any. */
  #longestUnvisited(states: Float64Array, at: number): number {
    const first = at + VALUES + this.#capacity
    let oldest = first
    for (let i = first + 1; i < first + this.#capacity; i++) {
      if ((states[i] as number) < (states[oldest] as number)) oldest = i
    }
    return oldest - first
  }

  /** Empties the slots whose visits have expired, and computes when the next one will. */
  #expire(states: Float64Array, at: number, number: number): void {
    const first = at + VALUES + this.#capacity
    let oldest = number
    for (let i = first; i < first + this.#capacity; i++) {
      const visit = states[i] as number
      if (visit <= number - SAMPLES) states[i - this.#capacity] = EMPTY
      else if (visit < oldest) oldest = visit
    }
    states[at + EXPIRY] = oldest + SAMPLES
  }
}
