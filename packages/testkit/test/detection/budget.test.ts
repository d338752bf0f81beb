import {
  BudgetThresholds,
  type Direction,
  parseBudget,
  shareBeyond,
  thresholdForShare,
} from '@tidemark/shared/detection/rules/budget'
import { describe, expect, test } from 'vitest'
import { Random } from '../../src/random.ts'

const DAY = 86_400e3

describe('a budget', () => {
  test.each([
    ['0.1 %', { kind: 'share', share: 0.001 }],
    ['5%', { kind: 'share', share: 0.05 }],
    ['1 per key per day', { kind: 'rate', perMillisecond: 1 / DAY }],
    ['0.5 per key per week', { kind: 'rate', perMillisecond: 0.5 / (7 * DAY) }],
  ])('is parsed from %s', (text, budget) => {
    expect(parseBudget(text)).toEqual(budget)
  })

  test.each([
    '',
    '0 %',
    '11 %',
    '1',
    '1 per day',
    '0 per key per day',
    '-1 per key per day',
    '1e9 per key per minute',
    '1 per key per year',
  ])('is not parsed from %j', text => {
    expect(parseBudget(text)).toBeUndefined()
  })
})

describe('the threshold for a share of false alarms', () => {
  test('is that of the t distribution: threshold 2 flags 5.6 % with a window of 50, 10.4 % with one of 10', () => {
    expect(shareBeyond(2, { samples: 50, direction: 'both' })).toBeCloseTo(0.0556, 4)
    expect(shareBeyond(2, { samples: 10, direction: 'both' })).toBeCloseTo(0.1039, 4)
    expect(shareBeyond(3, { samples: 50, direction: 'both' })).toBeCloseTo(0.00499, 5)
  })

  // From a table of the t distribution: the 97.5 % point is 2.0096 with 49 degrees of freedom,
  // 2.2622 with 9.
  test.each([
    [0.05, 50, 'both', 2.009575 * Math.sqrt(51 / 49)],
    [0.05, 10, 'both', 2.262157 * Math.sqrt(11 / 9)],
    [0.025, 50, 'up', 2.009575 * Math.sqrt(51 / 49)],
    [1e-7, 50, 'both', 6.239294 * Math.sqrt(51 / 49)],
  ] satisfies [number, number, Direction, number][])(
    'of %d with %d samples, %s',
    (share, samples, direction, expected) => {
      expect(thresholdForShare(share, { samples, direction })).toBeCloseTo(expected, 5)
    },
  )

  test('is the inverse of the share beyond a threshold', () => {
    for (const samples of [5, 10, 50, 500]) {
      for (const share of [0.1, 1e-3, 1e-6, 1e-9]) {
        for (const direction of ['up', 'down', 'both'] as const) {
          const threshold = thresholdForShare(share, { samples, direction })
          if (threshold < 1e4) expect(shareBeyond(threshold, { samples, direction }) / share).toBeCloseTo(1, 5)
        }
      }
    }
  })

  // 100,000 windows of independent numbers: within four standard errors.
  test.each([
    [0.01, 50, 'both'],
    [0.001, 50, 'both'],
    [0.01, 10, 'both'],
    [0.001, 30, 'up'],
    [0.01, 20, 'down'],
  ] satisfies [number, number, Direction][])(
    'flags the share %d of normal noise with %d samples, %s',
    (share, samples, direction) => {
      const windows = 100_000
      const threshold = thresholdForShare(share, { samples, direction })
      const random = new Random(samples)
      const values = new Float64Array(samples)
      let flagged = 0
      for (let window = 0; window < windows; window++) {
        let sum = 0
        for (let i = 0; i < samples; i++) {
          const value = random.normal()
          values[i] = value
          sum += value
        }
        const mean = sum / samples
        let squares = 0
        for (const value of values) squares += (value - mean) ** 2
        const z = (random.normal() - mean) / Math.sqrt(squares / samples)
        if (direction === 'both' ? Math.abs(z) > threshold : direction === 'up' ? z > threshold : z < -threshold)
          flagged++
      }
      const error = Math.sqrt(windows * share * (1 - share))
      expect(Math.abs(flagged - windows * share)).toBeLessThan(4 * error)
    },
  )
})

describe('the thresholds of a budget', () => {
  test('depend on the rate at which the key sends', () => {
    const thresholds = new BudgetThresholds({ kind: 'rate', perMillisecond: 1 / DAY }, 'both')
    const exact = thresholdForShare(1000 / DAY, { samples: 50, direction: 'both' })
    const atOneSecond = thresholds.thresholdFor(50, 1000)
    expect(atOneSecond).toBeGreaterThanOrEqual(exact)
    expect(atOneSecond - exact).toBeLessThan(0.05)
    expect(thresholds.thresholdFor(50, 60_000)).toBeLessThan(atOneSecond)
    expect(thresholds.shareFor(1000)).toBeCloseTo(1000 / DAY, 5)
  })

  test('allow at most the budget, and at least seven eighths of it', () => {
    const thresholds = new BudgetThresholds({ kind: 'rate', perMillisecond: 1 / DAY }, 'both')
    for (let intervalMs = 1; intervalMs < DAY / 10; intervalMs *= 1.07) {
      const spent = thresholds.shareFor(intervalMs) * (DAY / intervalMs)
      expect(spent).toBeLessThanOrEqual(1 + 1e-9)
      expect(spent).toBeGreaterThan(0.875)
    }
  })

  test('are the highest ones when timestamps are equal or decrease', () => {
    const thresholds = new BudgetThresholds({ kind: 'rate', perMillisecond: 1 / DAY }, 'both')
    const quietest = thresholds.thresholdFor(50, 1)
    for (const intervalMs of [0, -5, Number.NaN]) expect(thresholds.thresholdFor(50, intervalMs)).toBe(quietest)
  })

  test('do not depend on the rate if the budget is a share', () => {
    const thresholds = new BudgetThresholds({ kind: 'share', share: 0.001 }, 'up')
    expect(thresholds.thresholdFor(50, 1)).toBe(thresholdForShare(0.001, { samples: 50, direction: 'up' }))
    expect(thresholds.thresholdFor(50, 1e9)).toBe(thresholds.thresholdFor(50, 1))
  })
})
