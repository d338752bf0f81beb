import { inSpreads } from './detector.ts'
import { moveRange } from './range.ts'

/** A remembered value counts while it was visited in the last so many samples. */
const SAMPLES = 4000

/** What stands where nothing is remembered: further from any value than anything else. */
const NOTHING = Number.POSITIVE_INFINITY

const LOW = 0
const HIGH = 1
/** No visit is long ago before this sample. */
const FORGETTING = 2
const VALUES = 3

export interface MemoryOptions {
  /** Values that are remembered. */
  readonly places: number
  /** A value further than this from all that is remembered, in widths of the range, is remembered too. */
  readonly newAbove: number
}

/** What a value is nearest to; overwritten by the next look. */
export interface Sight {
  /** The place of the nearest remembered value; -1 when nothing is remembered. */
  place: number
  value: number
  /** How far away it is. */
  distance: number
}

/**
 * Where a series has been in its last 4,000 samples: some values, none nearer to another than a small share of the series'
 * range when it was taken in, each with the number of the sample that last came near it; and the range itself, as range.ts
 * has it. Float64s in a slab: low, high, when to
 * forget next, the values, their visits. Samples are numbered from 1; a number comes once.
 */
export class Memory {
  readonly length: number
  readonly #places: number
  readonly #newAbove: number

  constructor({ places, newAbove }: MemoryOptions) {
    this.length = VALUES + 2 * places
    this.#places = places
    this.#newAbove = newAbove
  }

  /** Begins a series. */
  start(states: Float64Array, at: number): void {
    states.fill(0, at, at + this.length)
    states.fill(NOTHING, at + VALUES, at + VALUES + this.#places)
  }

  /** The width of the range in which the series has been. */
  width(states: Float64Array, at: number): number {
    return (states[at + HIGH] as number) - (states[at + LOW] as number)
  }

  /** Finds the remembered value that is nearest to `value`, the one at place `except` left out; of equals the first. */
  look(states: Float64Array, at: number, value: number, except: number, sight: Sight): void {
    const first = at + VALUES
    const end = first + this.#places
    const left = first + except
    let least = NOTHING
    let nearest = -1
    for (let i = first; i < end; i++) {
      const distance = Math.abs((states[i] as number) - value)
      if (distance < least && i !== left) {
        least = distance
        nearest = i
      }
    }
    sight.place = nearest < 0 ? -1 : nearest - first
    sight.value = nearest < 0 ? NOTHING : (states[nearest] as number)
    sight.distance = least
  }

  /**
   * Moves on past sample number `number`, whose nearest remembered value is at place `nearest` (-1: none): a new value is
   * remembered, for another the nearest one counts as visited.
   */
  visit(states: Float64Array, at: number, value: number, nearest: number, number: number): void {
    if (nearest < 0) {
      states[at + LOW] = value
      states[at + HIGH] = value
      states[at + FORGETTING] = number + SAMPLES
      this.#remember(states, at, 0, value, number)
      return
    }
    const distance = Math.abs((states[at + VALUES + nearest] as number) - value)
    const isNew = inSpreads(distance, this.width(states, at), Math.abs(value)) > this.#newAbove
    if (isNew) this.#remember(states, at, this.#longestUnvisited(states, at), value, number)
    else states[at + VALUES + this.#places + nearest] = number
    moveRange(states, at + LOW, value)
    if (number >= (states[at + FORGETTING] as number)) this.#forget(states, at, number)
  }

  #remember(states: Float64Array, at: number, place: number, value: number, number: number): void {
    states[at + VALUES + place] = value
    states[at + VALUES + this.#places + place] = number
  }

  /** A free place, if there is one: its visit is 0 or long ago. */
  #longestUnvisited(states: Float64Array, at: number): number {
    const first = at + VALUES + this.#places
    let oldest = first
    for (let i = first + 1; i < first + this.#places; i++) {
      if ((states[i] as number) < (states[oldest] as number)) oldest = i
    }
    return oldest - first
  }

  /** Forgets what the next sample must not find any more, and finds out when there will be more. */
  #forget(states: Float64Array, at: number, number: number): void {
    const first = at + VALUES + this.#places
    let oldest = number
    for (let i = first; i < first + this.#places; i++) {
      const visit = states[i] as number
      if (visit <= number - SAMPLES) states[i - this.#places] = NOTHING
      else if (visit < oldest) oldest = visit
    }
    states[at + FORGETTING] = oldest + SAMPLES
  }
}
