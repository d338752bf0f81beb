import { createEwma } from '@tidemark/shared/detection/detectors/ewma'
import { zScore } from '@tidemark/shared/verdict/score'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { wavering } from '../../src/memory-oracle.ts'
import { anySeries, scoresOf } from '../../src/series.ts'

/** The weights are spelled out: those of a plain average until they reach the constants. */
function oracle(values: readonly number[]): number[] {
  let mean = 0
  let variance = 0
  return values.map((value, n) => {
    const score = Math.abs(zScore(value, mean, Math.sqrt(variance)))
    const difference = value - mean
    if (n > 0)
      variance = variance + (n < 1000 ? 1 / n : 0.001) * (Math.min(difference ** 2, 1.7976931348623157e308) - variance)
    mean = mean + (n < 10 ? 1 / (n + 1) : 0.1) * difference
    return n < 30 ? Number.NaN : score
  })
}

test('ewma equals its formula, bit for bit', () => {
  fc.assert(
    fc.property(anySeries, values => {
      expect(scoresOf(createEwma(), values)).toEqual(oracle(values))
    }),
  )
})

test('ewma equals its formula after its first thousand samples too', () => {
  const values = wavering(3000)
  expect(scoresOf(createEwma(), values)).toEqual(oracle(values))
})
