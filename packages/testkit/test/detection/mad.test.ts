import { createMad } from '@tidemark/shared/detection/detectors/mad'
import { takeMedian } from '@tidemark/shared/detection/detectors/median'
import { createZscore } from '@tidemark/shared/detection/detectors/zscore'
import { zScore } from '@tidemark/shared/verdict/score'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anySeries, scoresOf, verdictsOf, windowBefore } from '../../src/series.ts'

function sortedMedian(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
  const upper = sorted[Math.floor(sorted.length / 2)] ?? 0
  return lower === upper ? lower : lower / 2 + upper / 2
}

describe('mad', () => {
  test('equals its formula on the sorted window, bit for bit', () => {
    fc.assert(
      fc.property(anySeries, fc.constantFrom(31, 50, 500), (values, window) => {
        const scores = scoresOf(createMad(), values, window)
        const deviations = verdictsOf(createZscore(), values, window).map(({ spread }) => spread)
        const expected = values.map((value, n) => {
          const before = windowBefore(values, n, window)
          if (before.length < 30) return Number.NaN
          const median = sortedMedian(before)
          const mad = sortedMedian(before.map(other => Math.abs(other - median)))
          return Math.abs(zScore(value, median, Math.max(1.4826 * mad, 0.5 * (deviations[n] ?? 0))))
        })
        expect(scores).toEqual(expected)
      }),
    )
  })

  test('has half the deviation as its spread on quantised values', () => {
    const values = Array.from({ length: 60 }, (_, n) => (n % 5 === 0 ? 4 : 3))
    const [mad, zscore] = [createMad(), createZscore()].map(detector => verdictsOf(detector, values).at(-1))
    expect(mad?.low).toBe(3)
    expect(mad?.spread).toBe((zscore?.spread ?? 0) / 2)
  })
})

test('the median does not depend on the hint', () => {
  const number = fc.oneof(
    fc.double({ noNaN: true, min: -1e300, max: 1e300 }).map(value => value + 0),
    fc.integer({ min: -2, max: 2 }),
  )
  fc.assert(
    fc.property(fc.array(number, { minLength: 1, maxLength: 70 }), number, fc.nat(), (values, elsewhere, pick) => {
      const expected = sortedMedian(values)
      for (const hint of [elsewhere, expected, values[pick % values.length] ?? 0]) {
        expect(takeMedian(Float64Array.from(values), values.length, hint)).toBe(expected)
      }
    }),
    { numRuns: 500 },
  )
})
