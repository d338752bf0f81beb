import type { Bucket } from '@tidemark/client/types'
import { expect, test } from 'vitest'
import { bucketsToCsv, joinLevels } from './buckets.ts'
import type { Point } from './points.ts'

function levelOf(step_ms: number, ...starts: number[]) {
  const buckets = starts.map((start): Bucket => {
    return { start, count: 2, mean: start / 1000, deviation: 1, min: 0, max: 9, anomalies: 1, open: false }
  })
  return { key: 'a', step_ms, buckets }
}

function sample(timestamp: number, value: number): Point {
  return { timestamp, value, mean: 5, low: 4, high: 6, state: 'anomalous' }
}

const MINUTE = 60_000

test('levels and the newest samples are joined without an overlap', () => {
  const fine = levelOf(10_000, 120_000, 130_000, 140_000, 150_000)
  const coarse = levelOf(MINUTE, 0, MINUTE, 2 * MINUTE)
  const points = joinLevels([fine, coarse], [sample(150_000, 7), sample(156_000, 8)], { isCounter: false })
  expect(points.map(({ timestamp }) => timestamp)).toEqual([
    30_000, 90_000, 125_000, 135_000, 145_000, 150_000, 156_000,
  ])
  expect(points.map(({ value }) => value)).toEqual([0, 60, 120, 130, 140, 7, 8])
  expect(points.map(({ low, high }) => [low, high])).toEqual([...Array(5).fill([0, 9]), [7, 7], [8, 8]])
})

const startsOf = (points: readonly Point[]) =>
  points.filter(({ value }) => !Number.isNaN(value)).map(({ timestamp, bucket }) => bucket?.start ?? timestamp)
const MEANS = { isCounter: false }

test('a finer level begins where a bucket of the coarser one ends, so that no time is left out', () => {
  const fine = levelOf(10_000, 90_000, 100_000, 110_000, 120_000, 130_000)
  const coarse = levelOf(MINUTE, 0, MINUTE, 2 * MINUTE)
  expect(startsOf(joinLevels([fine, coarse], [sample(140_000, 7)], MEANS))).toEqual([
    ...[0, MINUTE, 120_000, 130_000, 140_000],
  ])
  // Where the coarse bucket is not over, the finer ones have more of the same.
  const young = levelOf(10_000, 130_000, 140_000)
  expect(startsOf(joinLevels([young, coarse], [sample(150_000, 7)], MEANS))).toEqual([
    ...[0, MINUTE, 130_000, 140_000, 150_000],
  ])
})

test('levels finer than the base only fill the time after its last whole bucket', () => {
  const fine = levelOf(10_000, ...[60_000, 70_000, 80_000, 90_000, 100_000, 110_000, 120_000, 130_000])
  const coarse = levelOf(MINUTE, 0, MINUTE, 2 * MINUTE)
  const points = joinLevels([fine, coarse], [sample(140_000, 7)], { isCounter: false, baseMs: MINUTE })
  expect(startsOf(points)).toEqual([0, MINUTE, 120_000, 130_000, 140_000])
})

test('samples of which the page has only some are shown as their buckets', () => {
  const fine = levelOf(10_000, 0, 10_000, 20_000, 30_000)
  const part = [14_000, 19_000, 20_000, 31_000].map(time => sample(time, 1))
  expect(startsOf(joinLevels([fine], part, MEANS))).toEqual([0, 10_000, 20_000, 31_000])
  // While the page was hidden, samples came that it does not have.
  const hole = [0, 1000, 32_000, 33_000].map(time => sample(time, 1))
  expect(startsOf(joinLevels([fine], hole, MEANS))).toEqual([0, 10_000, 20_000, 32_000, 33_000])
  // All of them are in one bucket, which is not over.
  expect(startsOf(joinLevels([fine], [sample(32_000, 1)], MEANS))).toEqual([0, 10_000, 20_000, 32_000])
})

test('an interval without samples is a gap', () => {
  const points = joinLevels([levelOf(10_000, 0, 30_000, 40_000)], [], { isCounter: false })
  expect(points.map(({ timestamp, value }) => [timestamp, value])).toEqual([
    [5000, 0],
    [30_000, Number.NaN],
    [35_000, 30],
    [45_000, 40],
  ])
})

test('a key that sends rarely has a gap only where it sent nothing for longer than it does', () => {
  const points = joinLevels([levelOf(10_000, 0, 50_000, 100_000, 150_000, 300_000)], [], { isCounter: false })
  expect(points.map(({ value }) => value)).toEqual([0, 50, 100, 150, Number.NaN, 300])
})

test('a counter has the rates between buckets, and none at a reset', () => {
  const { buckets, ...level } = levelOf(10_000, 0, 10_000, 20_000)
  const counted = [5, 25, 3].map((mean, i) => ({ ...(buckets[i] as Bucket), mean }))
  const points = joinLevels([{ ...level, buckets: counted }], [], { isCounter: true })
  expect(points.map(({ value }) => value)).toEqual([Number.NaN, 2, Number.NaN])
})

test('a CSV has buckets and samples as they are, and no gaps', () => {
  const points = joinLevels([levelOf(10_000, 0, 30_000)], [sample(50_000, 1e-7)], { isCounter: false })
  expect(bucketsToCsv(points)).toBe(
    [
      'start,count,mean,deviation,min,max,anomalies',
      '1970-01-01T00:00:00.000Z,2,0,1,0,9,1',
      '1970-01-01T00:00:30.000Z,2,30,1,0,9,1',
      '1970-01-01T00:00:50.000Z,1,1e-7,0,1e-7,1e-7,1',
      '',
    ].join('\r\n'),
  )
})
