import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Summary, summarize } from './summary.ts'

function summaryOf(values: readonly number[], head = 0): Summary {
  const size = values.length
  // Other data precedes and follows it in the slab.
  const start = 3
  const rows = new Float64Array(start + size + 4).fill(1e9)
  for (const [n, value] of values.entries()) rows[start + ((head + n) % size)] = value
  const summary = { mean: Number.NaN, deviation: Number.NaN }
  summarize({ rows, start, times: 0, size, head }, summary)
  return summary
}

/** Mean and deviation in exact arithmetic: every finite double is an integer times 2^-1074. */
function exactly(values: readonly number[]): Summary {
  const UNIT = 1074n
  const n = BigInt(values.length)
  const scaled = values.map(toScaledInteger)
  const total = scaled.reduce((sum, value) => sum + value, 0n)
  // n * value - total is n times the difference from the mean: no division, so no rounding.
  const squares = scaled.reduce((sum, value) => sum + (n * value - total) ** 2n, 0n)
  const mean = ratio(total, n << UNIT)
  const FRACTION = 200n
  const deviation = ratio(squareRoot((squares << (2n * FRACTION)) / n ** 3n), 1n << (UNIT + FRACTION))
  return { mean, deviation }
}

function toScaledInteger(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const exponent = (bits >> 52n) & 0x7ffn
  const fraction = bits & 0xf_ffff_ffff_ffffn
  const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n)
  return value < 0 ? -magnitude : magnitude
}

/** The integer part of the square root, by Newton's method. */
function squareRoot(square: bigint): bigint {
  if (square === 0n) return 0n
  let root = 1n << BigInt(Math.ceil(square.toString(2).length / 2))
  for (;;) {
    const next = (root + square / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** numerator / denominator as a double, to about 60 bits. */
function ratio(numerator: bigint, denominator: bigint): number {
  if (numerator === 0n) return 0
  const sign = numerator < 0n ? -1 : 1
  const magnitude = numerator < 0n ? -numerator : numerator
  const shift = BigInt(denominator.toString(2).length - magnitude.toString(2).length + 62)
  const quotient = shift >= 0n ? (magnitude << shift) / denominator : magnitude / (denominator << -shift)
  // In two steps: 2^-shift alone may be too small for a double.
  const half = Number(shift) / 2
  return sign * Number(quotient) * 2 ** -Math.floor(half) * 2 ** -Math.ceil(half)
}

/** Deviations below this come from squares too small for a double. */
const UNDERFLOW = 1e-160

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
      expect(Math.abs(summary.deviation - exact.deviation)).toBeLessThanOrEqual(1e-13 * spread + UNDERFLOW)
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
