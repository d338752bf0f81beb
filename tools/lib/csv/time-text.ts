import { parseTimestamp } from '@tidemark/shared/sample/timestamp'

/** The order of day, month and year in a date of numbers; `yymd` has a year of two digits. */
export type DateOrder = 'ymd' | 'dmy' | 'mdy' | 'yymd'

export interface TimeFields {
  readonly year: string
  readonly month: string
  readonly day: string
  readonly hour?: string | undefined
  readonly minute?: string | undefined
  readonly second?: string | undefined
  readonly fraction?: string | undefined
  /** The first letter of AM or PM. */
  readonly half?: string | undefined
  readonly zone?: string | undefined
}

const CLOCK =
  '(?<hour>\\d{1,2})(?:[:.](?<minute>\\d{2})|[hH](?<minuteH>\\d{2}))(?:[:.](?<second>\\d{2})(?:[.,:](?<fraction>\\d{1,9}))?)?(?:\\s*(?<half>[AaPp])\\.?\\s?[Mm]\\.?)?'
/** Abbreviations of zones, with hours from UTC. Others, such as CST and IST, name several zones. */
// biome-ignore format: a table
const ZONE_HOURS: Readonly<Record<string, string>> = {
  WET: '+0', WEST: '+1', CET: '+1', CEST: '+2', EET: '+2', EEST: '+3', MEZ: '+1', MESZ: '+2', JST: '+9',
  EST: '-5', EDT: '-4', CDT: '-5', MST: '-7', MDT: '-6', PST: '-8', PDT: '-7',
}
const ABBREVIATIONS = Object.keys(ZONE_HOURS).join('|')
const ZONE = `(?:\\s*(?:(?<zone>[Zz]|UTC|GMT|${ABBREVIATIONS}|(?:UTC|GMT)?[+-]\\d{1,2}(?::?\\d{2})?)))?`
const WEEKDAY = '(?:\\p{L}{2,10}\\.?,?\\s+)?'
const REST = `(?:(?:[T:,_-]|,?\\s+(?:[-@]\\s+|at\\s+)?)${CLOCK}${ZONE})?`

const NUMBERS = new RegExp(
  `^${WEEKDAY}(?<a>\\d{1,4})(?<mark>[./-])(?<b>\\d{1,2})\\k<mark>(?<c>\\d{1,4})\\.?${REST}$`,
  'u',
)
const DAY_NAME = new RegExp(
  `^${WEEKDAY}(?<day>\\d{1,2})(?:st|nd|rd|th|\\.)?[\\s./-]*(?:de\\s+)?(?<name>\\p{L}{3,10})\\.?[\\s,./-]+(?:del?\\s+)?(?<year>\\d{2}|\\d{4})${REST}$`,
  'u',
)
const NAME_DAY = new RegExp(
  `^${WEEKDAY}(?<name>\\p{L}{3,10})\\.?\\s+(?<day>\\d{1,2})(?:st|nd|rd|th)?,?\\s+(?<year>\\d{4})${REST}$`,
  'u',
)
/** As `date` and C's ctime write it, with or without a zone before the year. */
const CTIME = new RegExp(
  `^\\p{L}{3}\\s+(?<name>\\p{L}{3})\\s+(?<day>\\d{1,2})\\s+${CLOCK}${ZONE}\\s+(?<year>\\d{4})$`,
  'u',
)
const COMPACT = new RegExp(`^(?<year>\\d{4})(?<month>\\d\\d)(?<day>\\d\\d)[\\sT_]\\s*${CLOCK}${ZONE}$`)
const TIME_OF_DAY = new RegExp(`^${CLOCK.replace('[:.]', ':')}${ZONE}$`)

/** A zone follows a time of day; `-01` at the end of a date is none. */
const ZONE_AT_END = new RegExp(
  `[:T ]\\d\\d(?:[:.,]?\\d+)*\\s?(?:[AaPp]\\.?[Mm]\\.?\\s?)?(?:[Zz]|UTC|GMT|${ABBREVIATIONS}|(?:UTC|GMT)?[+-]\\d{1,2}(?::?\\d\\d)?)$|\\s(?:UTC|GMT|Z|${ABBREVIATIONS})\\s+\\d{4}$`,
)

/** The name of a zone behind its offset, as in `+01:00[Europe/Berlin]` of Java. */
const ZONE_NAME = /((?:[Zz]|[+-]\d\d:?\d\d)) ?(?:\[[^\]]*\]|\([^)]*\))$/

/** Returns a time without the name of its zone, if it has an offset. */
export function withoutZoneName(text: string): string {
  return text.endsWith(']') || text.endsWith(')') ? text.replace(ZONE_NAME, '$1') : text
}

/** Names of months, long and short, in the languages in which exporters write most often. */
const MONTHS = monthNames(['en', 'de', 'fr', 'es', 'it', 'nl', 'pt', 'pl', 'sv'])

/** Whether a text is a time of day without a date. */
export function isTimeOfDay(text: string): boolean {
  return TIME_OF_DAY.test(text)
}

/** What a text says: a date, a date with a time, or neither. Plain numbers are neither. */
export function dateKind(text: string): 'date' | 'datetime' | undefined {
  if (text.length < 6 || text.length > 48 || !/\d/.test(text)) return undefined
  const groups = NUMBERS.exec(text)?.groups
  if (groups !== undefined) {
    const { a = '', c = '', hour } = groups
    // A version such as 1.2.3 is no date: a year has two or four digits.
    if (a.length === 3 || (a.length < 4 && c.length !== 2 && c.length !== 4)) return undefined
    return hour === undefined ? 'date' : 'datetime'
  }
  if (COMPACT.test(text) || /^\d{8}[Tt ]\d{4,6}/.test(text)) return 'datetime'
  const fields = namedFields(text)
  return fields === undefined ? undefined : fields.hour === undefined ? 'date' : 'datetime'
}

/** Whether a time has no zone, so that it is a local time of an unknown place. */
export function isWithoutZone(text: string): boolean {
  return !ZONE_AT_END.test(text)
}

/** Parses a date whose month has a name, or undefined. */
export function parseNamed(text: string): number | string | undefined {
  const fields = namedFields(text)
  return fields === undefined ? undefined : fromFields(fields)
}

/** Parses a date of numbers in a given order, or undefined. */
export function parseNumbers(text: string, order: DateOrder): number | string | undefined {
  const compact = COMPACT.exec(text)?.groups
  if (compact !== undefined) return order === 'ymd' ? fromFields(clockOf(compact) as TimeFields) : undefined
  const groups = NUMBERS.exec(text)?.groups
  if (groups === undefined) return undefined
  const { a = '', b = '', c = '' } = groups
  // Only the year has four digits, and a year at the end may have two.
  const isFit =
    order === 'ymd'
      ? a.length === 4
      : order === 'yymd'
        ? a.length === 2 && c.length <= 2
        : a.length <= 2 && (c.length === 2 || c.length === 4)
  if (!isFit) return undefined
  const [year, month, day] = order === 'ymd' || order === 'yymd' ? [a, b, c] : order === 'dmy' ? [c, b, a] : [c, a, b]
  return fromFields({ ...clockOf(groups), year, month, day })
}

/** Returns Unix milliseconds; a text says what is wrong, as the end of a sentence. */
export function fromFields({
  year,
  month,
  day,
  hour = '0',
  minute = '0',
  second = '0',
  fraction,
  half,
  zone,
}: TimeFields) {
  const two = (text: string): string => text.padStart(2, '0')
  const full = year.length === 2 ? `${Number(year) < 70 ? '20' : '19'}${year}` : year
  let hours = hour
  if (half !== undefined) {
    if (Number(hour) < 1 || Number(hour) > 12) return 'has a date or time that does not exist'
    hours = String((Number(hour) % 12) + (half.toLowerCase() === 'p' ? 12 : 0))
  }
  const clock = `${two(hours)}:${two(minute)}:${two(second)}${fraction === undefined ? '' : `.${fraction}`}`
  return parseTimestamp(`${full}-${two(month)}-${two(day)}T${clock}${zoneText(zone)}`)
}

/** Returns the number of a month, from 1, by its name in one of several languages. */
export function monthOf(name: string): number | undefined {
  return MONTHS.get(name.toLowerCase().replace('.', ''))
}

function namedFields(text: string): TimeFields | undefined {
  for (const form of [DAY_NAME, NAME_DAY, CTIME]) {
    const groups = form.exec(text)?.groups
    const month = groups === undefined ? undefined : monthOf(groups.name ?? '')
    if (groups !== undefined && month !== undefined) return { ...clockOf(groups), month: String(month) } as TimeFields
  }
  return undefined
}

function clockOf(groups: Record<string, string | undefined>) {
  return { ...groups, minute: groups.minute ?? groups.minuteH }
}

function zoneText(zone: string | undefined): string {
  if (zone === undefined || zone === '') return 'Z'
  const [, sign, hours = '', minutes = ''] = /([+-])(\d{1,2}):?(\d{2})?$/.exec(ZONE_HOURS[zone] ?? zone) ?? []
  return sign === undefined ? 'Z' : `${sign}${hours.padStart(2, '0')}:${minutes || '00'}`
}

function monthNames(languages: readonly string[]): ReadonlyMap<string, number> {
  const names = new Map<string, number>([
    ['sept', 9],
    ['mrz', 3],
    ['mär', 3],
  ])
  for (let month = 1; month <= 12; month++) {
    const date = Date.UTC(2024, month - 1, 15)
    for (const language of languages) {
      for (const style of ['long', 'short'] as const) {
        // With a day, languages that inflect write the form that stands in dates.
        const format = new Intl.DateTimeFormat(language, { month: style, day: 'numeric', timeZone: 'UTC' })
        const name = format.formatToParts(date).find(part => part.type === 'month')?.value ?? ''
        const plain = name.toLowerCase().replace('.', '')
        if (!names.has(plain)) names.set(plain, month)
      }
    }
  }
  return names
}
