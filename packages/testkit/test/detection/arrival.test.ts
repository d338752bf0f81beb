import { createHistory } from '@tidemark/shared/detection/detectors/detector'
import { Judge } from '@tidemark/shared/detection/judge'
import { createRow, readHistory, shapeOf } from '@tidemark/shared/detection/key-row'
import { createPolicy } from '@tidemark/shared/detection/rules/policy'
import {
  arrivalTimestamp,
  counterTimestamp,
  isOfCounter,
  isOwnTimestamp,
  toUnixMs,
} from '@tidemark/shared/sample/arrival'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { expect, test } from 'vitest'

const NOW = 1_700_000_000_000
const HOUR = 3_600_000

/** Judges samples `[timestamp, value]` of one key that arrive at `NOW`. */
function judge(
  samples: readonly (readonly [number, number])[],
  order: { refusesLate: boolean; dropsDuplicates: boolean },
) {
  const policy = createPolicy({ order }, VERDICT_DEFAULTS)
  const judge = new Judge(policy)
  const row = createRow(shapeOf(policy))
  const results = samples.map(([timestamp, value]) => {
    const judged = judge.step(row, value, timestamp, NOW)
    return [judged.order, judged.isAnalysed]
  })
  return { results, row }
}

test('a stored timestamp says whether it is the time of arrival', () => {
  expect(isOwnTimestamp(arrivalTimestamp(NOW))).toBe(false)
  expect(isOwnTimestamp(NOW)).toBe(true)
  for (const [stored, isOwn] of [
    [NOW, true],
    [arrivalTimestamp(NOW), false],
  ] as const) {
    expect([isOfCounter(stored), isOfCounter(counterTimestamp(stored))]).toEqual([false, true])
    expect(isOwnTimestamp(counterTimestamp(stored))).toBe(isOwn)
    expect(toUnixMs(counterTimestamp(stored))).toBe(NOW)
  }
  for (const time of [0, 1, 2 ** 41 - 1, 3e14]) expect(isOfCounter(counterTimestamp(time))).toBe(true)
  expect(toUnixMs(arrivalTimestamp(NOW + 0.25))).toBe(NOW)
})

test('samples without timestamps of their own are never duplicates, nor late', () => {
  const samples = Array.from({ length: 60 }, (_, i) => [arrivalTimestamp(NOW - (i % 2)), 1] as const)
  const { results, row } = judge(samples, { refusesLate: true, dropsDuplicates: true })
  expect(results).toEqual(samples.map(() => ['in_order', true]))
  const history = createHistory()
  readHistory(row, history)
  const times = [...history.rows.subarray(history.times, history.times + history.size)]
  expect(new Set(times)).toEqual(new Set([NOW, NOW - 1]))
})

test('a repetition of an older sample is refused where late samples are', () => {
  const samples = [
    [NOW - 300_000, 1],
    [NOW, 2],
    [NOW - 300_000, 1],
  ] as const
  const last = (refusesLate: boolean, dropsDuplicates: boolean) =>
    judge(samples, { refusesLate, dropsDuplicates }).results[2]
  expect(last(true, false)).toEqual(['duplicate', false])
  expect(last(false, true)).toEqual(['duplicate', false])
  expect(last(false, false)).toEqual(['duplicate', true])
})

test.each([2 * HOUR, 23 * HOUR, 120_000])('a timestamp %i ms ahead makes no later sample late', ahead => {
  const samples = [NOW - 10_000, NOW + ahead, NOW - 8000, NOW - 9000].map((timestamp, i) => [timestamp, i] as const)
  const { results } = judge(samples, { refusesLate: true, dropsDuplicates: false })
  expect(results.slice(2)).toEqual([
    ['in_order', true],
    ['late', false],
  ])
})
