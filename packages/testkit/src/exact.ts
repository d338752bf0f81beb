/** Arithmetic on doubles without rounding: every finite double is an integer times 2^-1074. */
export const UNITS = 1n << 1074n

/** Returns a finite double in units of 2^-1074. */
export function toUnits(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const exponent = (bits >> 52n) & 0x7ffn
  const fraction = bits & 0xf_ffff_ffff_ffffn
  const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n)
  return value < 0 ? -magnitude : magnitude
}

export function sumOf(values: readonly number[]): bigint {
  return values.reduce((sum, value) => sum + toUnits(value), 0n)
}

/** The integer part of the square root, by Newton's method. */
export function squareRoot(square: bigint): bigint {
  if (square === 0n) return 0n
  let root = 1n << BigInt(Math.ceil(square.toString(2).length / 2))
  for (;;) {
    const next = (root + square / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** Returns the double nearest to numerator / denominator (> 0), rounding ties to even. */
export function ratio(numerator: bigint, denominator: bigint): number {
  const magnitude = numerator < 0n ? -numerator : numerator
  if (magnitude === 0n) return 0
  // The exponent of the last bit: 53 bits, or fewer for a subnormal number.
  const size = magnitude.toString(2).length - denominator.toString(2).length
  let exponent = Math.max(size - 53, -1074)
  let [dividend, divisor] = shifted(magnitude, denominator, exponent)
  if (dividend / divisor >= 1n << 53n) {
    exponent++
    ;[dividend, divisor] = shifted(magnitude, denominator, exponent)
  }
  let quotient = dividend / divisor
  const twice = 2n * (dividend % divisor)
  if (twice > divisor || (twice === divisor && quotient % 2n === 1n)) quotient++
  // In two steps: one of the powers alone may be 0 or Infinity.
  const half = Math.trunc(exponent / 2)
  const result = Number(quotient) * 2 ** half * 2 ** (exponent - half)
  return numerator < 0n ? -result : result
}

function shifted(numerator: bigint, denominator: bigint, exponent: number): [bigint, bigint] {
  const bits = BigInt(Math.abs(exponent))
  return exponent < 0 ? [numerator << bits, denominator] : [numerator, denominator << bits]
}

/** Mean, population deviation and z of `value`, each rounded once. */
export function exactSummary(values: readonly number[], value: number) {
  const count = BigInt(values.length)
  const total = sumOf(values)
  // count * value - total is count times the difference from the mean: no division, no rounding.
  const squares = values.reduce((sum, one) => sum + (count * toUnits(one) - total) ** 2n, 0n)
  const FRACTION = 200n
  const root = squareRoot((squares << (2n * FRACTION)) / count)
  const distance = count * toUnits(value) - total
  return {
    mean: ratio(total, count * UNITS),
    deviation: ratio(root, (count * UNITS) << FRACTION),
    /** NaN in a constant window. */
    z: root === 0n ? Number.NaN : ratio(distance << FRACTION, root),
  }
}
