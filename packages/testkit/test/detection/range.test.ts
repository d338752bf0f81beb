import { createRange } from '@tidemark/shared/detection/detectors/range'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anySeries, scoresOf } from '../../src/series.ts'

/** The distance from the range, in widths. A range without width allows for rounding. */
function oracle(values: readonly number[]): number[] {
  let [low = 0] = values
  let high = low
  return values.map((value, n) => {
    const outside = value > high ? value - high : value < low ? low - value : 0
    const rounding = 4 * 2 ** -52 * Math.max(Math.abs(low), Math.abs(high))
    let score = Math.min(1e6, outside / (high - low))
    if (high - low <= rounding) score = outside <= rounding ? 0 : 1e6
    const shrunk = ((high - low) * 1e-4) / 2
    low = Math.min(low + shrunk, value)
    high = Math.max(high - shrunk, value)
    return n < 30 ? Number.NaN : score
  })
}

describe('range', () => {
  test('equals its formula, bit for bit', () => {
    fc.assert(
      fc.property(anySeries, values => {
        expect(scoresOf(createRange(), values)).toEqual(oracle(values))
      }),
    )
  })

  test('shrinks to about e^-1 of its width in 10,000 samples', () => {
    const values = [0, 100, ...Array.from({ length: 10_000 }, () => 50)]
    const [score] = scoresOf(createRange(), [...values, 100]).slice(-1)
    const width = 100 * (1 - 1e-4) ** 10_000
    expect(score).toBeCloseTo((50 - width / 2) / width, 6)
  })
})
