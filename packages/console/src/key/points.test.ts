import { expect, test } from 'vitest'
import { merge, type Point, rateOf, toCsv } from './points.ts'

function point(timestamp: number, state: Point['state'] = 'ok'): Point {
  return { timestamp, value: timestamp, mean: 1, low: 0, high: 2, state }
}

const times = (points: readonly Point[]): number[] => points.map(({ timestamp }) => timestamp)

test('points are in order of time, however they come', () => {
  expect(times(merge([], [point(3), point(1), point(2)]))).toEqual([1, 2, 3])
  expect(times(merge([point(1), point(3)], [point(2)]))).toEqual([1, 2, 3])
  expect(times(merge([point(1)], [point(2)]))).toEqual([1, 2])
})

test('of two points of one time the one whose verdict is known stays', () => {
  expect(merge([point(1, 'anomalous')], [point(1, null), point(2)])).toEqual([point(1, 'anomalous'), point(2)])
  expect(merge([point(1, null)], [point(1, 'ok'), point(2)])).toEqual([point(1, 'ok'), point(2)])
})

test('the rate follows from the median interval, so that a gap does not change it', () => {
  expect(rateOf([0, 1000, 2000, 60_000, 61_000].map(time => point(time)))).toBe(1 / 1000)
  expect([rateOf([]), rateOf([point(1)]), rateOf([point(1), point(1)])]).toEqual([undefined, undefined, undefined])
})

test('a CSV has every number as it is', () => {
  const points = [{ ...point(0), value: 1e-7, low: null }]
  expect(toCsv(points)).toBe('timestamp,value,mean,low,high,state\r\n1970-01-01T00:00:00.000Z,1e-7,1,,2,ok\r\n')
})
