import { parseTimestamp } from '@tidemark/shared/sample/timestamp'
import { quote } from './number-format.ts'
import { CsvProblem } from './problem.ts'
import {
  type DateOrder,
  dateKind,
  fromFields,
  isWithoutZone,
  monthOf,
  parseNamed,
  parseNumbers,
  type TimeFields,
} from './time-text.ts'

/** How the times of a file are written. */
export interface TimeFormat {
  /** As `--time-format` takes it. */
  readonly name: string
  /** Returns Unix milliseconds; a text says what is wrong, as the end of a sentence. */
  parse(text: string): number | string
  /** Whether a text has no zone, so that it is a local time. */
  isLocal(text: string): boolean
  /** Whether each number has its unit by its magnitude, so that units may be mixed. */
  readonly isByMagnitude?: boolean
}

const DAY_MS = 86_400_000
/** Day 25,569 of a spreadsheet is 1970-01-01. */
const EXCEL_EPOCH_DAYS = 25_569

const UNIX = /^[+-]?\d+(?:[.,]\d*)?(?:[eE][+-]?\d+)?$/
const UNITS = { s: 1e3, ms: 1, us: 1e-3, ns: 1e-6 } as const
type Unit = keyof typeof UNITS

/** The year 1990 in Unix milliseconds: smaller numbers are no Unix times of recordings. */
const PLAUSIBLE_MS = 6.3e11

/** How much longer than the median the longest step between times may be, and still be regular. */
const REGULAR = 4
const IRREGULAR = 20

const NOT_A_TIME = 'is not a known time; --time-format says how times are written'

/** Whether a text is a number that can be a Unix time. */
export function isUnix(text: string): boolean {
  return UNIX.test(text)
}

/** Returns the unit of a Unix time by its magnitude, as parseTimestamp reads it. */
export function unitOfUnix(text: string): Unit {
  const time = Math.abs(Number(text.replace(',', '.')))
  return time < 1e11 ? 's' : time < 1e14 ? 'ms' : time < 1e17 ? 'us' : 'ns'
}

const localIfWithoutZone = isWithoutZone
const never = (): boolean => false
const always = (): boolean => true

const ISO: TimeFormat = { name: 'iso', parse: parseTimestamp, isLocal: localIfWithoutZone }

const EXCEL: TimeFormat = {
  name: 'excel',
  isLocal: always,
  parse: text => {
    const days = UNIX.test(text) ? Number(text.replace(',', '.')) : Number.NaN
    const ms = Math.round((days - EXCEL_EPOCH_DAYS) * DAY_MS)
    return Number.isFinite(ms) && ms >= 0 ? ms : 'is not the number of a day after 1970 in a spreadsheet'
  },
}

const NAMED: TimeFormat = {
  name: 'D MMM YYYY',
  parse: text => parseNamed(text) ?? NOT_A_TIME,
  isLocal: localIfWithoutZone,
}

/** Returns the format of Unix times. `toMs` converts one that is a number without doubt. */
function unixFormat(name: string, toMs: (text: string, time: number) => number | string): TimeFormat {
  const parse = (text: string): number | string => {
    if (!UNIX.test(text)) return NOT_A_TIME
    // A counter begins with 0; a date or a time of day has leading zeros as well.
    if (/^0\d/.test(text)) return 'begins with 0: it may be a time of day or a date; --time-format says which'
    const [digits = '', exponent] = text.toLowerCase().split('e')
    if (exponent !== undefined && digits.replace(/\D/g, '').length < 10) {
      return 'was shortened by a spreadsheet, which cannot be undone; export it again with all digits'
    }
    return toMs(text, Number(text.replace(',', '.')))
  }
  return { name, parse, isLocal: never }
}

/** With the format named, a number is a Unix time even if its digits may be a date. */
function givenUnix(name: string, unit: Unit | undefined): TimeFormat {
  return unixFormat(name, (text, time) => fromUnix(Math.round(time * UNITS[unit ?? unitOfUnix(text)])))
}

function fromUnix(ms: number): number | string {
  // The range of ISO 8601 times, as for any other format.
  return ms >= 0 && ms <= 253_402_300_799_999 ? ms : 'is not between 1970 and 9999'
}

/** Each stands for any marks, a year of two digits and a time of day, too. */
const ORDER_NAMES: Readonly<Record<DateOrder, string>> = {
  ymd: 'YYYY/MM/DD',
  dmy: 'DD/MM/YYYY',
  mdy: 'MM/DD/YYYY',
  yymd: 'YY/MM/DD',
}

/** Orders that one date may have at once. */
const SHORT_ORDERS = ['dmy', 'mdy', 'yymd'] as const
const ORDERS = ['ymd', 'dmy', 'mdy', 'yymd'] as const

function orderFormat(order: DateOrder): TimeFormat {
  const parse = (text: string): number | string => parseNumbers(text, order) ?? NOT_A_TIME
  return { name: ORDER_NAMES[order], parse, isLocal: localIfWithoutZone }
}

/** For a file whose first dates are the same in both orders, such as 01/01/2024. */
const EITHER_ORDER: TimeFormat = {
  name: 'DD/MM/YYYY or MM/DD/YYYY, which are the same here',
  isLocal: localIfWithoutZone,
  parse: text => {
    const [first, second] = [parseNumbers(text, 'dmy'), parseNumbers(text, 'mdy')]
    return first === second ? (first ?? NOT_A_TIME) : orderUnknown(text)
  },
}

function orderUnknown(text: string, orders: readonly DateOrder[] = ['dmy', 'mdy']): string {
  const parts = orders.includes('yymd') ? 'the day, the month or the year' : 'the day or the month'
  return `may have ${parts} first: ${quote(text)}; use --time-format ${orders.map(order => ORDER_NAMES[order]).join(' or ')}`
}

/** Returns the format that `--time-format` names; throws a CsvProblem for an unknown one. */
export function timeFormatOf(given: string): TimeFormat {
  const name = given.toLowerCase()
  if (name === 'iso' || name === 'iso8601') return ISO
  if (name === 'excel') return EXCEL
  if (name === 'unix' || name === 'epoch') return givenUnix('unix', undefined)
  const unit = /^(?:unix|epoch)[-_ ]?(s|ms|us|ns)$/.exec(name)?.[1] as Unit | undefined
  if (unit !== undefined) return givenUnix(`unix-${unit}`, unit)
  const order = ORDERS.find(one => one === name || ORDER_NAMES[one] === given)
  if (order !== undefined) return orderFormat(order)
  return patternFormat(given)
}

/**
 * Decides how the cells of a time column are written, from the first rows. Throws a CsvProblem if
 * they have more than one meaning, or none that is known.
 */
export function detectTimeFormat(cells: readonly string[], column: string): TimeFormat {
  const numbers = cells.filter(isUnix)
  if (numbers.length * 2 > cells.length) {
    const doubt = ambiguity(numbers)
    if (doubt !== undefined) throw new CsvProblem(`the times in ${column} are ambiguous: ${doubt}`)
    const unit = mostFrequent(numbers.map(unitOfUnix)) ?? 's'
    const named = namedUnit(column)
    if (named === undefined || named === unit || named === 's') {
      return { ...unixFormat(`unix-${unit}`, (_, time) => parseTimestamp(time)), isByMagnitude: true }
    }
    // Numbers of this size are Unix times of another unit than the one in the header.
    const isUnixTime = numbers.filter(text => Number(text.replace(',', '.')) * UNITS[unit] >= PLAUSIBLE_MS)
    if (isUnixTime.length * 2 <= numbers.length) return givenUnix(`unix-${named}`, named)
    throw new CsvProblem(
      `the times in ${column} are ambiguous: ${quote(numbers[0] ?? '')} is a Unix time in ${unit}, and the name says ${named}; use --time-format unix-${unit} or --time-format unix-${named}`,
    )
  }
  const share = (format: TimeFormat): number => cells.filter(cell => typeof format.parse(cell) === 'number').length
  const formats = [ISO, orderFormat('ymd'), NAMED, ...SHORT_ORDERS.map(orderFormat)]
  const shares = formats.map(share)
  const best = Math.max(...shares)
  const found = formats.filter((_, index) => best > 0 && shares[index] === best)
  const [first] = found
  if (first === undefined) {
    throw new CsvProblem(
      `the times in ${column} have an unknown format: ${quote(cells[0] ?? '')}; --time-format says how to read it`,
    )
  }
  const orders = SHORT_ORDERS.filter(order => found.some(({ name }) => name === ORDER_NAMES[order]))
  return orders.length > 1 && orders.length === found.length ? orderOf(cells, column, orders) : first
}

/** Returns the unit that the name of a column has, as in `Time (ms)`; undefined without one. */
function namedUnit(column: string): Unit | undefined {
  const words = column.replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2').toLowerCase()
  const has = (names: string): boolean => new RegExp(`(?:^|[^a-zµ])(?:${names})(?:$|[^a-z])`).test(words)
  if (has('minutes?|mins?|hours?|hrs?|h|days?')) {
    throw new CsvProblem(`the times in ${column} count minutes, hours or days; convert them to seconds or dates first`)
  }
  const units: readonly (readonly [Unit, string])[] = [
    ['ms', 'ms|msecs?|millis|milliseconds?|millisekunden?'],
    ['us', 'us|µs|usecs?|micros|microseconds?|mikrosekunden?'],
    ['ns', 'ns|nsecs?|nanos|nanoseconds?|nanosekunden?'],
    ['s', 's|secs?|seconds?|sekunden?'],
  ]
  return units.find(([, names]) => has(names))?.[0]
}

/** As detectTimeFormat, for a date and a time of day that were joined by a blank. */
export function detectJoinedFormat(cells: readonly string[], columns: string): TimeFormat {
  const format = detectTimeFormat(cells.map(withMarks), columns)
  return {
    ...format,
    parse: text => format.parse(withMarks(text)),
    isLocal: text => format.isLocal(withMarks(text)),
  }
}

/** An hour alone is a whole hour; digits without marks are hours, minutes and seconds. */
function withMarks(text: string): string {
  const [, date, clock] = /^(\d{4} \d{1,2} \d{1,2})((?: \d{1,2}){0,3})$/.exec(text) ?? []
  if (date !== undefined) {
    const [hour = '0', minute = '0', second = '0'] = (clock ?? '').trim().split(' ').filter(Boolean)
    return `${date.replaceAll(' ', '-')} ${hour}:${minute.padStart(2, '0')}:${second.padStart(2, '0')}`
  }
  return text
    .replace(/(:\d\d:\d\d) (\d{1,3})$/, (_, second: string, ms: string) => `${second}.${ms.padStart(3, '0')}`)
    .replace(/^(\S{6,} \d{1,2})$/, '$1:00')
    .replace(/^(\S{6,} \d\d)(\d\d)(\d\d)?$/, (_, hour, minute, second = '00') => `${hour}:${minute}:${second}`)
}

/** Decides what is first in a date: the right reading has no jumps at the end of a day. */
function orderOf(cells: readonly string[], column: string, orders: readonly DateOrder[]): TimeFormat {
  const dates = cells.filter(cell => dateKind(cell) !== undefined)
  // With dots the day is first, everywhere.
  if (orders.includes('dmy') && dates.every(text => /^\D*\d{1,2}\./.test(text))) return orderFormat('dmy')
  const all = orders.map(order => {
    const times = dates.map(text => parseNumbers(text, order)).filter(time => typeof time === 'number')
    const steps = times.slice(1).map((time, index) => Math.abs(time - (times[index] ?? time)))
    const sorted = steps.filter(step => step > 0).toSorted((a, b) => a - b)
    return { order, times, unevenness: (sorted.at(-1) ?? 0) / (sorted[sorted.length >> 1] ?? 1) }
  })
  // Recordings are of the past, and between slashes a year of two digits is rarely the first.
  const tomorrow = Date.now() + DAY_MS
  const past = all.filter(({ times }) => times.every(time => time < tomorrow))
  const usual = past.filter(({ order }) => order !== 'yymd' || dates.some(text => text.includes('-')))
  const readings = usual.length > 0 ? usual : past.length > 0 ? past : all
  const [one, another] = readings
  if (one !== undefined && another === undefined) return orderFormat(one.order)
  const doubtful = dates.find(text => new Set(readings.map(({ order }) => parseNumbers(text, order))).size > 1)
  if (doubtful === undefined) return EITHER_ORDER
  const regular = readings.filter(({ unevenness }) => unevenness <= REGULAR)
  const [even] = regular
  if (even !== undefined && readings.every(one => one === even || one.unevenness >= IRREGULAR)) {
    return orderFormat(even.order)
  }
  throw new CsvProblem(
    `the times in ${column} are ambiguous: a date ${orderUnknown(
      doubtful,
      readings.map(({ order }) => order),
    )}`,
  )
}

/** Returns why numbers may be something else than Unix times. */
function ambiguity(cells: readonly string[]): string | undefined {
  const all = (test: (text: string) => boolean): boolean => cells.every(test)
  const shown = quote(cells[0] ?? '')
  const inRange = (low: number, high: number) => (text: string) => {
    const value = Number(text.replace(',', '.'))
    return value >= low && value < high
  }
  const advice = (format: string): string => `use --time-format ${format} or --time-format unix`
  if (all(text => /^\d{8}(\d{4}(\d\d(\d{3})?)?)?$/.test(text) && typeof parseTimestamp(text) === 'string')) {
    const pattern = 'YYYYMMDDHHmmssSSS'.slice(0, cells[0]?.length)
    return `${shown} may be a date or a Unix time; ${advice(pattern)}`
  }
  if (all(text => /^(19|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([01]\d|2[0-3])$/.test(text))) {
    return `${shown} may be a date with an hour or a Unix time; ${advice('YYYYMMDDHH')}`
  }
  if (all(text => /^(19|20|21)\d\d(0[1-9]|1[0-2])$/.test(text))) return `${shown} may be a month; ${advice('YYYYMM')}`
  if (all(text => /^(19|20)\d\d$/.test(text))) return `${shown} may be a year; ${advice('YYYY')}`
  if (all(text => /^([01]\d|2[0-3])([0-5]\d){2}$/.test(text))) {
    return `${shown} may be a time of day, which needs a date: join both columns with --time DATE,TIME`
  }
  if (all(text => /^([01]?\d|2[0-3])[.,][0-5]\d$/.test(text))) {
    return `${shown} may be a time of day, which needs a date, or a Unix time; --time names the columns, --time-format the format`
  }
  if (all(inRange(20_000, 80_000))) return `${shown} may be the day of a spreadsheet; ${advice('excel')}`
  if (all(inRange(6.3e17, 6.5e17)) || all(inRange(1.25e17, 1.4e17))) {
    return `${shown} may count 100 ns since the year 1 or 1601 (.NET, Windows); export it as ISO 8601, or use --time-format unix-ns`
  }
  if (all(inRange(715_000, 745_000)) || all(inRange(2_440_000, 2_475_000))) {
    return `${shown} may be a day number (MATLAB, Julian); export it as ISO 8601, or use --time-format unix`
  }
  // One such cell among others is refused by itself.
  const leading = cells.filter(text => /^0\d/.test(text))
  if (leading.length * 2 > cells.length)
    return `${quote(leading[0] ?? '')} begins with 0 and may be a time of day or a date; ${advice('PATTERN')}`
  return undefined
}

export function mostFrequent<T>(items: readonly T[]): T | undefined {
  const counts = new Map<T, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  return [...counts].toSorted(([, a], [, b]) => b - a)[0]?.[0]
}

/** Directives of strftime, and the letters that Java, .NET and spreadsheets use. */
// biome-ignore format: a table
const STRFTIME: Readonly<Record<string, string>> = {
  Y: 'YYYY', y: 'YY', m: 'MM', d: 'D', e: 'D', b: 'MMM', h: 'MMM', B: 'MMMM', H: 'H', I: 'h', M: 'mm', S: 'ss',
  f: 'S', L: 'S', p: 'A', z: 'Z', T: 'H:mm:ss', F: 'YYYY-MM-D', R: 'H:mm',
}
const LETTERS =
  /YYYY|yyyy|uuuu|YY|yy|MMMM|MMM|MM|M|DD|dd|D|d|HH|H|hh|h|mm|m|ss|s|S+|f+|A|a|tt|ZZ|Z|z+|XXX|X|'[^']*'|\[[^\]]*\]|./g

const PARTS: Readonly<Record<string, string>> = {
  year: '(?<year>\\d{4})',
  shortYear: '(?<year>\\d{2})',
  name: '(?<name>\\p{L}{3,10}\\.?)',
  zone: '(?<zone>[Zz]|UTC|GMT|[+-]\\d\\d:?(?:\\d\\d)?)',
  fraction: '(?<fraction>\\d{1,9})',
  half: '(?<half>[AaPp])\\.?[Mm]\\.?',
}

function patternFormat(given: string): TimeFormat {
  const letters = given.includes('%') ? given.replace(/%-?(\w)/g, (all, one: string) => STRFTIME[one] ?? all) : given
  const tokens = letters.match(LETTERS) ?? []
  // Spreadsheets write the month as mm, too: before the hours it is one.
  const isMonth = (index: number): boolean =>
    !tokens.some(one => /^M/.test(one)) && !tokens.slice(0, index).some(one => /^[Hhm]+$/.test(one))
  const seen = new Set<string>()
  const source = tokens.map((token, index) => {
    const part = partOf(token, isMonth(index))
    const name = /^\(\?<(\w+)>/.exec(part)?.[1]
    if (name === undefined) return part
    seen.add(name)
    return part
  })
  const unknown = new CsvProblem(
    `the time format ${given} is unknown; use iso, unix, unix-s, unix-ms, unix-us, unix-ns, excel, or a pattern such as "DD.MM.YYYY HH:mm:ss" or "%d.%m.%Y %H:%M:%S"`,
  )
  if (!seen.has('year')) throw unknown
  let pattern: RegExp
  try {
    pattern = new RegExp(`^${source.join('')}$`, 'u')
  } catch (error) {
    throw new CsvProblem(unknown.message, { cause: error })
  }
  const parse = (text: string): number | string => {
    const groups = pattern.exec(text)?.groups
    if (groups === undefined) return `is not written as ${given}`
    const month = groups.name === undefined ? (groups.month ?? '1') : String(monthOf(groups.name) ?? 0)
    return fromFields({ ...groups, month, day: groups.day ?? '1' } as TimeFields)
  }
  return { name: given, parse, isLocal: seen.has('zone') ? localIfWithoutZone : always }
}

function partOf(token: string, isMonth: boolean): string {
  const digits = (name: string): string => `(?<${name}>\\d${token.length > 1 ? '{2}' : '{1,2}'})`
  if (/^(YYYY|yyyy|uuuu)$/.test(token)) return PARTS.year ?? ''
  if (/^(YY|yy)$/.test(token)) return PARTS.shortYear ?? ''
  if (/^MMMM?$/.test(token)) return PARTS.name ?? ''
  if (/^M{1,2}$/.test(token) || (/^m{1,2}$/.test(token) && isMonth)) return digits('month')
  if (/^(DD?|dd?)$/.test(token)) return digits('day')
  if (/^(HH?|hh?)$/.test(token)) return digits('hour')
  if (/^m{1,2}$/.test(token)) return digits('minute')
  if (/^s{1,2}$/.test(token)) return digits('second')
  if (/^(S+|f+)$/.test(token)) return PARTS.fraction ?? ''
  if (/^(A|a|tt)$/.test(token)) return PARTS.half ?? ''
  if (/^(Z|ZZ|z+|XXX|X)$/.test(token)) return `\\s?${PARTS.zone}`
  const literal = /^['[](.*)['\]]$/.exec(token)?.[1] ?? token
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
