import { ratesOf } from '@tidemark/shared/detection/detectors/counter'
import { Judge, type Judged } from '@tidemark/shared/detection/judge'
import { createRow, PUSHED, shapeOf } from '@tidemark/shared/detection/key-row'
import { createPolicy, type PolicyParts } from '@tidemark/shared/detection/rules/policy'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { describe, expect, test } from 'vitest'

const BEGIN = 1_700_000_000_000

/** A count, and when it was measured in seconds after BEGIN; it arrives `after` that. */
type Count = readonly [at: number, count: number, after?: number]

function judgeAll(counts: readonly Count[], parts: PolicyParts = {}) {
  const policy = createPolicy({ isCounter: true, samplesMin: 3, ...parts }, VERDICT_DEFAULTS)
  const judge = new Judge(policy)
  const row = createRow(shapeOf(policy))
  let time = BEGIN
  const judged = counts.map(([at, count, after = 0]): Judged => {
    time = Math.max(time, BEGIN + 1000 * (at + after))
    const { alerts, ...rest } = judge.step(row, count, BEGIN + 1000 * at, time)
    return { ...rest, alerts: [...alerts] }
  })
  return { judged, rates: judged.map(({ rate }) => rate), row }
}

const NONE = Number.NaN

/** Counts once a second that grow by 10, beginning with a count. */
const steadyFrom = (count: number, samples: number): Count[] =>
  Array.from({ length: samples }, (_, n) => [n, count + 10 * n])

describe('a counter that goes on below its last count', () => {
  test.each([
    ['16 bits', 2 ** 16, 0],
    ['signed 16 bits', 2 ** 15, -(2 ** 15)],
    ['31 bits', 2 ** 31, 0],
    ['signed 32 bits', 2 ** 31, -(2 ** 31)],
    ['32 bits', 2 ** 32, 0],
  ])('was wrapped if it has %s', (_, end, first) => {
    const before = steadyFrom(end - 10 * 10 - 3, 11)
    const { rates } = judgeAll([...before, [11, first + 7]])
    expect(rates.at(-1)).toBe(10)
  })

  test('was wrapped at 64 bits, with the digits of a double', () => {
    const before = Array.from({ length: 10 }, (_, n): Count => [n, 2 ** 64 - 2048 * (10 - n)])
    expect(judgeAll([...before, [10, 0]]).rates.at(-1)).toBe(2048)
  })

  test('was reset if no wrap goes on as before, and has the next rate from there', () => {
    expect(judgeAll([...steadyFrom(1000, 10), [10, 3], [11, 14]]).rates.slice(-2)).toEqual([NONE, 11])
    // Just below the end of 16 bits, but the counter would have leapt.
    expect(judgeAll([...steadyFrom(65_000, 10), [10, 3], [11, 14]]).rates.slice(-2)).toEqual([NONE, 11])
  })

  test('never has a negative rate', () => {
    expect(judgeAll([...steadyFrom(2 ** 32 - 100, 10), [10, -60_000]]).rates.at(-1)).toBeNaN()
    expect(judgeAll([...steadyFrom(2 ** 16 - 100, 10), [10, -500]]).rates.at(-1)).toBeNaN()
  })
})

describe('the rate of a count', () => {
  test('begins with the second one, also after 0 and of fractions', () => {
    expect(
      judgeAll([
        [0, 0],
        [1, 0],
        [2, 5],
        [4, 6.5],
      ]).rates,
    ).toEqual([NONE, 0, 5, 0.75])
  })

  test('is the mean over a gap', () => {
    expect(judgeAll([...steadyFrom(0, 5), [3600, 40 + 3596 * 10]]).rates.at(-1)).toBe(10)
  })

  test('is unknown if it is no finite number', () => {
    const { rates, judged } = judgeAll([
      [0, -1.7e308],
      [1, 1.7e308],
      [1.001, 1.75e308],
      [2, 1.75e308],
    ])
    expect(rates).toEqual([NONE, NONE, NONE, 0])
    expect(judged.every(({ mean, deviation }) => Number.isFinite(mean) && Number.isFinite(deviation))).toBe(true)
  })

  test('of several counts with one timestamp is that of the first, and the next goes on from the last', () => {
    expect(
      judgeAll([
        [0, 0],
        [1, 10],
        [1, 12],
        [1, 14],
        [2, 24],
      ]).rates,
    ).toEqual([NONE, 10, NONE, NONE, 10])
  })

  test('does not change because repeated and late counts arrive in between', () => {
    const counts: Count[] = [
      [0, 0],
      [1, 10],
      [2, 20],
      [2, 20],
      [1, 10, 2],
      [0.5, 5, 3],
      [3, 1020],
      [4, 1030],
    ]
    const { rates, judged, row } = judgeAll(counts)
    expect(rates).toEqual([NONE, 10, 10, NONE, NONE, NONE, 1000, 10])
    expect(judged.map(({ order }) => order)).toEqual([
      ...['in_order', 'in_order', 'in_order', 'duplicate', 'duplicate', 'late', 'in_order', 'in_order'],
    ])
    // They take no place in the window either.
    expect(row.rows[row.start + PUSHED]).toBe(5)
  })

  test('goes on after a clock that was ahead for one sample', () => {
    const counts: Count[] = [...steadyFrom(0, 5), [9000, 50, -8995], [6, 60, 0], [7, 70], [8, 80]]
    expect(judgeAll(counts).rates.slice(-2)).toEqual([10, 10])
  })
})

test('counts that arrive twice do not keep a level from being accepted as new', () => {
  const steps = Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? 9 : 11))
  const faster = Array.from({ length: 6 }, () => 500)
  let count = 0
  const counts = [...steps, ...faster].flatMap((step, n): Count[] => {
    count += step
    return [
      [n, count],
      [n, count],
    ]
  })
  const { judged } = judgeAll(counts, { hygiene: { isHeld: false, levelShiftAfter: 4 } })
  expect(judged.filter(({ isShift }) => isShift)).toMatchObject([{ rate: 500 }])
})

test('after a level shift the window begins with the newest count, and the rate goes on', () => {
  const { judged } = judgeAll(
    [...steadyFrom(0, 40), ...Array.from({ length: 6 }, (_, n): Count => [40 + n, 390 + 700 * (n + 1)])],
    { hygiene: { isHeld: false, levelShiftAfter: 3 } },
  )
  const shifted = judged.findIndex(({ isShift }) => isShift)
  expect(judged.slice(shifted).map(({ rate, window }) => [rate, window])).toMatchObject([
    [700, expect.any(Number)],
    [700, 0],
    [700, 1],
    [700, 2],
  ])
})

test('the rates of a window are those that the next verdict is based on', () => {
  expect(ratesOf([], [])).toEqual([])
  expect(ratesOf([5, 10, 10, 30, 4, 9], [0, 1000, 1000, 2000, 3000, 2500])).toEqual([null, 5, null, 20, null, null])
  expect(ratesOf([65_516, 65_526, 65_536 - 4, 3], [0, 1000, 2000, 3000])).toEqual([null, 10, 6, 7])
})
