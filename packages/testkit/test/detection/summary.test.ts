import { type Summary, summarize, summarizeFor } from '@tidemark/shared/detection/detectors/summary'
import { isFlat, SCORE_CAP, zScore } from '@tidemark/shared/verdict/score'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { exactSummary } from '../../src/exact.ts'

function summaryOf(values: readonly number[], head = 0, value?: number): Summary {
  const size = values.length
  // Other data precedes and follows it in the slab.
  const start = 3
  const rows = new Float64Array(start + size + 4).fill(1e9)
  for (const [n, one] of values.entries()) rows[start + ((head + n) % size)] = one
  const summary = { mean: Number.NaN, rest: Number.NaN, deviation: Number.NaN }
  const history = { rows, start, times: 0, size, head }
  if (value === undefined) summarize(history, summary)
  else summarizeFor(value, history, summary)
  return summary
}

function exactly(values: readonly number[]) {
  return exactSummary(values, 0)
}

function relativeError(actual: number, expected: number): number {
  return Math.abs(actual - expected) / Math.abs(expected)
}

describe('windows that break naive formulas', () => {
  /** NIST StRD, univariate, NumAcc2 to NumAcc4: a value, then two alternating values around it. */
  const alternations = [
    { name: 'NumAcc2', first: 1.2, low: 1.1, high: 1.3, deviation: 0.1 },
    { name: 'NumAcc3', first: 1_000_000.2, low: 1_000_000.1, high: 1_000_000.3, deviation: 0.1 },
    { name: 'NumAcc4', first: 10_000_000.2, low: 10_000_000.1, high: 10_000_000.3, deviation: 0.1 },
  ]

  test.each(alternations)('$name keeps its certified mean and deviation', ({ first, low, high, deviation }) => {
    // An odd count, as certified; the certified deviation is that of a sample (n - 1), ours that of
    // the population.
    const values = [first, ...Array.from({ length: 48 }, (_, i) => (i % 2 === 0 ? low : high))]
    const summary = summaryOf(values)
    expect(relativeError(summary.mean, first)).toBeLessThan(1e-15)
    const ofSample = summary.deviation * Math.sqrt(49 / 48)
    // The decimals are not doubles: at 1e7 the spacing of doubles alone moves the certified 0.1 by
    // 1e-8 of itself.
    expect(relativeError(ofSample, deviation)).toBeLessThan(first > 1e6 ? 2e-8 : 1e-14)
    expect(relativeError(summary.deviation, exactly(values).deviation)).toBeLessThan(1e-14)
  })

  test('a jitter of 1e-3 on 1e9 keeps twelve digits of its deviation', () => {
    const values = Array.from({ length: 50 }, (_, i) => 1e9 + 1e-3 * Math.sin(i * 1.7))
    expect(relativeError(summaryOf(values).deviation, exactly(values).deviation)).toBeLessThan(1e-12)
  })

  test('a constant window has deviation zero, whatever the constant', () => {
    fc.assert(
      fc.property(
        // The gateway converts -0 to 0.
        fc.double({ noNaN: true, min: -1e300, max: 1e300 }).map(value => value + 0),
        fc.integer({ min: 1, max: 50 }),
        (value, size) => {
          const summary = summaryOf(Array.from({ length: size }, () => value))
          expect(summary.deviation).toBe(0)
          expect(summary.mean).toBe(value)
        },
      ),
    )
  })

  test('values whose squares overflow have a finite deviation', () => {
    const values = [...Array.from({ length: 49 }, (_, i) => i), 1e300]
    const summary = summaryOf(values)
    const exact = exactly(values)
    expect(relativeError(summary.mean, exact.mean)).toBeLessThan(1e-14)
    expect(relativeError(summary.deviation, exact.deviation)).toBeLessThan(1e-14)
  })
})

test('mean and deviation agree with exact arithmetic on any values', () => {
  const value = fc.double({ noNaN: true, min: -1e100, max: 1e100 })
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 50 }), values => {
      const summary = summaryOf(values)
      const exact = exactly(values)
      // Errors are relative to the spread: a mean of values that cancel out has no correct digits
      // of its own.
      const spread = Math.max(...values) - Math.min(...values)
      expect(Math.abs(summary.mean - exact.mean)).toBeLessThanOrEqual(
        1e-13 * spread + 1e-15 * Math.abs(exact.mean) + Number.MIN_VALUE,
      )
      expect(Math.abs(summary.deviation - exact.deviation)).toBeLessThanOrEqual(1e-13 * spread + Number.MIN_VALUE)
    }),
    { numRuns: 500 },
  )
})

test("the result depends on the order of the values, not on the ring's head", () => {
  const value = fc.double({ noNaN: true, min: -1e9, max: 1e9 })
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 50 }), fc.nat(49), (values, head) => {
      expect(summaryOf(values, head % values.length)).toEqual(summaryOf(values))
    }),
  )
})

describe('z, mean and deviation have ten digits', () => {
  /** Below 2^-1022 doubles have fewer than 53 bits, so results have fewer digits. */
  const NORMAL = 2 ** -1022

  function expectDigits(values: readonly number[], value: number): void {
    const exact = exactSummary(values, value)
    const { mean, rest, deviation } = summaryOf(values, 0, value)
    const context = { values, value, exact, mean, rest, deviation }
    // Sums near the greatest double are scaled by 2^-10, which takes ten bits of subnormal doubles.
    const least = values.some(one => Math.abs(one) > 2 ** 1000) ? 2 ** 10 : 2
    const isClose = (actual: number, expected: number) =>
      Math.abs(actual - expected) <= 1e-11 * Math.abs(expected) + least * Number.MIN_VALUE
    expect({ ...context, isClose: isClose(mean, exact.mean) }).toMatchObject({ isClose: true })
    expect({ ...context, isClose: isClose(deviation, exact.deviation) }).toMatchObject({ isClose: true })
    if (isFlat(mean, deviation) || exact.deviation < NORMAL * 2 ** 52) return
    const z = zScore(value, mean, deviation, rest)
    const capped = Math.min(SCORE_CAP, Math.max(-SCORE_CAP, exact.z))
    expect({ ...context, z, isClose: isClose(z, capped) }).toMatchObject({ isClose: true })
  }

  test.each([
    ['a jitter of 1e-3 around 1e9', Array.from({ length: 50 }, (_, i) => 1e9 + 1e-3 * Math.sin(i * 1.7)), 1e9 + 2e-3],
    ['a value that is the rounded mean', [1e9, 1e9 + 2 ** -23, 1e9 + 3 * 2 ** -23], 1e9 + 2 ** -23],
    ['integers around 1e15', [1e15, 1e15 + 3, 1e15 + 9, 1e15 - 7, 1e15 + 1], 1e15 + 2],
    ['a deviation of 1e-200', [0, 1e-200, -1e-200, 3e-200], 2e-200],
    ['a deviation of 1e-200, whose sum is 0', [0, 1e-200, -1e-200], 1e-200],
    ['a deviation of 1e-300 around 1e-290', [1e-290, 1e-290 + 1e-300, 1e-290 - 3e-300], 1e-290 + 2e-300],
    ['the greatest doubles', [Number.MAX_VALUE, -Number.MAX_VALUE, 1e308, 5], -Number.MAX_VALUE],
    ['the greatest doubles of both signs alone', [Number.MAX_VALUE, -Number.MAX_VALUE], Number.MAX_VALUE],
    ['equal greatest doubles and another', [Number.MAX_VALUE, Number.MAX_VALUE, 1e308], Number.MAX_VALUE],
    ['subnormal doubles', [5e-324, 1e-323, 2e-320], 5e-324],
    ['a subnormal double beside the greatest', [Number.MAX_VALUE, 1e-320, -Number.MAX_VALUE], 0],
    ['a mean that cancels out', [1e15, 1, -1e15], 2],
    ['a mean that cancels out in every sum of two doubles', [1e300, 1, -1e300, 1e-300, -1], 1e200],
    ['one outlier', [...Array.from({ length: 49 }, (_, i) => i * 0.1), 1e12], 3.3],
    ['an outlier that is the oldest', [1e12, ...Array.from({ length: 49 }, (_, i) => i * 0.1)], 3.3],
    ['the mean itself', [0.1, 0.2, 0.3], 0.2],
    ['two values', [0.1, 0.7], 0.3],
    ['sine waves', Array.from({ length: 50 }, (_, i) => Math.sin((i * Math.PI) / 5)), 0.5],
    ['500 tenths', Array.from({ length: 500 }, (_, i) => (i % 10) / 10), 0.45],
  ])('%s', (_, values, value) => {
    expectDigits(values, value)
  })

  const unit = fc.double({ noNaN: true, min: -1, max: 1 })
  const exponent = (min: number, max: number) => fc.integer({ min, max }).map(power => 10 ** power)
  const sized = fc.array(unit, { minLength: 1, maxLength: 60 })

  test('with offsets up to 1e15 and spreads from 1e-300 to 1e300', () => {
    const offset = fc.tuple(unit, exponent(-300, 15)).map(([by, size]) => by * size)
    fc.assert(
      fc.property(offset, exponent(-300, 300), sized, unit, (by, spread, units, last) => {
        expectDigits(
          units.map(one => by + one * spread),
          by + last * spread,
        )
      }),
      { numRuns: 2000 },
    )
  })

  test('with any doubles, also subnormal, repeated, of mixed signs and near the greatest', () => {
    const any = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(0, 1, -1, 1e-320, Number.MIN_VALUE, 2 ** -1022, Number.MAX_VALUE, -Number.MAX_VALUE),
    )
    const values = fc.array(fc.tuple(any, fc.integer({ min: 1, max: 8 })), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(values, any, fc.boolean(), (stretches, last, isRepeated) => {
        const window = stretches.flatMap(([one, times]) => Array.from({ length: times }, () => one + 0))
        expectDigits(window, isRepeated ? (window[0] as number) : last + 0)
      }),
      { numRuns: 2000 },
    )
  })

  test('near the mean of few distinct values', () => {
    const tenths = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 2, maxLength: 60 })
    fc.assert(
      fc.property(tenths, fc.integer({ min: -20, max: 20 }), exponent(-3, 15), (values, last, offset) => {
        expectDigits(
          values.map(one => offset + one / 10),
          offset + last / 10,
        )
      }),
      { numRuns: 2000 },
    )
  })

  test("and the same bits wherever the ring's head is", () => {
    fc.assert(
      fc.property(sized, unit, exponent(-200, 200), fc.nat(59), (units, last, spread, head) => {
        const values = units.map(one => one * spread + 1)
        const value = last * spread + 1
        expect(summaryOf(values, head % values.length, value)).toEqual(summaryOf(values, 0, value))
      }),
    )
  })
})
