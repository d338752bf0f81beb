import { ANOMALIES, type Bucket, COUNT, MAX, MEAN, MIN, SQUARES } from './bucket.ts'

/**
 * A closed bucket as it is stored: three little-endian words, 12 bytes, so that the 1,212 buckets
 * of a key take 14.2 KiB. All zeros is no bucket. In bits, from the highest:
 *
 *     16 count       exact up to 8,191, then within 1 / 8,192
 *     10 anomalies   exact up to 255, then within 1 / 64, up to 130,560
 *     24 min         float of 16 significant bits: its distance from the key's first value
 *     22 spread      float of 15 significant bits: max - min
 *     14 mean        its place between min and max, linear
 *     10 deviation   its share of half the spread, as the square root; the last one is unknown
 *
 * A bucket of one sample has its value as a float64 in the last two words. A record stands for a
 * small interval of each number. min and max are read as the number of the fewest digits in it,
 * which is most often the one that was written: samples have few digits.
 */
export const RECORD_BYTES = 12
export const RECORD_WORDS = 3

/** Bits that are left out of float32s. */
const MIN_DROPPED = 8
const SPREAD_DROPPED = 9
const COUNT_FORMAT = { mantissa: 2 ** 13, exponents: 8, base: 4 }
const ANOMALIES_FORMAT = { mantissa: 2 ** 8, exponents: 4, base: 8 }
const MEAN_STEPS = 2 ** 14 - 2
const DEVIATION_STEPS = 2 ** 10 - 2
const UNKNOWN = 2 ** 10 - 1
/** The fewest digits that are tried: a number with fewer has zeros there. */
const DIGITS_MIN = 3
const DIGITS_MAX = 17

const double = new Float64Array(1)
const doubleWords = new Uint32Array(double.buffer)
const single = new Float32Array(1)
const singleWord = new Uint32Array(single.buffer)

/** Writes the bucket at `from` as three words to `target` from `at`. */
export function writeRecord(numbers: Float64Array, from: number, base: number, target: Uint32Array, at: number): void {
  const count = numbers[from + COUNT] as number
  const head =
    (packInteger(count, COUNT_FORMAT) << 16) | (packInteger(numbers[from + ANOMALIES] as number, ANOMALIES_FORMAT) << 6)
  if (count === 1) {
    double[0] = numbers[from + MEAN] as number
    target[at] = head
    target[at + 1] = doubleWords[0] as number
    target[at + 2] = doubleWords[1] as number
    return
  }
  const least = numbers[from + MIN] as number
  const greatest = numbers[from + MAX] as number
  const minCode = packFloat(least - base, MIN_DROPPED)
  const min = base + unpackFloat(minCode, MIN_DROPPED)
  // Where all values are the same, what min lost to rounding is no spread.
  const spreadCode = greatest === least ? 0 : packFloat(Math.max(0, greatest - min), SPREAD_DROPPED)
  const spread = unpackFloat(spreadCode, SPREAD_DROPPED)
  const meanCode = packMean(numbers[from + MEAN] as number, min, spread)
  const deviationCode = packDeviation(Math.sqrt((numbers[from + SQUARES] as number) / count), spread)
  // 26 bits of the head, 6 of min; 18 of min, 14 of the spread; 8 of the spread, then the rest.
  target[at] = head | (minCode >>> 18)
  target[at + 1] = (minCode << 14) | (spreadCode >>> 8)
  target[at + 2] = (spreadCode << 24) | (meanCode << 10) | deviationCode
}

/** Returns the bucket in a record; null if it is empty. */
export function readRecord(
  bytes: Uint8Array,
  at: number,
  { base, start }: { base: number; start: number },
): Bucket | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD_BYTES)
  const [first, second, third] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)]
  const head = Math.floor(first / 2 ** 6)
  const count = unpackInteger(Math.floor(head / 2 ** 10), COUNT_FORMAT)
  if (count === 0) return null
  const anomalies = unpackInteger(head % 2 ** 10, ANOMALIES_FORMAT)
  if (count === 1) {
    const value = view.getFloat64(4, true)
    return { start, count, mean: value, deviation: 0, min: value, max: value, anomalies }
  }
  const minCode = (first % 2 ** 6) * 2 ** 18 + Math.floor(second / 2 ** 14)
  const spreadCode = (second % 2 ** 14) * 2 ** 8 + Math.floor(third / 2 ** 24)
  const meanCode = Math.floor(third / 2 ** 10) % 2 ** 14
  const deviationCode = third % 2 ** 10
  const min = base + unpackFloat(minCode, MIN_DROPPED)
  const spread = unpackFloat(spreadCode, SPREAD_DROPPED)
  if (!Number.isFinite(min + spread))
    return { start, count, mean: null, deviation: null, min: null, max: null, anomalies }
  const least = shortest(min, one => packFloat(one - base, MIN_DROPPED) === minCode)
  // All values are the same: so are the numbers that are read.
  if (spreadCode === 0) return { start, count, mean: least, deviation: 0, min: least, max: least, anomalies }
  const share = deviationCode / DEVIATION_STEPS
  const mean = min + (spread * meanCode) / MEAN_STEPS
  const deviation = (spread / 2) * share * share
  return {
    start,
    count,
    mean: rounded(mean, spread / MEAN_STEPS),
    deviation: deviationCode === UNKNOWN ? null : rounded(deviation, deviation / DEVIATION_STEPS),
    min: least,
    max: shortest(min + spread, one => packFloat(one - min, SPREAD_DROPPED) === spreadCode),
    anomalies,
  }
}

interface IntegerFormat {
  readonly mantissa: number
  readonly exponents: number
  readonly base: number
}

function packInteger(value: number, { mantissa, exponents, base }: IntegerFormat): number {
  let scaled = value
  let exponent = 0
  while (scaled >= mantissa && exponent < exponents - 1) scaled = Math.round(value / base ** ++exponent)
  return exponent * mantissa + Math.min(scaled, mantissa - 1)
}

function unpackInteger(code: number, { mantissa, base }: IntegerFormat): number {
  return (code % mantissa) * base ** Math.floor(code / mantissa)
}

/** Returns the first bits of a float32, without the `dropped` last ones, rounded. */
function packFloat(value: number, dropped: number): number {
  single[0] = value
  const bits = singleWord[0] as number
  return (bits >>> dropped) + ((bits >>> (dropped - 1)) & 1)
}

function unpackFloat(code: number, dropped: number): number {
  singleWord[0] = code << dropped
  return single[0] as number
}

function packMean(mean: number, min: number, spread: number): number {
  const share = (mean - min) / spread
  return Number.isNaN(share) ? 0 : Math.round(Math.min(1, Math.max(0, share)) * MEAN_STEPS)
}

function packDeviation(deviation: number, spread: number): number {
  if (!Number.isFinite(deviation)) return UNKNOWN
  if (deviation === 0) return 0
  return Math.round(Math.sqrt(Math.min(1, deviation / (spread / 2))) * DEVIATION_STEPS)
}

/** Returns the number of the fewest digits near `value` that `isSame` accepts. */
function shortest(value: number, isSame: (one: number) => boolean): number {
  for (let digits = DIGITS_MIN; digits < DIGITS_MAX; digits++) {
    const one = Number(value.toPrecision(digits))
    if (isSame(one)) return one
  }
  return value
}

/** Returns a number without digits that say nothing: they are far smaller than `precision`. */
function rounded(value: number, precision: number): number {
  return shortest(value, one => Math.abs(one - value) <= precision / 16)
}
