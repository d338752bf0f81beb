import { createFound, inWidths, PLACES_SAMPLES, Places, type RowSlab, type Run } from '../detectors/places.ts'
import type { Remembered } from './context.ts'

/**
 * What the guard knows of a key whose detector knows nothing: the places of its values. It follows
 * from the values alone, so they can be learned later, and again from stored ones. In a slab: as
 * uint32 the samples learned, and how many of the window's have been; places.
 */
const NEW_ABOVE = 0.03
const places = new Places({ capacity: 38, newAbove: NEW_ABOVE })

/** Offsets in 4-byte words. */
const LEARNED = 0
/** Modulo WORDS. */
const LEARNED_TO = 1
const WORDS = 2 ** 32
/** Offset in words of 8 bytes. */
const PLACES = 1

export const GUARD_MEMORY_LENGTH = PLACES + places.length

/** The share of the gap between a place and the next one that is not new. */
const DISCOUNT = 0.2

/** Returns the number of samples learned. */
export function learnedSamples({ words }: RowSlab, at: number): number {
  return words[2 * at + LEARNED] as number
}

/** Returns how many of the `pushed` samples ever added to the window are still to be learned. */
export function unlearnedSamples({ words }: RowSlab, at: number, pushed: number): number {
  return (pushed - (words[2 * at + LEARNED_TO] as number)) >>> 0
}

export function setLearnedTo({ words }: RowSlab, at: number, pushed: number): void {
  words[2 * at + LEARNED_TO] = pushed
}

const found = createFound()

/** Returns how far a value is from all known places, in widths of the range. */
export function newsOf(slab: RowSlab, at: number, value: number): number {
  places.look(slab, at + PLACES, value, found)
  return inWidths(found.distance - DISCOUNT * found.gap, found.width, Math.abs(value))
}

/**
 * Returns what is remembered, without the places that samples made which deviate as `value` does:
 * such a place is exactly the value of its first sample.
 */
export function rememberedOf(slab: RowSlab, at: number, value: number, deviating: readonly number[]): Remembered {
  const widths = newsOf(slab, at, value)
  const tolerance = NEW_ABOVE * found.width
  const samples = Math.min(PLACES_SAMPLES, learnedSamples(slab, at) - deviating.length)
  return { samples, values: places.values(slab, at + PLACES, deviating), tolerance, widths }
}

export function learnValue(slab: RowSlab, at: number, value: number): void {
  const number = slab.words[2 * at + LEARNED] as number
  // Beyond the greatest word it goes on with a great number that has the same lower bits.
  slab.words[2 * at + LEARNED] = number + 1 === WORDS ? WORDS / 2 : number + 1
  places.visit(slab, at + PLACES, value, number)
}

/** Learns the values of a run of samples. */
export function learnValues(slab: RowSlab, at: number, run: Run): void {
  const number = slab.words[2 * at + LEARNED] as number
  if (number + run.size < WORDS) {
    slab.words[2 * at + LEARNED] = number + run.size
    places.visitAll(slab, at + PLACES, run, number)
  } else {
    for (let i = 0; i < run.size; i++) {
      learnValue(slab, at, run.rows[run.first + ((run.from + i) % run.capacity)] as number)
    }
  }
}
