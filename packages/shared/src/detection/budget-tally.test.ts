import { expect, test } from 'vitest'
import { VERDICT_DEFAULTS } from '../analysis.ts'
import { createHistory, normalNumbers } from './alerts-simulation.ts'
import { type Budget, parseBudget } from './budget.ts'
import { BudgetTally } from './budget-tally.ts'
import { createJudgement } from './detector.ts'
import { createZscore } from './detectors/zscore.ts'
import { createPolicy, type PolicyParts, signedScore, thresholdOf } from './policy.ts'

/** Normal noise, a sample a second. */
function tally(parts: PolicyParts, count: number): BudgetTally['rates'] {
  const policy = createPolicy(parts, VERDICT_DEFAULTS)
  const counts = new BudgetTally(policy)
  const detector = createZscore()
  const judgement = createJudgement()
  const { history, push } = createHistory(policy.window)
  const next = normalNumbers(3)
  for (let i = 0; i < count; i++) {
    const value = next()
    detector.judge(history, new Float64Array(), 0, value, i, judgement)
    const score = signedScore(policy, judgement, value)
    if (!Number.isNaN(score)) {
      counts.count(history.size, 1000, Math.abs(score) > thresholdOf(policy, history.size, 1000))
    }
    push(value, 1000 * i)
  }
  return counts.rates
}

test.each<[string, PolicyParts, number]>([
  ['the default threshold', {}, 0.0556],
  ['a threshold of 3, up', { threshold: 3, direction: 'up' }, 0.0025],
  ['a budget of 1 %', { budget: parseBudget('1 %') as Budget }, 0.01],
])('%s: normal noise is flagged as often as expected', (_, parts, share) => {
  const { judged, flagged, expected } = tally(parts, 100_000)
  expect(judged).toBe(100_000 - 30)
  expect((expected ?? 0) / judged / share).toBeCloseTo(1, 2)
  // Windows that follow one another share their samples, so the error is somewhat larger than that of independent ones.
  expect(Math.abs(flagged - (expected ?? 0))).toBeLessThan(6 * Math.sqrt(judged * share))
})

test('of other detectors nobody knows what to expect', () => {
  const counts = new BudgetTally(createPolicy({ detector: 'ewma' }, VERDICT_DEFAULTS))
  counts.count(50, 1000, true)
  expect(counts.rates).toEqual({ judged: 1, flagged: 1, expected: null })
})
