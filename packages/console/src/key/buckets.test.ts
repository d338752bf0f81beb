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
  const points = joinLevels([fine, coarse], [sample(145_000, 7), sample(146_000, 8)], false)
  expect(points.map(({ timestamp }) => timestamp)).toEqual([30_000, 90_000, 125_000, 135_000, 145_000, 146_000])
  expect(points.map(({ value }) => value)).toEqual([0, 60, 120, 130, 7, 8])
  expect(points.map(({ low, high }) => [low, high])).toEqual([...Array(4).fill([0, 9]), [7, 7], [8, 8]])
})

test('an interval without samples is a gap', () => {
  const points = joinLevels([levelOf(10_000, 0, 30_000)], [], false)
  expect(points.map(({ timestamp, value }) => [timestamp, value])).toEqual([
    [5000, 0],
    [30_000, Number.NaN],
    [35_000, 30],
  ])
})

test('a counter has the rates between buckets, and none at a reset', () => {
  const { buckets, ...level } = levelOf(10_000, 0, 10_000, 20_000)
  const counted = [5, 25, 3].map((mean, i) => ({ ...(buckets[i] as Bucket), mean }))
  const points = joinLevels([{ ...level, buckets: counted }], [], true)
  expect(points.map(({ value }) => value)).toEqual([Number.NaN, 2, Number.NaN])
})

test('a CSV has buckets and samples as they are, and no gaps', () => {
  const points = joinLevels([levelOf(10_000, 0, 30_000)], [sample(50_000, 1e-7)], false)
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
