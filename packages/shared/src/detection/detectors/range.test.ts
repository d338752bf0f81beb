import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRange } from './range.ts'
import { anySeries, scoresOf } from './testing/series.ts'

/** How far outside, in widths; within the rounding of the ends a range without width is left by nothing. */
function oracle(values: readonly number[]): number {
  if (values.length <= 30) return Number.NaN
  let [low = 0] = values
  let high = low
  for (const value of values.slice(1, -1)) {
    const shrunk = ((high - low) * 1e-4) / 2
    low = Math.min(low + shrunk, value)
    high = Math.max(high - shrunk, value)
  }
  const last = values.at(-1) ?? 0
  const outside = last > high ? last - high : last < low ? low - last : 0
  const rounding = 4 * 2 ** -52 * Math.max(Math.abs(low), Math.abs(high))
  if (high - low <= rounding) return outside <= rounding ? 0 : 1e6
  return Math.min(1e6, outside / (high - low))
}

describe('range', () => {
  test('equals its formula, bit for bit', () => {
    fc.assert(
      fc.property(anySeries, values => {
        expect(scoresOf(createRange(), values)).toEqual(values.map((_, n) => oracle(values.slice(0, n + 1))))
      }),
      { numRuns: 30 },
    )
  })

  test('forgets: after 10,000 samples about e^-1 of the width is left', () => {
    const values = [0, 100, ...Array.from({ length: 10_000 }, () => 50)]
    const [score] = scoresOf(createRange(), [...values, 100]).slice(-1)
    const width = 100 * (1 - 1e-4) ** 10_000
    expect(score).toBeCloseTo((50 - width / 2) / width, 6)
  })
})
