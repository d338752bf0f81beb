import { createStep } from '@tidemark/shared/detection/detectors/step'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wavering } from '../../src/memory-oracle.ts'
import { Random } from '../../src/random.ts'
import { anySeries, scoresOf } from '../../src/series.ts'

/** The recipe, line by line. Keeps all steps and all scores that passed. */
function oracle(values: readonly number[]): number[] {
  const steps: number[] = []
  const passed: number[] = []
  let q = 0
  let m = 0
  const calibrate = (greatest: number, mean: number): void => {
    q = 0.8 * greatest
    m = (greatest - mean) / 4
    if (!(m > 0.01 * greatest)) m = (1 - 0.8) * greatest
  }
  return values.map((value, n) => {
    if (n === 0) return Number.NaN
    const before = values[n - 1] as number
    const rounding = 4 * 2 ** -52 * Math.abs(value)
    const difference = Math.abs(value - before)
    const f = difference <= rounding ? 0 : Math.min(Number.MAX_VALUE, difference)
    const [low, high] = [before - q, before + q]
    const distance = value > high ? value - high : value < low ? low - value : 0
    const flat = 4 * 2 ** -52 * Math.max(Math.abs(low), Math.abs(high))
    const raw = m <= flat ? (distance <= flat ? 0 : 1e6) : Math.min(1e6, distance / m)
    const isJudged = steps.length >= 100
    const score = isJudged && f > 0 && raw > Math.max(0, ...passed.slice(-50)) ? raw : 0
    passed.push(score < 1e6 ? score : 0)
    steps.push(f)
    if (steps.length === 100) {
      calibrate(
        Math.max(...steps),
        steps.reduce((sum, step) => sum + step / 100, 0),
      )
    } else if (steps.length > 100 && q === 0) {
      if (f > 0) calibrate(f, 0)
    } else if (steps.length > 100) {
      const e = Math.max(0.05, 1 / steps.length)
      q = Math.min(Number.MAX_VALUE, Math.max(rounding, q * (1 + e * (f > q ? 0.99 : 0.99 - 1))))
      if (f > q) m += 0.1 * (Math.min(f - q, 8 * m) - m)
    }
    return isJudged ? score : Number.NaN
  })
}

describe('step', () => {
  test('equals its formula, bit for bit', () => {
    fc.assert(
      fc.property(anySeries, values => {
        expect(scoresOf(createStep(), values)).toEqual(oracle(values))
      }),
    )
    expect(scoresOf(createStep(), wavering(5000))).toEqual(oracle(wavering(5000)))
  })

  test('follows the steps of a key: an eighth e-fold is rare, whatever the scale', () => {
    for (const scale of [1e-6, 1, 1e9]) {
      const random = new Random(4)
      const noise = Array.from({ length: 5000 }, () => 100 * scale + scale * random.normal())
      const scores = scoresOf(createStep(), [...noise, 112 * scale])
      expect(scores.slice(100, -1).filter(score => score > 8).length).toBeLessThanOrEqual(2)
      expect(scores.at(-1)).toBeGreaterThan(8)
    }
  })

  test('learns from the first step of a key that was flat', () => {
    const levels = [...Array<number>(300).fill(20), ...Array<number>(100).fill(21), ...Array<number>(100).fill(20)]
    const scores = scoresOf(createStep(), levels)
    expect(scores.flatMap((score, n) => (score > 2 ? [n] : []))).toEqual([300])
  })
})
