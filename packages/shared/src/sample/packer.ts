import type { Sample } from './sample.ts'

/** A partition's samples as items of an entry's field `s`: `"k",420,1700000000000`. */
export interface PackedSamples {
  readonly partition: number
  readonly samples: string
  readonly count: number
}

/** The initial size of a partition's buffer, and the largest one that is reused. */
const BYTES = { initial: 1024, reusedMax: 32 * 1024 } as const

/** The longest number: "-1.7976931348623157e+308". */
const NUMBER_BYTES = 24

const PUNCTUATION_BYTES = 5

const COMMA = 44
const DOT = 46
const MINUS = 45
const QUOTE = 34
const BACKSLASH = 92
const ZERO = 48

/**
 * Divides samples by partition and writes them as text into buffers: in half the time of
 * JSON.stringify, which was a quarter of the gateway's CPU time with requests of 1,000 samples.
 */
export class SamplePacker {
  readonly #texts: (PartitionText | undefined)[]

  constructor(partitions: number) {
    this.#texts = Array.from({ length: partitions }, () => undefined)
  }

  /** Adds a sample to the partition of its key. */
  add(partition: number, { key, value, timestamp }: Sample): void {
    let text = this.#texts[partition]
    if (text === undefined) {
      text = new PartitionText()
      this.#texts[partition] = text
    }
    text.add(key, value, timestamp)
  }

  /** Drops the samples added since the last `take`. */
  discard(): void {
    for (const text of this.#texts) text?.discard()
  }

  /** Returns the samples added since the last call, by ascending partition, in order. */
  take(): PackedSamples[] {
    const packed: PackedSamples[] = []
    this.#texts.forEach((text, partition) => {
      if (text !== undefined && text.count > 0) packed.push({ partition, count: text.count, samples: text.take() })
    })
    return packed
  }
}

/** The text of one partition's samples, in a reused buffer. */
class PartitionText {
  count = 0
  #bytes = Buffer.allocUnsafeSlow(BYTES.initial)
  #capacity = BYTES.initial as number
  #end = 0
  #isAscii = true

  add(key: string, value: number, timestamp: number): void {
    // An escaped character takes six bytes; a UTF-16 unit takes at most three as UTF-8.
    this.#reserve(6 * key.length + 2 * NUMBER_BYTES + PUNCTUATION_BYTES)
    if (this.count++ > 0) this.#bytes[this.#end++] = COMMA
    this.#text(key)
    this.#bytes[this.#end++] = COMMA
    this.#number(value)
    this.#bytes[this.#end++] = COMMA
    this.#number(timestamp)
  }

  take(): string {
    const text = this.#bytes.toString(this.#isAscii ? 'latin1' : 'utf8', 0, this.#end)
    this.discard()
    return text
  }

  discard(): void {
    // One large request must not hold its memory forever.
    if (this.#capacity > BYTES.reusedMax) {
      this.#bytes = Buffer.allocUnsafeSlow(BYTES.initial)
      this.#capacity = BYTES.initial
    }
    this.count = 0
    this.#end = 0
    this.#isAscii = true
  }

  /** Writes a text as JSON.stringify does. */
  #text(text: string): void {
    const bytes = this.#bytes
    const { length } = text
    let end = this.#end
    bytes[end++] = QUOTE
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
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

  /** Writes a number so that it is parsed as the same float64. */
  #number(value: number): void {
    const size = Math.abs(value)
    const whole = Math.trunc(size)
    // A number with two decimals is parsed as the nearest float64, and so is n / 100.
    const hundredths = whole === size ? 0 : Math.round(size * 100)
    if (size > Number.MAX_SAFE_INTEGER / 100 || (whole !== size && hundredths / 100 !== size)) {
      this.#end += this.#bytes.write(String(value), this.#end, 'latin1')
      return
    }
    if (value < 0) this.#bytes[this.#end++] = MINUS
    this.#digits(whole)
    if (whole === size) return
    const rest = hundredths - whole * 100
    this.#bytes[this.#end++] = DOT
    this.#bytes[this.#end++] = ZERO + Math.trunc(rest / 10)
    if (rest % 10 !== 0) this.#bytes[this.#end++] = ZERO + (rest % 10)
  }

  #digits(whole: number): void {
    // V8 computes with integers only up to 31 bits, so a larger number is written in two parts.
    if (whole >= 1e9) {
      this.#digits(Math.trunc(whole / 1e6))
      this.#padded(whole % 1e6, 6)
      return
    }
    let count = 1
    for (let limit = 10; limit <= whole; limit *= 10) count++
    this.#padded(whole, count)
  }

  #padded(whole: number, count: number): void {
    let rest = whole | 0
    for (let at = this.#end + count - 1; at >= this.#end; at--) {
      const tenth = (rest / 10) | 0
      this.#bytes[at] = ZERO + rest - 10 * tenth
      rest = tenth
    }
    this.#end += count
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes
    if (needed <= this.#capacity) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.byteLength))
    larger.set(this.#bytes.subarray(0, this.#end))
    this.#bytes = larger
    this.#capacity = larger.byteLength
  }
}
