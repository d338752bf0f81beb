import fc from 'fast-check'
import { expect, test } from 'vitest'
import { zScore } from '../../analysis.ts'
import { createEwma } from './ewma.ts'
import { anySeries, scoresOf } from './testing/series.ts'

/** From the first value on, each time: the weights of all values so far, then the score of the last. */
function oracle(values: readonly number[]): number {
  const last = values.at(-1) ?? 0
  if (values.length <= 30) return Number.NaN
  let mean = 0
  let variance = 0
  for (const [n, value] of values.slice(0, -1).entries()) {
    const difference = value - mean
    if (n > 0) {
      const square = Math.min(difference ** 2, Number.MAX_VALUE)
      variance = variance + (n < 1000 ? 1 / n : 0.001) * (square - variance)
    }
    mean = mean + (n < 10 ? 1 / (n + 1) : 0.1) * difference
  }
  return Math.abs(zScore(last, mean, Math.sqrt(variance)))
}

test('ewma equals its formula, bit for bit', () => {
  fc.assert(
    fc.property(anySeries, values => {
      const scores = scoresOf(createEwma(), values)
      expect(scores).toEqual(values.map((_, n) => oracle(values.slice(0, n + 1))))
    }),
    { numRuns: 30 },
  )
})
