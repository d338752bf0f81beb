import { charCodeAt } from '../parsing/char-code.ts'
import { shortestDigits } from './shortest-digits.ts'

/** The initial size of the buffer, and the largest one that is reused. */
const BYTES = { initial: 1024, reusedMax: 32 * 1024 } as const

/** The longest number, "-1.7976931348623157e+308", and what is written beyond its end meanwhile. */
const NUMBER_BYTES = 32

const DOT = 46
const MINUS = 45
const QUOTE = 34
const BACKSLASH = 92
const ZERO = 48

/** Bytes of "00" to "99". */
const PAIRS = Uint8Array.from({ length: 200 }, (_, i) => ZERO + (i % 2 === 0 ? Math.trunc(i / 20) : (i >> 1) % 10))

/** Returns the bytes of a text in ASCII that is written often. */
export function fragment(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

/** JSON that is written when it is needed: a text would take memory until then. */
export interface LateJson {
  write(writer: JsonWriter): void
  toString(): string
}

/**
 * Writes JSON as bytes into a reused buffer: in half the time of JSON.stringify or a template,
 * which allocate each number as a text of its own. The caller reserves room first.
 */
export class JsonWriter {
  #bytes = Buffer.allocUnsafeSlow(BYTES.initial)
  #end = 0
  #isAscii = true

  /** Makes room for texts of so many UTF-16 units, and for bytes: two of them quote each text. */
  reserve({ text, numbers, bytes }: { text: number; numbers: number; bytes: number }): void {
    // An escaped unit takes six bytes; any other takes at most three as UTF-8.
    const needed = this.#end + 6 * text + NUMBER_BYTES * numbers + bytes
    if (needed <= this.#bytes.byteLength) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.byteLength))
    larger.set(this.#bytes.subarray(0, this.#end))
    this.#bytes = larger
  }

  /** Returns what was written, and begins again. */
  take(): string {
    const text = this.#bytes.toString(this.#isAscii ? 'latin1' : 'utf8', 0, this.#end)
    this.discard()
    return text
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#end
  }

  /** Copies what was written to `target` from `at`, and begins again. */
  takeInto(target: Uint8Array, at: number): void {
    this.#bytes.copy(target, at, 0, this.#end)
    this.discard()
  }

  /** Begins again. */
  discard(): void {
    // One large text must not hold its memory forever.
    if (this.#bytes.byteLength > BYTES.reusedMax) this.#bytes = Buffer.allocUnsafeSlow(BYTES.initial)
    this.#end = 0
    this.#isAscii = true
  }

  byte(byte: number): void {
    this.#bytes[this.#end++] = byte
  }

  fragment(fragment: Uint8Array): void {
    const bytes = this.#bytes
    const end = this.#end
    const { length } = fragment
    for (let i = 0; i < length; i++) bytes[end + i] = fragment[i] as number
    this.#end = end + length
  }

  /** Writes a text in ASCII as it is. */
  ascii(text: string): void {
    this.#end += this.#bytes.write(text, this.#end, 'latin1')
  }

  /** Writes a text as JSON.stringify does. */
  text(text: string): void {
    const bytes = this.#bytes
    const { length } = text
    let end = this.#end
    bytes[end++] = QUOTE
    for (let i = 0; i < length; i++) {
      const code = charCodeAt(text, i)
      if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
        this.#isAscii = false
        this.#end += bytes.write(JSON.stringify(text), this.#end)
        return
      }
      bytes[end++] = code
    }
    bytes[end++] = QUOTE
    this.#end = end
  }

  /** Writes a number as String(value) has it. */
  number(value: number): void {
    const size = Math.abs(value)
    if (value < 0) this.#bytes[this.#end++] = MINUS
    const whole = Math.trunc(size)
    if (whole === size) {
      if (size <= Number.MAX_SAFE_INTEGER) this.#digits(whole)
      else this.#other(size)
      return
    }
    // No other decimal with up to 15 digits stands for the same float64.
    const millionths = Math.round(size * 1e6)
    if (millionths < 1e15 && millionths / 1e6 === size) {
      this.#digits(whole)
      this.#fraction(millionths - whole * 1e6)
      return
    }
    const shortest = shortestDigits(size)
    if (shortest === undefined) this.#other(size)
    else this.#decimal(shortest.high, shortest.low, shortest.exponent)
  }

  #other(size: number): void {
    this.ascii(String(size))
  }

  #fraction(millionths: number): void {
    const bytes = this.#bytes
    const begin = this.#end
    const first = (millionths / 10_000) | 0
    const rest = millionths - first * 10_000
    const second = (rest / 100) | 0
    bytes[begin] = DOT
    this.#pair(begin + 1, first)
    this.#pair(begin + 3, second)
    this.#pair(begin + 5, rest - second * 100)
    this.#endWithoutZeros(begin + 7)
  }

  /** Writes 17 digits without the zeros at their end, and a dot after the one of `exponent`. */
  #decimal(high: number, low: number, exponent: number): void {
    const bytes = this.#bytes
    const begin = this.#end
    if (exponent < 0) {
      this.#pair(begin, 0)
      bytes[begin + 1] = DOT
      for (let i = 1; i < -exponent; i++) bytes[begin + 1 + i] = ZERO
    }
    // The digits before the dot are moved by one place afterwards.
    const digits = exponent < 0 ? begin + 1 - exponent : begin + 1
    const first = (high / 1e8) | 0
    bytes[digits] = ZERO + first
    this.#eight(digits + 1, high - first * 1e8)
    this.#eight(digits + 9, low)
    if (exponent >= 0) {
      for (let i = 0; i <= exponent; i++) bytes[begin + i] = bytes[begin + i + 1] as number
      bytes[begin + exponent + 1] = DOT
    }
    this.#endWithoutZeros(digits + 17)
  }

  #endWithoutZeros(end: number): void {
    let last = end
    while (this.#bytes[last - 1] === ZERO) last--
    this.#end = last
  }

  #digits(whole: number): void {
    // V8 computes with integers only up to 31 bits, so a larger number is written in parts.
    if (whole >= 1e8) {
      const high = Math.floor(whole / 1e8)
      this.#digits(high)
      this.#eight(this.#end, whole - high * 1e8)
      this.#end += 8
      return
    }
    let rest = whole | 0
    let count = 1
    for (let limit = 10; limit <= rest; limit *= 10) count++
    this.#end += count
    for (let at = this.#end - 1; count > 0; at--, count--) {
      const tenth = (rest / 10) | 0
      this.#bytes[at] = ZERO + rest - 10 * tenth
      rest = tenth
    }
  }

  #eight(at: number, digits: number): void {
    const whole = digits | 0
    const high = (whole / 10_000) | 0
    const low = whole - high * 10_000
    const first = (high / 100) | 0
    const third = (low / 100) | 0
    this.#pair(at, first)
    this.#pair(at + 2, high - first * 100)
    this.#pair(at + 4, third)
    this.#pair(at + 6, low - third * 100)
  }

  #pair(at: number, digits: number): void {
    this.#bytes[at] = PAIRS[2 * digits] as number
    this.#bytes[at + 1] = PAIRS[2 * digits + 1] as number
  }
}
