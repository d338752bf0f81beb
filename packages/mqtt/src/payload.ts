import { DECIMAL } from '@tidemark/shared/parsing/decimal'
import { nullNoNumbers } from '@tidemark/shared/parsing/no-number'
import { toMilliseconds } from '@tidemark/shared/sample/timestamp'

/** A number in a payload. */
export interface Reading {
  /** The path of the value, with points; empty if it is the whole payload. */
  readonly field: string
  readonly value: number
  /** When it was measured: Unix milliseconds; undefined if the payload does not say. */
  readonly timestamp: number | undefined
}

export interface Payload {
  readonly readings: readonly Reading[]
  /** Values that are no numbers: texts, nulls. They are skipped and counted. */
  readonly skipped: number
}

/** Members that hold the time of measurement, not a value. */
const TIME_MEMBERS: ReadonlySet<string> = new Set(['timestamp', 'ts', 'time', 'datetime'])

/** As switches and contacts report them. */
const WORDS: Readonly<Record<string, number>> = { true: 1, false: 0, on: 1, off: 0 }

/** In 2001. */
const UNIX_TIME_MIN = 1e9

/** A time with its zone, or a Unix time. */
const ZONED = /^[\d.]+$|:?\d\d(?:[.,]\d+)? ?(?:[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)$/

/** A payload nested deeper is no measurement. */
const DEPTH_MAX = 16

/**
 * Reads a payload: a plain number (`21.5`), a switch (`ON`, `true`) or JSON. Of JSON every number
 * is a reading, booleans count as 1 and 0, and members with the time are that of all readings of
 * their object and those in it. `value` names no field. A bare NaN or Infinity, as Python writes
 * them, is skipped and leaves the other values. Returns undefined if there is neither.
 */
export function readPayload(bytes: Uint8Array): Payload | undefined {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim()
  } catch {
    return undefined
  }
  const plain = toNumber(text)
  if (plain !== undefined) return { readings: [{ field: '', value: plain, timestamp: undefined }], skipped: 0 }
  let json = parseJson(text)
  if (json === undefined && /^[{[]/.test(text)) json = parseJson(nullNoNumbers(text))
  if (json === undefined) return undefined
  const readings: Reading[] = []
  const skipped = collect(json, '', undefined, 0, readings)
  return { readings, skipped }
}

/** Returns undefined if the text is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function toNumber(text: string): number | undefined {
  const number = DECIMAL.test(text) ? Number(text) : WORDS[text.toLowerCase()]
  return number !== undefined && Number.isFinite(number) ? number + 0 : undefined
}

/** Appends the readings of a value. Returns how many values were skipped. */
function collect(
  value: unknown,
  field: string,
  timestamp: number | undefined,
  depth: number,
  readings: Reading[],
): number {
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') {
    const number = typeof value === 'string' ? toNumber(value.trim()) : Number(value)
    if (number === undefined || !Number.isFinite(number)) return 1
    readings.push({ field, value: number + 0, timestamp })
    return 0
  }
  if (value === null || typeof value !== 'object' || depth === DEPTH_MAX) return 1
  const members = Object.entries(value)
  const own = Array.isArray(value) ? undefined : timeOf(members)
  const measured = members.filter(([name, member]) => !isTime(name, member))
  let skipped = 0
  for (const [name, member] of measured) {
    // {"value": 21.5} is one value with its description, as most sensors send it.
    const isWhole = name === 'value' && typeof member !== 'object'
    const path = isWhole ? field : field === '' ? name : `${field}.${name}`
    skipped += collect(member, path, own ?? timestamp, depth + 1, readings)
  }
  return skipped
}

function timeOf(members: readonly (readonly [string, unknown])[]): number | undefined {
  const time = members.find(([name, member]) => isTime(name, member))?.[1] as number | string | undefined
  // A local time, as Tasmota sends it, would be read as UTC: the time of arrival is nearer.
  return time === undefined || (typeof time === 'string' && !ZONED.test(time)) ? undefined : toMilliseconds(time)
}

/** A small number in such a member is a duration. */
function isTime(name: string, member: unknown): boolean {
  if (!TIME_MEMBERS.has(name.toLowerCase())) return false
  if (typeof member !== 'number' && typeof member !== 'string') return false
  return !(Number(member) < UNIX_TIME_MIN) && toMilliseconds(member) !== undefined
}
