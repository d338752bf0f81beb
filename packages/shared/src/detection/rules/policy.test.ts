import { describe, expect, test } from 'vitest'
import { VERDICT_DEFAULTS } from '../../verdict/analysis.ts'
import { createPolicy, signedScore, thresholdOf } from './policy.ts'

const JUDGEMENT = { score: 3, low: 10, high: 10, spread: 2 }

describe('a policy', () => {
  test("has the deployment's z-score by default", () => {
    const policy = createPolicy({}, { window: 80, threshold: 2.5, windowMin: 40 })
    expect(policy).toMatchObject({ rule: null, detector: 'zscore', window: 80, samplesMin: 40, threshold: 2.5 })
  })

  test('needs at most the samples of a full window', () => {
    expect(createPolicy({ window: 20 }, VERDICT_DEFAULTS).samplesMin).toBe(20)
  })

  test('with the default threshold opens alerts beyond 3 and 6 and closes them up to 1.5', () => {
    const { threshold, alert } = createPolicy({}, VERDICT_DEFAULTS)
    expect([alert.open, alert.instant, alert.close].map(line => line * threshold)).toEqual([3, 6, 1.5])
  })

  test('under a budget has a threshold that depends on window and rate', () => {
    const policy = createPolicy({ budget: { kind: 'rate', perMillisecond: 1 / 86_400e3 } }, VERDICT_DEFAULTS)
    expect(thresholdOf(policy, 50, 1000)).toBeGreaterThan(thresholdOf(policy, 50, 60_000))
    expect(thresholdOf(policy, 30, 1000)).toBeGreaterThan(thresholdOf(policy, 50, 1000))
    expect([0, 1].map(samples => thresholdOf(policy, samples, 0))).toEqual([2, 2])
    expect(policy.alert).toMatchObject({ open: 1, samples: 1, instant: 1 })
  })
})

describe('a score', () => {
  const score = (parts: Parameters<typeof createPolicy>[0], value: number): number =>
    signedScore(createPolicy(parts, VERDICT_DEFAULTS), JUDGEMENT, value)

  test('has the sign of its side', () => {
    expect([score({}, 16), score({}, 4)]).toEqual([3, -3])
  })

  test('is 0 on the side that the rule ignores', () => {
    expect([score({ direction: 'up' }, 4), score({ direction: 'down' }, 16)]).toEqual([0, 0])
    expect([score({ direction: 'up' }, 16), score({ direction: 'down' }, 4)]).toEqual([3, -3])
  })

  test('is 0 if the value is too close', () => {
    expect([score({ deviationMin: 6 }, 16), score({ deviationMin: 6.1 }, 16)]).toEqual([3, 0])
    expect([score({ deviationMinRelative: 0.6 }, 16), score({ deviationMinRelative: 0.61 }, 4)]).toEqual([3, 0])
  })

  test('of an expected value counts unless the rule requires a side or a distance', () => {
    expect([score({}, 10), score({ direction: 'up' }, 10), score({ deviationMin: 1 }, 10)]).toEqual([3, 0, 0])
  })

  test('stays unknown while warming', () => {
    const policy = createPolicy({ direction: 'up' }, VERDICT_DEFAULTS)
    expect(signedScore(policy, { ...JUDGEMENT, score: Number.NaN }, 16)).toBeNaN()
  })
})
