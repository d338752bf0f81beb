/** 10^0 to 10^22, which a float64 holds exactly, and both as two halves of 26 bits. */
const POWERS = Float64Array.from({ length: 23 }, (_, n) => Number(`1e${n}`))
const HIGH_HALVES = POWERS.map(highHalf)
const LOW_HALVES = POWERS.map((power, n) => power - (HIGH_HALVES[n] as number))

/** What is taken for equal. Sums below are wrong by 1e-7 at most. */
const TOLERANCE = 1e-6

/** Sizes from 1e-6 to 1e15 are at least 2^-20 and less than 2^50. */
const EXPONENT_MIN = -20
/** Half the distance between float64s from 2^-20, 2^-19 and so on. */
const HALVES = Float64Array.from({ length: 70 }, (_, i) => 2 ** (i + EXPONENT_MIN - 53))

const LOG10_OF_2 = Math.log10(2)

const float = new Float64Array(1)
/** The same bytes, on machines with the lower half first. */
const words = new Uint32Array(float.buffer)
const IS_LOWER_FIRST = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Digits d.dddddddd dddddddd x 10^exponent: `high` has the first nine, `low` the other eight. */
export interface Digits {
  high: number
  low: number
  exponent: number
}

/** Returned by each call: an object for each number would be garbage. */
const found: Digits = { high: 0, low: 0, exponent: 0 }

/**
 * Returns the fewest digits that only `size` is the nearest float64 of, and of equally few those
 * nearest to it, as ECMAScript's Number::toString does. `size` is no integer. Undefined for what
 * is not worth the effort: sizes outside 1e-6 to 1e15, and ties.
 *
 * The value, scaled to 17 digits, is a power of ten times `size`: two float64s hold that product
 * exactly (T. J. Dekker, 1971, https://doi.org/10.1007/BF01397083). Every decimal that is closer
 * than half the distance to the next float64 stands for it (G. L. Steele and J. L. White, 1990,
 * https://doi.org/10.1145/93542.93559); that half is 0.55 to 11.1 units of the 17th digit.
 */
export function shortestDigits(size: number): Readonly<Digits> | undefined {
  if (!(size >= 1e-6 && size < 1e15 && IS_LOWER_FIRST)) return undefined
  float[0] = size
  // Below a power of two, float64s are closer to each other than above it. That changes nothing:
  // those from 2^-20 on that are no integers have 14 digits at most, so they are found exactly.
  const exponentOf2 = ((words[1] as number) >>> 20) - 1023
  let exponent = Math.floor(exponentOf2 * LOG10_OF_2)
  const next = exponent < -1 ? 1 / (POWERS[-1 - exponent] as number) : (POWERS[exponent + 1] as number)
  if (size >= next) exponent++
  const scale = 16 - exponent
  const power = POWERS[scale] as number

  const sizeHigh = highHalf(size)
  const sizeLow = size - sizeHigh
  const powerHigh = HIGH_HALVES[scale] as number
  const powerLow = LOW_HALVES[scale] as number
  const product = size * power
  const rest = sizeLow * powerLow - (product - sizeHigh * powerHigh - sizeLow * powerHigh - sizeHigh * powerLow)
  const half = (HALVES[exponentOf2 - EXPONENT_MIN] as number) * power

  let high = Math.floor(product / 1e8)
  let low = product - high * 1e8 + rest
  if (low < 0) {
    high--
    low += 1e8
  } else if (low >= 1e8) {
    high++
    low -= 1e8
  }
  const digits = nearestWithin(low, half)
  if (digits === undefined || digits === 1e8 || high < 1e8 || high >= 1e9) return undefined
  // As integers of 32 bits, which need no memory of their own.
  found.high = high | 0
  found.low = digits | 0
  found.exponent = exponent
  return found
}

/** Returns the roundest number closer to `low` than `half`; undefined where rounding decides. */
function nearestWithin(low: number, half: number): number | undefined {
  // At most one multiple of 100 is so close: that with its zeros left out has the fewest digits.
  const hundreds = Math.round(low * 0.01) * 100
  const toHundreds = Math.abs(low - hundreds)
  if (toHundreds < half + TOLERANCE) return toHundreds < half - TOLERANCE ? hundreds : undefined
  const tens = Math.round(low * 0.1) * 10
  const toTens = Math.abs(low - tens)
  if (toTens < half + TOLERANCE) return toTens < Math.min(half, 5) - TOLERANCE ? tens : undefined
  const ones = Math.round(low)
  return Math.abs(low - ones) < 0.5 - TOLERANCE ? ones : undefined
}

/** Returns the upper 26 bits of a float64's 53; the difference has the others. */
function highHalf(value: number): number {
  const shifted = 134_217_729 * value
  return shifted - (shifted - value)
}
