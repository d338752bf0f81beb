import { DECIMAL } from '../parsing/decimal.ts'

/**
 * The units of a Unix time, by magnitude: each begins in 1973 and ends in 5138, where the next one
 * begins. Only seconds begin at 0.
 */
const SECONDS_BELOW = 1e11
const MILLISECONDS_BELOW = 1e14
const MICROSECONDS_BELOW = 1e17
const NANOSECONDS_BELOW = 1e20

/** No accepted text is as long, whatever the digits of its fraction. */
const TEXT_LENGTH_MAX = 64

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000

/**
 * ISO 8601 and RFC 3339, extended (2024-01-31T12:00:00Z) or basic (20240131T120000Z). As other
 * systems write it, a space may stand for the T and before the zone, and the zone may be UTC, GMT
 * or hours alone.
 */
const ISO_8601 =
  /^(?<year>\d{4})(?<dash>-?)(?<month>\d\d)\k<dash>(?<day>\d\d)(?:[Tt ](?<hour>\d\d)(?<colon>:?)(?<minute>\d\d)(?:\k<colon>(?<second>\d\d)(?:[.,](?<fraction>\d+))?)?(?: ?(?:[Zz]|UTC|GMT|(?<sign>[+-])(?<zoneHour>\d\d)(?::?(?<zoneMinute>\d\d))?))?)?$/

/** A date written as one number, which may have hours and minutes, seconds and milliseconds. */
const COMPACT = /^((?:19|20|21)\d\d)(\d\d)(\d\d)(?:(\d\d)(\d\d)(?:(\d\d)(?:\d{3})?)?)?$/

const SHAPE = 'must be a Unix time or an ISO 8601 time such as 2024-01-31T12:00:00Z'
const TOO_EARLY = 'must not be before 1970'

/**
 * Converts a Unix time (in seconds, milliseconds, microseconds or nanoseconds, by magnitude; as a
 * number or its text) or an ISO 8601 time to Unix milliseconds. Returns a text for any other value:
 * what is wrong with it, as the end of a sentence. A time without a zone is UTC. A Unix time is
 * rounded to whole milliseconds; finer fractions of an ISO 8601 time are dropped.
 */
export function parseTimestamp(given: number | string): number | string {
  if (typeof given === 'number') return fromUnixTime(given)
  const text = given.trim()
  if (text.length > TEXT_LENGTH_MAX) return SHAPE
  return DECIMAL.test(text) ? fromUnixTime(Number(text)) : fromIso8601(text)
}

/** As parseTimestamp, but returns undefined for a value that is not a timestamp. */
export function toMilliseconds(given: number | string): number | undefined {
  const ms = parseTimestamp(given)
  return typeof ms === 'number' ? ms : undefined
}

function fromUnixTime(time: number): number | string {
  if (time < 0) return TOO_EARLY
  if (!(time < NANOSECONDS_BELOW)) return SHAPE
  if (Number.isInteger(time) && isCompactDate(time)) {
    return 'may be a date or a Unix time; write a date as 2024-01-31 or 2024-01-31T12:00:00Z'
  }
  // + 0, because -0 is a Unix time too.
  if (time < SECONDS_BELOW) return Math.round(time * 1000) + 0
  if (time < MILLISECONDS_BELOW) return Math.round(time)
  return Math.round(time < MICROSECONDS_BELOW ? time / 1000 : time / 1e6)
}

/**
 * Whether a number is also the digits of a date of 1900 to 2199: 20240131 would be seconds in
 * August 1970, 202401311200 milliseconds in 1976, and those with seconds lie after 2571. Ten digits
 * (a date with hours) are not recognised: 2024013112 is a Unix time of the year 2034.
 */
function isCompactDate(time: number): boolean {
  // Most timestamps end here, without a text.
  const scale = time < 1e8 ? 1e4 : time < 1e12 ? 1e8 : time < 1e14 ? 1e10 : 1e13
  const year = time / scale
  if (year < 1900 || year >= 2200) return false
  const [, years, month, day, hour, minute, second] = COMPACT.exec(String(time)) ?? []
  return years !== undefined && toInstant([years, month, day, hour, minute, second]) !== undefined
}

function fromIso8601(text: string): number | string {
  const parts = ISO_8601.exec(text)?.groups
  if (parts === undefined) return shapeProblem(text)
  const { year, month, day, hour, minute, second, fraction = '', sign, zoneHour = '00', zoneMinute = '00' } = parts
  const local = toInstant([year, month, day, hour, minute, second])
  if (local === undefined) return 'has a date or time that does not exist'
  if (Number(zoneHour) > 23 || Number(zoneMinute) > 59) return 'has a time zone that does not exist'
  const offset = (Number(zoneHour) * 60 + Number(zoneMinute)) * MINUTE_MS
  const instant = local + (sign === '-' ? offset : -offset)
  // A leap second ends a day of UTC; Unix time counts it as the first second of the next day.
  if (second === '60' && instant % DAY_MS !== 0) return 'has a leap second that does not exist'
  const ms = Number(fraction.padEnd(3, '0').slice(0, 3))
  if (hour === '24' && Number(fraction) !== 0) return 'has a date or time that does not exist'
  return instant < 0 ? TOO_EARLY : instant + ms
}

function shapeProblem(text: string): string {
  if (text === '') return 'must be a time: leave it out where the time is unknown'
  return /^\d+,\d+$/.test(text) ? `${SHAPE}, with a decimal point` : SHAPE
}

/** Returns the Unix milliseconds of a time in UTC; undefined if there is no such date or time. */
function toInstant(parts: readonly (string | undefined)[]): number | undefined {
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts.map(part => Number(part ?? 0))
  // 24:00 is the end of the day.
  if (minute > 59 || second > 60 || hour > 24 || (hour === 24 && minute + second > 0)) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000
}
