import type { History } from '../detectors/detector.ts'

/** The usual resolutions of sensors and counts, the coarsest first. */
const RESOLUTIONS = [
  1, 0.5, 0.25, 0.2, 0.125, 0.1, 0.0625, 0.05, 0.03125, 0.025, 0.02, 0.015625, 0.01, 0.0078125,
].concat([1e-2, 1e-3, 1e-4, 1e-5].flatMap(power => [0.5 * power, 0.25 * power, 0.2 * power, 0.1 * power]))

/** Rounding of a quotient, in units of its last place. */
const ULPS = 4

/** Of numbers that were float32 on their way: half a unit in the last place, relative. */
const FLOAT32_EPSILON = 2 ** -24

/** A quotient this far from an integer is none, however large it is. */
const ROUNDING_MAX = 0.01

/** What the window's mean lags behind the value it mostly has is less than half a step. */
const STEPS_MAX = 1.5 * (1 + 1e-6)

/**
 * Whether `value`, which is `distance` from the expected values, is one step of the key's
 * resolution away: the coarsest usual one of which the value and all samples in `history` are
 * multiples. The score of such a step can be any number, because a window that is flat within its
 * resolution has next to no spread.
 */
export function isOneStep(history: History, distance: number, value: number): boolean {
  // Nearly every sample ends here: its deviation is more than the coarsest resolution.
  if (!(distance <= (RESOLUTIONS[0] as number) * STEPS_MAX)) return false
  const { rows, start, size } = history
  return RESOLUTIONS.some(unit => {
    if (distance > unit * STEPS_MAX || !isMultiple(value, unit)) return false
    for (let i = 0; i < size; i++) if (!isMultiple(rows[start + i] as number, unit)) return false
    return true
  })
}

function isMultiple(value: number, unit: number): boolean {
  const quotient = value / unit
  const epsilon = Math.fround(value) === value ? FLOAT32_EPSILON : Number.EPSILON
  return Math.abs(quotient - Math.round(quotient)) <= Math.min(ROUNDING_MAX, ULPS * epsilon * Math.abs(quotient))
}
