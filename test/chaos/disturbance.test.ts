import { expect, test, vi } from 'vitest'
import { Disturbances } from './disturbance.ts'

test('the last end is that of the latest overlapping disturbance and never before the start', () => {
  const now = vi.spyOn(performance, 'now')
  const at = (ms: number): void => void now.mockReturnValue(ms)
  const disturbances = new Disturbances()
  at(10)
  const end = disturbances.begin()
  at(30)
  end()
  at(50)
  disturbances.note()
  at(90)
  disturbances.begin()
  expect(disturbances.lastEnd(20, 40)).toBe(30)
  expect(disturbances.lastEnd(20, 60)).toBe(50)
  expect(disturbances.lastEnd(31, 49)).toBe(31)
  expect(disturbances.lastEnd(20, 100)).toBe(Number.POSITIVE_INFINITY)
})
