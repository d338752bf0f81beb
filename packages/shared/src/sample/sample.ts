export interface Sample {
  readonly key: string
  /** Finite, never -0. */
  readonly value: number
  /** When it was measured: Unix time in milliseconds. */
  readonly timestamp: number
}

/** The largest time of a Date, in Unix ms (ECMAScript, "Time Values and Time Range"). */
const TIMESTAMP_MAX_MS = 8.64e15

/** A smaller number is Unix time in seconds: 1e11 s is the year 5138, 1e11 ms is 1973. */
const SECONDS_BELOW = 1e11

/** Converts Unix seconds (below 1e11), milliseconds or ISO 8601; undefined for any other value. */
export function toMilliseconds(timestamp: number | string): number | undefined {
  const ms =
    typeof timestamp === 'string' ? parseIso8601(timestamp) : timestamp < SECONDS_BELOW ? timestamp * 1000 : timestamp
  return ms >= 0 && ms <= TIMESTAMP_MAX_MS ? ms : undefined
}

/** A date, or date and time with optional zone: ISO 8601 and RFC 3339. Date.parse accepts more. */
const ISO_8601 = /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?$/

function parseIso8601(text: string): number {
  if (!ISO_8601.test(text)) return Number.NaN
  const plain = text
    .replace(',', '.')
    .replace(/^(.{10})[ t]/, '$1T')
    .replace(/z$/, 'Z')
  // A time without a zone is UTC: it must not depend on the gateway's own time zone.
  return Date.parse(plain.length > 10 && !/(?:Z|[+-]\d{2}:?\d{2})$/.test(plain) ? `${plain}Z` : plain)
}

/** C0 and C1 control characters and DEL. They break logs and terminals. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it must find them
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f]/

/** Returns why a key is invalid, as the end of a sentence; undefined for a valid key. */
export function keyFault(key: string, bytesMax: number): string | undefined {
  if (key.length === 0) return 'must not be empty'
  // A UTF-16 unit is at most 3 bytes of UTF-8, so the bytes of most keys need not be counted.
  if (key.length * 3 > bytesMax && Buffer.byteLength(key) > bytesMax)
    return `must be at most ${bytesMax} bytes of UTF-8`
  if (CONTROL_CHARACTER.test(key)) return 'must not contain control characters'
  if (!key.isWellFormed()) return 'must not contain lone surrogates'
  return undefined
}
