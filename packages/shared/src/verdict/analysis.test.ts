import { describe, expect, test } from 'vitest'
import { isBeyond, type RuleFinding, toAnalysis, VERDICT_DEFAULTS, Z_CAP, zScore } from './analysis.ts'

const FINDING = { key: 'k', value: 12, timestamp: 5, mean: 10, deviation: 1, count: 51, window: 50, judged: null }
const CONTEXT = { partition: 3, id: '7-1', analyzedAt: 9, threshold: 2, windowMin: 30 }

describe('z', () => {
  test('counts deviations from the mean', () => {
    expect(zScore(13, 10, 2)).toBe(1.5)
    expect(zScore(7, 10, 2)).toBe(-1.5)
  })

  test('is zero in a flat window at its value, and at its cap beside it', () => {
    expect(zScore(5, 5, 0)).toBe(0)
    expect(zScore(5.001, 5, 0)).toBe(Z_CAP)
    expect(zScore(4.999, 5, 0)).toBe(-Z_CAP)
    expect(zScore(0, 0, 0)).toBe(0)
    expect(zScore(-1e-300, 0, 0)).toBe(-Z_CAP)
  })

  test('takes a jitter of the last place for rounding', () => {
    const oneUlp = 0.1 * Number.EPSILON
    expect(zScore(0.1 + oneUlp, 0.1, oneUlp / 2)).toBe(0)
  })

  test('does not take a jitter of 1e-3 on 1e9 for rounding', () => {
    expect(zScore(1e9 + 0.003, 1e9, 1e-3)).toBeCloseTo(3, 3)
  })

  test('never goes beyond its cap', () => {
    expect(zScore(1e100, 0, 1e-9)).toBe(Z_CAP)
    expect(zScore(-1e100, 0, 1e-9)).toBe(-Z_CAP)
  })
})

describe('the threshold', () => {
  test('is not passed by an exact tie, nor by its rounding', () => {
    expect(isBeyond(2, 2)).toBe(false)
    expect(isBeyond(2 * (1 + Number.EPSILON), 2)).toBe(false)
    expect(isBeyond(-2 * (1 + Number.EPSILON), 2)).toBe(false)
  })

  test('is passed by what is really beyond it', () => {
    expect(isBeyond(2.000000001, 2)).toBe(true)
    expect(isBeyond(-2.000000001, 2)).toBe(true)
  })
})

describe('an analysis', () => {
  test('has the band, the receipt and the state of its sample', () => {
    expect(toAnalysis(FINDING, CONTEXT)).toEqual({
      ...{ key: 'k', value: 12, timestamp: 5, mean: 10, deviation: 1, z: 2, threshold: 2, low: 8, high: 12 },
      ...{ anomaly: false, state: 'ok', count: 51, window: 50, id: '3:7-1', analyzed_at: 9 },
    })
  })

  test('is anomalous beyond the threshold', () => {
    expect(toAnalysis({ ...FINDING, value: 12.1 }, CONTEXT)).toMatchObject({ anomaly: true, state: 'anomalous' })
  })

  test('gives no verdict while the key is warming', () => {
    const analysis = toAnalysis({ ...FINDING, value: 1e9, window: 29 }, CONTEXT)
    expect(analysis).toMatchObject({ state: 'warming', z: null, low: null, high: null, anomaly: false, mean: 10 })
    expect(toAnalysis({ ...FINDING, window: 0 }, CONTEXT)).toMatchObject({
      state: 'warming',
      mean: null,
      deviation: null,
    })
  })

  test('is flat on the value of a flat window and anomalous beside it', () => {
    const flat = { ...FINDING, value: 10, deviation: 0 }
    expect(toAnalysis(flat, CONTEXT)).toMatchObject({ state: 'flat', z: 0, anomaly: false, low: 10, high: 10 })
    expect(toAnalysis({ ...flat, value: 11 }, CONTEXT)).toMatchObject({ state: 'anomalous', z: Z_CAP, anomaly: true })
  })

  test('rests on the settings of the replaced service, but for the minimum', () => {
    expect(VERDICT_DEFAULTS).toEqual({ window: 50, threshold: 2, windowMin: 30 })
  })

  test('under a rule has threshold, band and score of its detector, and z of the window all the same', () => {
    const judged = {
      ...{ rule: 'edge-cpu', detector: 'ewma', score: 7, threshold: 6, low: 5, high: 11 },
      ...{ order: 'late' as const, isRefused: false },
    } satisfies RuleFinding
    expect(toAnalysis({ ...FINDING, judged }, CONTEXT)).toMatchObject({
      ...{ z: 2, threshold: 6, low: 5, high: 11, anomaly: true, state: 'anomalous' },
      ...{ rule: 'edge-cpu', detector: 'ewma', score: 7, late: true },
    })
    expect(toAnalysis({ ...FINDING, judged: { ...judged, score: Number.NaN } }, CONTEXT)).toMatchObject({
      ...{ z: 2, low: null, high: null, score: null, state: 'warming' },
    })
    expect(toAnalysis({ ...FINDING, judged: { ...judged, isRefused: true } }, CONTEXT)).toMatchObject({
      ...{ z: null, anomaly: false, state: 'refused' },
    })
  })
})
