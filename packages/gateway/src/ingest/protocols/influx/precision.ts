/**
 * How timestamps become milliseconds: `digits` fewer digits, or times `factor`. `guessed` is the
 * unit of a request that names none.
 */
export type Unit = { readonly digits: number; readonly factor: number } | 'guessed'

const unit = (digits: number, factor = 1): Unit => ({ digits, factor })

const NANOSECONDS = unit(6)
const MICROSECONDS = unit(3)

/** By the names of version 2 and version 1. */
const UNITS: ReadonlyMap<string, Unit> = new Map([
  ['', 'guessed'],
  ['ns', NANOSECONDS],
  ['n', NANOSECONDS],
  ['us', MICROSECONDS],
  ['u', MICROSECONDS],
  ['µ', MICROSECONDS],
  ['ms', unit(0)],
  ['s', unit(0, 1000)],
  ['m', unit(0, 60_000)],
  ['h', unit(0, 3_600_000)],
])

/** Returns the unit of a `precision` parameter; undefined for one that does not exist. */
export function unitOf(precision: string | undefined): Unit | undefined {
  return UNITS.get(precision ?? '')
}

/** As on /ingest: seconds below 1e11, milliseconds below 1e14, and so on. */
function guess(length: number): Exclude<Unit, 'guessed'> {
  const known = length <= 11 ? 's' : length <= 14 ? 'ms' : length <= 17 ? 'us' : 'ns'
  return UNITS.get(known) as Exclude<Unit, 'guessed'>
}

/** Of the largest timestamp that InfluxDB has, in nanoseconds. */
const LENGTH_MAX = 19

/**
 * Converts the digits from `start` to `end` to whole Unix milliseconds, rounded. Returns what is
 * wrong with a time that no clock has, as the end of a sentence.
 */
export function toUnixMs(codes: Uint16Array, start: number, end: number, given: Unit): number | string {
  let first = start
  while (first < end - 1 && (codes[first] as number) === 48) first++
  if (end - first > LENGTH_MAX) return `must have at most ${LENGTH_MAX} digits`
  const { digits, factor } = given === 'guessed' ? guess(end - first) : given
  let ms = 0
  // A float64 does not hold nanoseconds: only the digits of milliseconds are read.
  for (let at = first; at < end - digits; at++) ms = ms * 10 + (codes[at] as number) - 48
  const rounded = digits > 0 && end - first >= digits && (codes[end - digits] as number) >= 53
  const time = (ms + (rounded ? 1 : 0)) * factor
  return time <= 8.64e15 ? time : 'is beyond the year 275760: check the precision'
}
