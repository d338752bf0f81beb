import { charCodeAt } from '@tidemark/shared/parsing/char-code'
import { DECIMAL } from '@tidemark/shared/parsing/decimal'
import type { KeyTemplate, Labels, OpenKey } from '@tidemark/shared/sample/key-template'
import { type Batch, type BodyFault, type Place, quote } from '../../formats/batch.ts'
import { RecentMap } from '../recent-map.ts'
import { toUnixMs, type Unit } from './precision.ts'

const TAB = 9
const LINE_FEED = 10
const CARRIAGE_RETURN = 13
const SPACE = 32
const QUOTE = 34
const HASH = 35
const PERCENT = 37
const PLUS = 43
const COMMA = 44
const MINUS = 45
const DOT = 46
const ZERO = 48
const NINE = 57
const EQUALS = 61
const BACKSLASH = 92
const LOWER_I = 105
const LOWER_U = 117

/** Digits of an integer that a float64 certainly holds. */
const DIGITS_MAX = 15

/** 1, 10, ..., 1e15. A number of at most 15 digits divided by one is correctly rounded. */
const POWERS = Array.from({ length: DIGITS_MAX + 1 }, (_, i) => 10 ** i)

const NOT_FINITE = /^[+-]?(?:nan|inf(?:inity)?)$/i

const TRUE: ReadonlySet<string> = new Set(['t', 'T', 'true', 'True', 'TRUE'])
const FALSE: ReadonlySet<string> = new Set(['f', 'F', 'false', 'False', 'FALSE'])

/** What InfluxDB unescapes: a backslash before any other character stands for itself. */
const ESCAPED_IN_MEASUREMENT = /\\([, ])/g
const ESCAPED = /\\([, =])/g

/** Thrown to give up a line; never leaves this module. */
class LineFault {
  readonly problem: string

  constructor(problem: string) {
    this.problem = problem
  }
}

/** The value of a field that is a text. */
const TEXT = Symbol('text')

/** The value of a field, or what is wrong with it as the end of a sentence. */
type FieldValue = number | string | typeof TEXT

/** Of measurements with their tags that are remembered, in each of two generations. */
const REMEMBERED_BYTES = 8 * 1024 * 1024

/** The keys of a measurement with its tags, without a field. */
interface Head extends OpenKey {
  readonly text: string
}

/** Clients repeat measurements with their tags with each point. */
export type Heads = RecentMap<Head>

export function createHeads(): Heads {
  return new RecentMap(REMEMBERED_BYTES)
}

/**
 * Reads InfluxDB line protocol: `measurement,tag=a field=1.5,other=2i 1700000000000000000`. Each
 * numeric or boolean field is a sample, whose key the template makes. Fields that are texts are
 * skipped and counted. A line that is damaged costs that line only; an index is a line, from 0.
 * `unit` is that of the timestamps. `heads` are those of the batch's template.
 */
export function readLines(text: string, batch: Batch, unit: Unit, heads = createHeads()): BodyFault {
  const reader = new LineReader(text, batch, unit, heads)
  while (reader.next()) if (batch.isTooLarge) return { kind: 'too-many' }
  return batch.isTooLarge ? { kind: 'too-many' } : undefined
}

/** Goes over the text once, except for the rest of a line that was given up. */
class LineReader {
  readonly #text: string
  /** The text as UTF-16 units, and a line feed behind it. Strings are slower by the unit. */
  readonly #codes: Uint16Array
  readonly #batch: Batch
  readonly #template: KeyTemplate
  readonly #unit: Unit
  readonly #heads: Heads
  readonly #separator: string
  /** Whether a head may be the beginning of its keys as it is. */
  readonly #isLine: boolean
  #at = 0
  #index = 0
  /** Line ends inside the strings of the present line. */
  #innerLines = 0
  /** Of the present line: where the names of its fields begin and end, and the values. */
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  readonly #values: FieldValue[] = []

  constructor(text: string, batch: Batch, unit: Unit, heads: Heads) {
    this.#text = text
    this.#codes = new Uint16Array(text.length + 1)
    Buffer.from(this.#codes.buffer).write(text, 'utf16le')
    this.#codes[text.length] = LINE_FEED
    this.#batch = batch
    this.#template = batch.template
    this.#unit = unit
    this.#heads = heads
    this.#separator = batch.template.lineSeparator ?? ''
    this.#isLine = batch.template.lineSeparator !== undefined
  }

  /** Reads a line; false at the end of the text. */
  next(): boolean {
    const { length } = this.#text
    if (this.#at >= length) return false
    const start = this.#at
    try {
      this.#innerLines = 0
      this.#readLine()
    } catch (fault) {
      if (!(fault instanceof LineFault)) throw fault
      // The rest of a string that has no end may be good lines.
      const end = this.#lineEnd(start)
      const line = this.#text.slice(start, end).trim()
      const hint = line.startsWith('{') || line.startsWith('[') ? '; JSON is for POST /ingest' : ''
      this.#batch.reject({ index: this.#index }, 'shape', `unable to parse ${quote(line)}: ${fault.problem}${hint}`)
      this.#at = end
      this.#innerLines = 0
    }
    this.#at++
    this.#index += 1 + this.#innerLines
    return true
  }

  /** Reads from the start of a line to its line feed or the end of the text. */
  #readLine(): void {
    this.#skipSpace()
    const start = this.#at
    const first = this.#code(start)
    if (first === LINE_FEED) return
    if (first === HASH) {
      this.#at = this.#lineEnd(start)
      return
    }
    const isPlain = this.#readHead()
    const end = this.#at
    this.#skipSpace()
    const fields = this.#readFields()
    this.#skipSpace()
    const ms = this.#readTimestamp()
    this.#add(start, end, isPlain, fields, ms)
  }

  /**
   * Goes past the measurement and its tags. Returns whether the text is already the beginning of
   * the keys: it has no escapes, and the tags are sorted.
   */
  #readHead(): boolean {
    let isPlain = this.#isLine
    let at = this.#at
    let code = this.#code(at)
    if (code === COMMA) throw new LineFault('the measurement is missing')
    for (; code !== SPACE && code !== COMMA; code = this.#code(++at)) {
      if (code === BACKSLASH || code === PERCENT) {
        isPlain = false
        if (code === BACKSLASH) at = this.#skipEscaped(at)
      } else if (this.#isEndAt(code, at)) throw new LineFault(NO_FIELDS)
    }
    let previous = -1
    while (code === COMMA) {
      const name = ++at
      for (code = this.#code(at); code !== EQUALS; code = this.#code(++at)) {
        if (code === BACKSLASH || code === PERCENT) {
          isPlain = false
          if (code === BACKSLASH) at = this.#skipEscaped(at)
        } else if (code === SPACE || code === COMMA || this.#isEndAt(code, at)) {
          throw new LineFault(at === name ? 'the name of a tag is missing' : 'the value of a tag is missing')
        }
      }
      if (at === name) throw new LineFault('the name of a tag is missing')
      const value = ++at
      for (code = this.#code(at); code !== SPACE && code !== COMMA; code = this.#code(++at)) {
        if (code === BACKSLASH || code === PERCENT) {
          isPlain = false
          if (code === BACKSLASH) at = this.#skipEscaped(at)
        } else if (code === EQUALS) throw new LineFault('the value of a tag has = in it: write it as \\=')
        else if (this.#isEndAt(code, at)) throw new LineFault(NO_FIELDS)
      }
      if (at === value) throw new LineFault('the value of a tag is missing')
      isPlain &&= previous === -1 || this.#isBefore(previous, name)
      previous = name
    }
    this.#at = at
    return isPlain
  }

  /** Whether the tag at an offset has a lesser name than the one at another. */
  #isBefore(a: number, b: number): boolean {
    for (let i = 0; ; i++) {
      const x = this.#code(a + i)
      const y = this.#code(b + i)
      // A name ends at its equals sign.
      if (x !== y) return x === EQUALS || (y !== EQUALS && x < y)
      if (x === EQUALS) return false
    }
  }

  /** Reads the fields into `#starts`, `#ends` and `#values`, and returns how many they are. */
  #readFields(): number {
    for (let count = 0; ; ) {
      const name = this.#at
      let at = name
      let code = this.#code(at)
      for (; code !== EQUALS; code = this.#code(++at)) {
        if (code === BACKSLASH) at = this.#skipEscaped(at)
        else if (code === SPACE || code === COMMA || this.#isEndAt(code, at)) {
          throw new LineFault(count === 0 && at === name ? NO_FIELDS : 'a field has no value: write it as name=value')
        }
      }
      if (at === name) throw new LineFault('the name of a field is missing')
      this.#starts[count] = name
      this.#ends[count] = at
      this.#at = at + 1
      this.#values[count++] = this.#readValue()
      code = this.#code(this.#at)
      if (code !== COMMA) return count
      this.#at++
    }
  }

  /** Reads the value of a field, up to a comma, a space or the end of the line. */
  #readValue(): FieldValue {
    const text = this.#text
    const start = this.#at
    let at = start
    let code = this.#code(at)
    if (code === QUOTE) return this.#readString()
    const isNegative = code === MINUS
    if (isNegative || code === PLUS) code = this.#code(++at)
    const digitsStart = at
    let digits = 0
    for (; code >= ZERO && code <= NINE; code = this.#code(++at)) digits = digits * 10 + code - ZERO
    let count = at - digitsStart
    let decimals = 0
    if (code === DOT) {
      for (code = this.#code(++at); code >= ZERO && code <= NINE; code = this.#code(++at)) {
        digits = digits * 10 + code - ZERO
        decimals++
      }
      count += decimals
    } else if (code === LOWER_I || (code === LOWER_U && !isNegative)) {
      const end = at + 1
      if (count > 0 && this.#isValueEnd(this.#code(end), end)) {
        this.#at = end
        const whole = count <= DIGITS_MAX ? digits : Number(text.slice(digitsStart, at))
        return isNegative ? -whole : whole
      }
    }
    if (count > 0 && count <= DIGITS_MAX && this.#isValueEnd(code, at)) {
      this.#at = at
      const value = decimals === 0 ? digits : digits / (POWERS[decimals] as number)
      return isNegative ? -value : value
    }
    for (; !this.#isValueEnd(code, at); ) code = this.#code(++at)
    this.#at = at
    return parseToken(text.slice(start, at))
  }

  #readString(): typeof TEXT {
    const text = this.#text
    for (let at = this.#at + 1; at < text.length; at++) {
      const code = this.#code(at)
      if (code === LINE_FEED) this.#innerLines++
      else if (code === QUOTE) {
        this.#at = at + 1
        if (this.#isValueEnd(this.#code(at + 1), at + 1)) return TEXT
        throw new LineFault('a string is followed by more text: write quotes in it as \\"')
      } else if (code === BACKSLASH) {
        const next = this.#code(at + 1)
        if (next === QUOTE || next === BACKSLASH) at++
      }
    }
    throw new LineFault('a string has no closing quote')
  }

  /** Returns Unix milliseconds, what is wrong with the timestamp, or undefined without one. */
  #readTimestamp(): number | string | undefined {
    const text = this.#text
    const start = this.#at
    let at = start
    let code = this.#code(at)
    if (code === LINE_FEED) return undefined
    if (code === MINUS || code === PLUS) code = this.#code(++at)
    for (; code >= ZERO && code <= NINE; ) code = this.#code(++at)
    const end = at
    if (code !== SPACE && code !== TAB && !this.#isEndAt(code, at)) throw new LineFault(BAD_TIMESTAMP)
    this.#at = at
    this.#skipSpace()
    if (this.#code(this.#at) !== LINE_FEED) throw new LineFault('more text follows the timestamp')
    const isSigned = this.#code(start) <= MINUS
    const digits = isSigned ? start + 1 : start
    if (digits === end) throw new LineFault(BAD_TIMESTAMP)
    if (this.#code(start) === MINUS && /[1-9]/.test(text.slice(digits, end))) return 'must not be before 1970'
    return toUnixMs(this.#codes, digits, end, this.#unit)
  }

  /** Adds the samples of a line whose measurement and tags are from `start` to `end`. */
  #add(start: number, end: number, isPlain: boolean, fields: number, ms: number | string | undefined): void {
    const batch = this.#batch
    const index = this.#index
    if (typeof ms === 'string') {
      batch.reject({ index }, 'timestamp', `the timestamp ${ms}`)
      return
    }
    const head = this.#text.slice(start, end)
    const open = isPlain ? { before: head + this.#separator, after: '' } : this.#openKey(head)
    for (let i = 0; i < fields; i++) {
      const value = this.#values[i] as FieldValue
      if (value === TEXT) {
        batch.skip('text')
        continue
      }
      const written = this.#text.slice(this.#starts[i], this.#ends[i])
      const metric = written.includes('\\') ? written.replace(ESCAPED, '$1') : written
      const place: Place = { index, metric }
      if (typeof value === 'string') batch.reject(place, 'value', value)
      else if (this.#isPlainField(metric)) {
        // A join makes a flat string. What + makes is slower to hash and to pack, for all formats.
        batch.addAt([open.before, metric, open.after].join(''), value, ms, place)
      } else batch.addAt(this.#template.close(open, metric), value, ms, place)
    }
  }

  #isPlainField(name: string): boolean {
    const { lastNameEnds } = this.#template
    const first = charCodeAt(lastNameEnds, 0)
    const second = charCodeAt(lastNameEnds, 1)
    for (let i = 0; i < name.length; i++) {
      const code = charCodeAt(name, i)
      if (code === first || code === second || code === PERCENT) return false
    }
    return true
  }

  #openKey(written: string): OpenKey {
    const { expected } = this.#heads
    if (expected?.text === written) {
      this.#heads.advance()
      return expected
    }
    const known = this.#heads.get(written)
    if (known !== undefined) return known
    const { before, after } = this.#createKey(written)
    const head = { text: flat(written), before: flat(before), after: flat(after) }
    this.#heads.set(head.text, head)
    return head
  }

  #createKey(head: string): OpenKey {
    const [measurement = '', ...tags] = splitUnescaped(head, COMMA)
    const labels: Labels = tags.map(tag => {
      const [name = '', ...value] = splitUnescaped(tag, EQUALS)
      return [name.replace(ESCAPED, '$1'), value.join('=').replace(ESCAPED, '$1')] as const
    })
    const names = new Set(labels.map(([name]) => name))
    if (names.size < labels.length) throw new LineFault('a tag occurs twice')
    const unplaced = this.#template.unplaced(labels)
    if (unplaced !== undefined) {
      throw new LineFault(`INFLUX_KEY has no place for the tag ${quote(unplaced)}: add {tags} to it, or drop the tag`)
    }
    return this.#template.open([measurement.replace(ESCAPED_IN_MEASUREMENT, '$1')], labels)
  }

  /** Returns the offset of the last character that the backslash at an offset escapes. */
  #skipEscaped(at: number): number {
    let last = at
    while (this.#code(last) === BACKSLASH) last++
    // A line ends at its line feed, whatever precedes it.
    return this.#isEndAt(this.#code(last), last) ? last - 1 : last
  }

  #skipSpace(): void {
    let code = this.#code(this.#at)
    while (code === SPACE || code === TAB) code = this.#code(++this.#at)
    // The carriage return of a line end.
    if (code === CARRIAGE_RETURN && this.#isEndAt(code, this.#at)) this.#at++
  }

  #code(at: number): number {
    return this.#codes[at] as number
  }

  /** Whether a character ends a line: a line feed, or a carriage return before one. */
  #isEndAt(code: number, at: number): boolean {
    return code === LINE_FEED || (code === CARRIAGE_RETURN && this.#code(at + 1) === LINE_FEED)
  }

  #isValueEnd(code: number, at: number): boolean {
    return code === COMMA || code === SPACE || this.#isEndAt(code, at)
  }

  #lineEnd(from: number): number {
    const end = this.#text.indexOf('\n', from)
    return end === -1 ? this.#text.length : end
  }
}

const NO_FIELDS = 'fields are missing: a line is measurement,tag=a field=1 timestamp'
const BAD_TIMESTAMP = 'the timestamp is not an integer'

/** Reads a value that is not a short decimal number. Throws a LineFault for one of no type. */
function parseToken(token: string): FieldValue {
  if (TRUE.has(token)) return 1
  if (FALSE.has(token)) return 0
  if (DECIMAL.test(token)) {
    const value = Number(token)
    return Number.isFinite(value) ? value : 'value must be a finite number'
  }
  if (NOT_FINITE.test(token)) return `value is ${/nan/i.test(token) ? 'NaN' : 'infinite'}: leave the field out`
  if (token === '') throw new LineFault('the value of a field is missing')
  throw new LineFault('a field is not a number, a boolean or a string in double quotes')
}

/** Returns a text that shares no memory with a longer one. */
function flat(text: string): string {
  return Buffer.from(text).toString()
}

/** Splits a text at each character that no backslash precedes. */
function splitUnescaped(text: string, separator: number): string[] {
  const parts: string[] = []
  let start = 0
  for (let at = 0; at < text.length; at++) {
    if (charCodeAt(text, at) !== separator || charCodeAt(text, at - 1) === BACKSLASH) continue
    parts.push(text.slice(start, at))
    start = at + 1
  }
  parts.push(text.slice(start))
  return parts
}
