/** One measurement of one key. */
export interface Sample {
  readonly key: string
  /** Finite, never -0. */
  readonly value: number
  /** When it was measured: Unix time in milliseconds. */
  readonly timestamp: number
}

/** The largest Unix time in milliseconds that a Date can hold (ECMAScript, "Time Values and Time Range"). */
export const TIMESTAMP_MAX_MS = 8.64e15

/** A Unix time below this is in seconds, from here on in milliseconds: 1e11 s is the year 5138, 1e11 ms is 1973. */
const SECONDS_BELOW = 1e11

/**
 * A timestamp as clients send it, in Unix milliseconds: a number of seconds (below 1e11) or milliseconds, or an ISO 8601
 * string. Undefined when it is none of these.
 */
export function toMilliseconds(timestamp: number | string): number | undefined {
  const ms =
    typeof timestamp === 'string' ? parseIso8601(timestamp) : timestamp < SECONDS_BELOW ? timestamp * 1000 : timestamp
  return ms >= 0 && ms <= TIMESTAMP_MAX_MS ? ms : undefined
}

/** A date, or a date and time with a zone or UTC: what ISO 8601 and RFC 3339 agree on. Date.parse alone takes far more. */
const ISO_8601 = /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?$/

function parseIso8601(text: string): number {
  if (!ISO_8601.test(text)) return Number.NaN
  const plain = text
    .replace(',', '.')
    .replace(/^(.{10})[ t]/, '$1T')
    .replace(/z$/, 'Z')
  // A time without a zone is UTC: a verdict must not depend on where the gateway runs.
  return Date.parse(plain.length > 10 && !/(?:Z|[+-]\d{2}:?\d{2})$/.test(plain) ? `${plain}Z` : plain)
}

/** C0 and C1 control characters and DEL: they break logs and terminals, and no series is called that. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is what it is for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f]/

/** Why `key` cannot be a key, as the end of a sentence that begins with its name; undefined when it can. */
export function keyFault(key: string, bytesMax: number): string | undefined {
  if (key.length === 0) return 'must not be empty'
  // A UTF-16 unit is 1 to 3 bytes of UTF-8, so most keys need no counting.
  if (key.length * 3 > bytesMax && Buffer.byteLength(key) > bytesMax)
    return `must be at most ${bytesMax} bytes of UTF-8`
  if (CONTROL_CHARACTER.test(key)) return 'must not contain control characters'
  if (!key.isWellFormed()) return 'must not contain lone surrogates'
  return undefined
}
