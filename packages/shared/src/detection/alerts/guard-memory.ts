import { createFound, inWidths, Places, type RowSlab } from '../detectors/places.ts'

/**
 * What the guard knows of a key whose detector knows nothing: where its values have been, and how
 * far their deviations add up. It follows from the samples alone, so it can be learned again from
 * stored ones. In a slab: uint32 samples learned, uint32 number after the sample at which a sum last
 * fell below its limit, the sums of deviations up and down as float32, places.
 */
const places = new Places({ capacity: 38, newAbove: 0.03 })

/** Offsets in 4-byte words. */
const LEARNED = 0
const CROSSED = 1
const UP = 2
const DOWN = 3
/** In words of 8 bytes. */
const PLACES = 2

export const GUARD_MEMORY_LENGTH = PLACES + places.length

/** The share of the gap between a place and the next one that is not new. */
const DISCOUNT = 0.2

/** The sums are of z up to this, less the slack. A greater sum is one of many deviations. */
const SUMMED_MAX = 3
const SLACK = 1
export const SUM_LIMIT = 6.5
/** From a lesser sum no deviation exceeds the limit. */
export const SUM_LIMIT_MIN = SUM_LIMIT - SUMMED_MAX + SLACK

/** Returns the number of samples learned. */
export function learnedSamples({ words }: RowSlab, at: number): number {
  return words[2 * at + LEARNED] as number
}

/** Returns the sum of deviations above (side 1) or below (side -1). */
export function sumOf({ floats }: RowSlab, at: number, side: number): number {
  return floats[2 * at + (side > 0 ? UP : DOWN)] as number
}

/** Returns a sum after another deviation. */
export function addToSum(sum: number, z: number): number {
  return Math.max(0, sum + Math.max(-SUMMED_MAX, Math.min(SUMMED_MAX, z)) - SLACK)
}

/** Returns how many samples ago a sum fell below its limit; Infinity if none ever did. */
export function samplesSinceCrossing({ words }: RowSlab, at: number): number {
  const crossed = words[2 * at + CROSSED] as number
  return crossed === 0 ? Number.POSITIVE_INFINITY : (words[2 * at + LEARNED] as number) + 1 - crossed
}

const found = createFound()

/** Returns how far a value is from all known places, in widths of the range. */
export function newsOf(slab: RowSlab, at: number, value: number): number {
  places.look(slab, at + PLACES, value, found)
  return inWidths(found.distance - DISCOUNT * found.gap, found.width, Math.abs(value))
}

/** Learns a value and its z-score (0 while that is unknown). */
export function learnValue(slab: RowSlab, at: number, value: number, z: number): void {
  const { words, floats } = slab
  const number = words[2 * at + LEARNED] as number
  words[2 * at + LEARNED] = number + 1
  const up = floats[2 * at + UP] as number
  const down = floats[2 * at + DOWN] as number
  if (up !== 0 || down !== 0 || z > SLACK || z < -SLACK) {
    floats[2 * at + UP] = addToSum(up, z)
    floats[2 * at + DOWN] = addToSum(down, -z)
    const wasOver = up > SUM_LIMIT || down > SUM_LIMIT
    const isOver = (floats[2 * at + UP] as number) > SUM_LIMIT || (floats[2 * at + DOWN] as number) > SUM_LIMIT
    if (wasOver && !isOver) words[2 * at + CROSSED] = number + 1
  }
  places.visit(slab, at + PLACES, value, number)
}
