import { CsvProblem } from './problem.ts'

export interface Encoding {
  /** A label of the Encoding Standard, as TextDecoder takes it. */
  readonly label: string
  /** How it was found, as a part of a report. */
  readonly reason: string
}

const BYTE_ORDER_MARKS = [
  { label: 'utf-8', bytes: [0xef, 0xbb, 0xbf] },
  { label: 'utf-16le', bytes: [0xff, 0xfe] },
  { label: 'utf-16be', bytes: [0xfe, 0xff] },
] as const

/** What is not text but often given as CSV, by its first bytes. */
const PACKED = [
  {
    bytes: [0x50, 0x4b, 0x03, 0x04],
    message: 'it is a ZIP archive or a spreadsheet (.xlsx, .ods); save it as CSV first',
  },
  { bytes: [0xd0, 0xcf, 0x11, 0xe0], message: 'it is a spreadsheet (.xls); save it as CSV first' },
  { bytes: [0x50, 0x41, 0x52, 0x31], message: 'it is a Parquet file; export it as CSV first' },
] as const

/** UTF-16 has a zero in one half of most pairs, and hardly ever in the other. */
const ZEROS_MIN = 0.2
const ZEROS_MAX = 0.02

/** A longer line is decoded in parts: it is not a sample, and memory has a bound. */
const CARRY_MAX = 1 << 20

/** Returns the encoding that the user named, or the one that the first bytes of a file have. */
export function detectEncoding(head: Uint8Array, given: string | undefined): Encoding {
  if (given !== undefined) return { label: labelOf(given), reason: 'as given' }
  const packed = PACKED.find(({ bytes }) => bytes.every((byte, index) => head[index] === byte))
  if (packed !== undefined) throw new CsvProblem(packed.message)
  const mark = BYTE_ORDER_MARKS.find(({ bytes }) => bytes.every((byte, index) => head[index] === byte))
  if (mark !== undefined) return { label: mark.label, reason: 'byte order mark' }
  const pairs = head.length >> 1
  let [even, odd] = [0, 0]
  for (let index = 0; index < 2 * pairs; index += 2) {
    if (head[index] === 0) even++
    if (head[index + 1] === 0) odd++
  }
  if (odd >= ZEROS_MIN * pairs && even <= ZEROS_MAX * pairs && odd > 0) return { label: 'utf-16le', reason: 'no mark' }
  if (even >= ZEROS_MIN * pairs && odd <= ZEROS_MAX * pairs && even > 0) return { label: 'utf-16be', reason: 'no mark' }
  // The decoder finds out if it is not.
  return { label: 'utf-8', reason: '' }
}

/** Whether a text that was decoded as UTF-8 has as many characters of UTF-8 as damaged ones. */
function isRatherUtf8(text: string): boolean {
  const damaged = text.match(/\ufffd/g)?.length ?? 0
  return damaged === 0 || (text.match(/[^\0-\x7f\ufffd]/g)?.length ?? 0) >= damaged
}

/** Returns the label of an encoding by any of its names; throws a CsvProblem for an unknown one. */
export function labelOf(name: string): string {
  try {
    return new TextDecoder(name).encoding
  } catch (error) {
    const message = `the encoding ${name} is unknown; use utf-8, utf-16le, utf-16be, windows-1252 or another label`
    throw new CsvProblem(message, { cause: error })
  }
}

/**
 * Decodes a file chunk by chunk. A file that began as ASCII and has a byte that is not UTF-8 later
 * is windows-1252 from there on; in a file with UTF-8 characters such a byte becomes U+FFFD.
 */
export class Decoder {
  #encoding: Encoding
  #decoder: InstanceType<typeof TextDecoder>
  #carry = new Uint8Array(0)
  #isAscii = true

  constructor(encoding: Encoding) {
    this.#encoding = encoding
    this.#decoder = new TextDecoder(encoding.label)
  }

  get encoding(): Encoding {
    return this.#encoding
  }

  decode(chunk: Uint8Array): string {
    if (this.#encoding.label !== 'utf-8') return this.#decoder.decode(chunk, { stream: true })
    const bytes = concat(this.#carry, chunk)
    // No character of UTF-8 crosses a line end, so that every part can be decoded for itself.
    const end = bytes.lastIndexOf(0x0a) + 1 || (bytes.length > CARRY_MAX ? bytes.length : 0)
    this.#carry = bytes.slice(end)
    return this.#decodeLines(bytes.subarray(0, end))
  }

  end(): string {
    const rest = this.#carry
    this.#carry = new Uint8Array(0)
    return this.#encoding.label === 'utf-8' ? this.#decodeLines(rest) : this.#decoder.decode()
  }

  #decodeLines(bytes: Uint8Array): string {
    // Without `stream`, a mark at the beginning of each part is stripped: it is unwanted.
    const text = this.#decoder.decode(bytes)
    if (this.#isAscii && this.#encoding.reason === '' && !isRatherUtf8(text)) {
      this.#encoding = { label: 'windows-1252', reason: 'not UTF-8' }
      this.#decoder = new TextDecoder('windows-1252')
      return this.#decoder.decode(bytes, { stream: true })
    }
    this.#isAscii &&= text.length === bytes.length
    return text
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second
  const all = new Uint8Array(first.length + second.length)
  all.set(first)
  all.set(second, first.length)
  return all
}
