import type { History, Judgement } from '../detectors/detector.ts'

/** The usual resolutions of sensors and counts, the coarsest first. */
const RESOLUTIONS = [1, 0.5, 0.25, 0.2, 0.125, 0.1, 0.0625, 0.05, 0.03125, 0.025, 0.02, 0.015625, 0.01].concat(
  [1e-2, 1e-3, 1e-4, 1e-5].flatMap(power => [0.5 * power, 0.25 * power, 0.2 * power, 0.1 * power]),
)

/** Rounding of a quotient, in units of its last place. */
const ULPS = 4

/**
 * Whether `value` is no further from the expected values than one step of the key's resolution: the
 * coarsest usual one of which the value and all samples in the window are multiples. The score of
 * such a step can be any number, because a window that is flat within its resolution has no spread.
 */
export function isOneStep(history: History, { low, high }: Pick<Judgement, 'low' | 'high'>, value: number): boolean {
  const distance = value > high ? value - high : low - value
  // Nearly every sample ends here: its deviation is more than the coarsest resolution.
  if (!(distance <= (RESOLUTIONS[0] as number) * (1 + 1e-9))) return false
  const { rows, start, size } = history
  return RESOLUTIONS.some(unit => {
    if (distance > unit * (1 + 1e-9) || !isMultiple(value, unit)) return false
    for (let i = 0; i < size; i++) if (!isMultiple(rows[start + i] as number, unit)) return false
    return true
  })
}

function isMultiple(value: number, unit: number): boolean {
  const quotient = value / unit
  return Math.abs(quotient - Math.round(quotient)) <= ULPS * Number.EPSILON * Math.abs(quotient)
}
