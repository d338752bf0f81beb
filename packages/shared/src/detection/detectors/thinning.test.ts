import fc from 'fast-check'
import { expect, test } from 'vitest'
import { notePassed, THINNING_LENGTH, thinned } from './thinning.ts'

test('a score passes if it exceeds what those that passed in the last 50 samples count for', () => {
  /** Scores, and the share of each that counts after it. */
  const scores = fc.array(fc.tuple(fc.nat(12), fc.constantFrom(0.5, 0.8, 1)), { minLength: 60, maxLength: 300 })
  fc.assert(
    fc.property(scores, pairs => {
      const states = new Float64Array(THINNING_LENGTH)
      const passed: number[] = []
      for (const [i, [score, share]] of pairs.entries()) {
        const bar = Math.max(0, ...passed.slice(-50))
        const isPassing = score > bar
        expect(thinned(states, 0, score, i + 1)).toBe(isPassing ? score : 0)
        const counted = isPassing ? share * score : 0
        notePassed(states, 0, counted, i + 1)
        // What is capped does not lower the bar that it has passed.
        passed.push(isPassing ? Math.max(bar, counted) : 0)
      }
    }),
  )
})
