import { expect, test } from 'vitest'
import { meanSince } from './means.ts'

const BEFORE = { time: 1000, count: 10, sum: 50 }

test.each([
  ['what was added', BEFORE, { time: 2000, count: 14, sum: 58 }, undefined, 2],
  ['what was added, since a start long ago', BEFORE, { time: 2000, count: 14, sum: 58 }, 0, 2],
  [
    'what was added, since a start in the millisecond of the first point',
    BEFORE,
    { time: 2000, count: 14, sum: 58 },
    1000,
    2,
  ],
  ['negative values', BEFORE, { time: 2000, count: 12, sum: 44 }, undefined, -3],
  ['all after a restart with a lower count', BEFORE, { time: 2000, count: 4, sum: 8 }, undefined, 2],
  ['all after a restart that the start shows', BEFORE, { time: 2000, count: 20, sum: 40 }, 1500, 2],
  ['nothing without a point before', undefined, { time: 2000, count: 14, sum: 58 }, 1500, undefined],
  ['nothing where nothing came', BEFORE, { time: 2000, count: 10, sum: 50 }, undefined, undefined],
  ['nothing of a series that has restarted without values', BEFORE, { time: 2000, count: 0, sum: 0 }, 1500, undefined],
])('the mean is of %s', (_, before, total, start, mean) => {
  expect(meanSince(before, total, start)).toBe(mean)
})
