/** `edge-17/cpu` reads as "cpu of edge-17"; a key without a slash stays as it is. */
export function nameOf(key: string | null): string {
  if (key === null) return 'The fleet'
  const slash = key.lastIndexOf('/')
  return slash > 0 && slash < key.length - 1 ? `${key.slice(slash + 1)} of ${key.slice(0, slash)}` : key
}

const PLAIN_MIN = 1e-4
const PLAIN_MAX = 1e7
const DIGITS_MIN = 3
/** More digits cannot be compared at a glance. */
const DIGITS_MAX = 9

/**
 * Numbers with as many digits as distinguish them, at least three. The first one is written as a
 * sum, `20 + 1e-9`, if that takes too many digits.
 */
export function numbersOf(values: readonly [number, ...number[]]): [string, ...string[]] {
  const different = new Set(values).size
  for (let digits = DIGITS_MIN; digits <= DIGITS_MAX; digits++) {
    const texts = values.map(value => numberOf(value, digits)) as [string, ...string[]]
    if (new Set(texts).size === different) return texts
  }
  const [value, ...others] = values
  const differing = others.filter(other => other !== value)
  const nearest = differing.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a), differing[0] ?? value)
  const difference = value - nearest
  const sum = `${numberOf(nearest)} ${difference < 0 ? '-' : '+'} ${numberOf(Math.abs(difference))}`
  return [difference === 0 ? numberOf(value) : sum, ...others.map(other => numberOf(other))]
}

/**
 * An integer of up to seven digits as it is, other numbers with so many significant digits, but no
 * fewer than before the decimal point. Few people count the zeros of larger and smaller ones.
 */
export function numberOf(value: number, digits = DIGITS_MIN): string {
  const size = Math.abs(value)
  if (Number.isInteger(value) && size < PLAIN_MAX) return String(value)
  const isPlain = size >= PLAIN_MIN && size < Math.max(PLAIN_MAX, 10 ** digits)
  const whole = isPlain ? String(Math.trunc(size)).length : 1
  const rounded = Number(value.toPrecision(Math.max(digits, whole)))
  return isPlain ? String(rounded) : rounded.toExponential().replace('e+', 'e')
}

export function countOf(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`
}

/** ISO 8601 in seconds; a number that is no time as it is. */
export function timeOf(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? `${ms} ms` : `${date.toISOString().slice(0, -5)}Z`
}

const SPANS: readonly (readonly [number, string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
]

export function spanOf(ms: number): string {
  const [unit, name] = SPANS.find(([unit]) => ms >= 2 * unit) ?? [1, 'ms']
  return `${numberOf(ms / unit)} ${name}`
}
