import type { Bucket } from '@tidemark/client/types'
import { expect, test } from 'vitest'
import { alertsIn, anomaliesOf, intervalOf, isBeyondNoise, marksOf, summaryOf } from './marks.ts'
import type { Point } from './points.ts'

const NONE = { value: 5, mean: null, low: null, high: null, state: null }
const BUCKET: Bucket = { start: 0, count: 9, mean: 5, deviation: 1, min: 0, max: 9, anomalies: 0, open: false }

function bucket(start: number, anomalies: number): Point {
  return { ...NONE, timestamp: start + 5000, bucket: { ...BUCKET, start, anomalies } }
}

const POINTS: readonly Point[] = [
  bucket(0, 0),
  bucket(10_000, 3),
  bucket(20_000, 0),
  { ...NONE, timestamp: 30_000, state: 'anomalous' },
  { ...NONE, timestamp: 31_000, state: 'ok' },
]
const ALERTS = [
  { from: 25_000, to: 26_000 },
  { from: 30_000, to: null },
]

test('a bucket stands for all of its time, a sample for its own', () => {
  expect([POINTS[1], POINTS[3]].map(point => point && intervalOf(point))).toEqual([
    { from: 10_000, to: 19_999 },
    { from: 30_000, to: 30_000 },
  ])
})

test('anomalies and alerts are marked, also where no sample was', () => {
  const marks = marksOf(POINTS, [...ALERTS, { from: 90_000, to: null }])
  expect(marks.map(({ from, to, point }) => [from, to, point !== undefined && anomaliesOf(point)])).toEqual([
    [90_000, null, false],
    [30_000, 30_000, 1],
    [30_000, null, false],
    [25_000, 26_000, false],
    [10_000, 19_999, 3],
  ])
})

test('an alert is in every interval in which it fired, and a firing one in all later ones', () => {
  expect(alertsIn(ALERTS, { from: 0, to: 24_999 })).toEqual([])
  expect(alertsIn(ALERTS, { from: 25_500, to: 25_600 })).toEqual([ALERTS[0]])
  expect(alertsIn(ALERTS, { from: 26_001, to: 40_000 })).toEqual([ALERTS[1]])
})

test.each([
  [1, 9, false],
  [2, 9, true],
  [5, 100, false],
  [11, 100, true],
])('%i anomalies of %i samples are more than noise explains: %j', (anomalies, count, isMore) => {
  expect(isBeyondNoise({ ...NONE, timestamp: 5000, bucket: { ...BUCKET, anomalies, count } })).toBe(isMore)
})

test('what is marked is said in words too', () => {
  const all = { from: 0, to: 40_000 }
  expect(summaryOf(POINTS, ALERTS, all)).toBe(
    '4 anomalies (in 1 interval, marked with diamonds; 1 with more than noise explains) and 2 alerts in the time shown.',
  )
  expect(summaryOf(POINTS.slice(3), [], all)).toBe('1 anomaly and no alerts in the time shown.')
  expect(summaryOf([], [], all)).toBe('No anomalies and no alerts in the time shown.')
})
