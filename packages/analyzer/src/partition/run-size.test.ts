import { expect, test } from 'vitest'
import { RunSize } from './run-size.ts'

/** Returns the sizes of the runs of a long backlog, in which the keys take turns. */
function sizesOf(keys: number, runs: number): number[] {
  const size = new RunSize()
  return Array.from({ length: runs }, () => {
    const samples = size.samplesMax
    size.add(samples, Math.min(samples, keys))
    return samples
  })
}

test('a run has at most two thousand keys', () => {
  expect(sizesOf(100_000, 5)).toEqual([2000, 2000, 2000, 2000, 2000])
  expect(sizesOf(2500, 5)).toEqual([2000, 2000, 2000, 2000, 2000])
})

test('of few keys it grows, because each then costs less', () => {
  expect(sizesOf(10, 6)).toEqual([2000, 4000, 8000, 16_000, 32_000, 64_000])
  expect(sizesOf(1250, 6)).toEqual([2000, 3200, 5120, 8192, 13_107, 20_971])
})

test('it shrinks at once where samples are of more keys, and not because a run is short', () => {
  const size = new RunSize()
  for (let i = 0; i < 3; i++) size.add(size.samplesMax, 10)
  expect(size.samplesMax).toBe(16_000)
  size.add(5, 5)
  size.add(0, 0)
  expect(size.samplesMax).toBe(16_000)
  size.add(16_000, 8000)
  expect(size.samplesMax).toBe(4000)
  size.add(4000, 4000)
  expect(size.samplesMax).toBe(2000)
})
