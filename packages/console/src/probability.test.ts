import { expect, test } from 'vitest'
import { tailProbability } from './probability.ts'

/** Two-sided tails of Student's t, from tables; z is t scaled by sqrt((n + 1) / (n - 1)). */
test.each([
  [2.0096, 50, 0.05],
  [2.68, 50, 0.01],
  [3.5004, 50, 0.001],
  [2.228, 11, 0.05],
  [12.706, 2, 0.05],
])('a t of %d from %d samples has the probability %d', (t, samples, expected) => {
  const z = t * Math.sqrt((samples + 1) / (samples - 1))
  expect(tailProbability(z, samples) / expected).toBeCloseTo(1, 2)
})

test('it falls with the distance and never leaves 0 to 1', () => {
  const all = [0, 1, 2, 5, 10, 100, 1e6].map(z => tailProbability(z, 50))
  expect(all[0]).toBeCloseTo(1, 6)
  expect(all).toEqual([...all].sort((a, b) => b - a))
  expect(all.at(-1)).toBeGreaterThanOrEqual(0)
})
