import { describe, expect, test } from 'vitest'
import { isBeyond, SCORE_CAP, zScore } from './score.ts'

describe('z', () => {
  test('is the distance from the mean in deviations', () => {
    expect(zScore(13, 10, 2)).toBe(1.5)
    expect(zScore(7, 10, 2)).toBe(-1.5)
  })

  test('of a flat window is 0 at its value and the cap for any other value', () => {
    expect(zScore(5, 5, 0)).toBe(0)
    expect(zScore(5.001, 5, 0)).toBe(SCORE_CAP)
    expect(zScore(4.999, 5, 0)).toBe(-SCORE_CAP)
    expect(zScore(0, 0, 0)).toBe(0)
    expect(zScore(-1e-300, 0, 0)).toBe(-SCORE_CAP)
  })

  test('treats a jitter in the last place as rounding', () => {
    const oneUlp = 0.1 * Number.EPSILON
    expect(zScore(0.1 + oneUlp, 0.1, oneUlp / 2)).toBe(0)
  })

  test('treats a jitter of 1e-3 on 1e9 as variation', () => {
    expect(zScore(1e9 + 0.003, 1e9, 1e-3)).toBeCloseTo(3, 3)
  })

  test('of a value beside a rounded mean has its digits from what the mean lost', () => {
    expect(zScore(1e9, 1e9, 1e-3, 2 ** -25)).toBe(-(2 ** -25) / 1e-3)
    expect(zScore(1e9 + 0.003, 1e9, 1e-3, 2 ** -25)).toBe((1e9 + 0.003 - 1e9 - 2 ** -25) / 1e-3)
  })

  test('of the greatest doubles is finite', () => {
    expect(zScore(Number.MAX_VALUE, -Number.MAX_VALUE, Number.MAX_VALUE)).toBe(2)
  })

  test('is limited to the cap', () => {
    expect(zScore(1e100, 0, 1e-9)).toBe(SCORE_CAP)
    expect(zScore(-1e100, 0, 1e-9)).toBe(-SCORE_CAP)
  })
})

describe('the threshold', () => {
  test('is not exceeded by an exact tie or its rounding', () => {
    expect(isBeyond(2, 2)).toBe(false)
    expect(isBeyond(2 * (1 + Number.EPSILON), 2)).toBe(false)
    expect(isBeyond(-2 * (1 + Number.EPSILON), 2)).toBe(false)
  })

  test('is exceeded by a greater score', () => {
    expect(isBeyond(2.000000001, 2)).toBe(true)
    expect(isBeyond(-2.000000001, 2)).toBe(true)
  })
})
