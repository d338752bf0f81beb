import type { EncodedArguments } from './script-call.ts'

const BYTES_MIN = 16_384

/** Bytes reserved for what precedes the arguments: the command, its script's text and its keys. */
const HEAD_BYTES = 16_384

/** A larger buffer is not kept: most commits are far smaller. */
const SPARE_BYTES_MAX = 16 * 1024 * 1024

/** The longest text of a length: "$2147483647\r\n". */
const LENGTH_BYTES = 13

const CR = 13
const LF = 10
const DOLLAR = 36
const ZERO = 48

/**
 * Arguments of a Redis command as RESP bulk strings, each written once into one buffer:
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
export class RespArguments implements EncodedArguments {
  count = 0
  #buffer: Buffer
  #end = HEAD_BYTES

  /** `bytes` is an estimate of their size. They are written into the spare buffer if that fits. */
  constructor(bytes = BYTES_MIN, spare?: SpareBuffer) {
    const size = HEAD_BYTES + Math.max(BYTES_MIN, bytes)
    // Not from the pool: the socket may hold it for a long time.
    this.#buffer = spare?.take(size) ?? Buffer.allocUnsafeSlow(size)
  }

  /** Gives the buffer away. Only once it was sent and will not be sent again: it is overwritten. */
  recycle(spare: SpareBuffer): void {
    spare.put(this.#buffer)
  }

  /** Size of the arguments so far. */
  get bytes(): number {
    return this.#end - HEAD_BYTES
  }

  text(text: string): void {
    // A UTF-16 unit is at most three bytes of UTF-8.
    this.#reserve(3 * text.length)
    // Most texts are ASCII, so their length is known before they are written. If it turns out
    // longer, the text is moved.
    const guess = this.#end + lengthBytes(text.length)
    const written = this.#buffer.write(text, guess, 'utf8')
    const start = this.#end + lengthBytes(written)
    if (start !== guess) this.#buffer.copyWithin(start, guess, guess + written)
    this.#finish(start, written)
  }

  data(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength)
    const start = this.#end + lengthBytes(bytes.byteLength)
    this.#buffer.set(bytes, start)
    this.#finish(start, bytes.byteLength)
  }

  number(value: number): void {
    this.text(String(value))
  }

  /** Returns all of them after `head`, which is the rest of the command. */
  after(head: string): Buffer {
    const bytes = Buffer.byteLength(head)
    if (bytes > HEAD_BYTES) return Buffer.concat([Buffer.from(head), this.#buffer.subarray(HEAD_BYTES, this.#end)])
    this.#buffer.write(head, HEAD_BYTES - bytes)
    return this.#buffer.subarray(HEAD_BYTES - bytes, this.#end)
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes + LENGTH_BYTES + 2
    if (needed <= this.#buffer.byteLength) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.byteLength))
    larger.set(this.#buffer.subarray(0, this.#end))
    this.#buffer = larger
  }

  /** Writes the length before a text that is at `start` already, and the line end after it. */
  #finish(start: number, length: number): void {
    const buffer = this.#buffer
    buffer[this.#end] = DOLLAR
    let rest = length
    let at = start - 3
    do {
      buffer[at--] = ZERO + (rest % 10)
      rest = Math.trunc(rest / 10)
    } while (rest > 0)
    buffer[start - 2] = CR
    buffer[start - 1] = LF
    const end = start + length
    buffer[end] = CR
    buffer[end + 1] = LF
    this.#end = end + 2
    this.count++
  }
}

/** A buffer that is no longer needed: the kernel maps and clears each page of a new one. */
export class SpareBuffer {
  #buffer: Buffer | undefined

  /** Returns the buffer if it has so many bytes. */
  take(bytes: number): Buffer | undefined {
    const buffer = this.#buffer
    if (buffer === undefined || buffer.byteLength < bytes) return undefined
    this.#buffer = undefined
    return buffer
  }

  put(buffer: Buffer): void {
    if (buffer.byteLength <= SPARE_BYTES_MAX) this.#buffer = buffer
  }
}

/** Returns the size of "$<length>\r\n". */
function lengthBytes(length: number): number {
  let bytes = 4
  for (let rest = length; rest >= 10; rest = Math.trunc(rest / 10)) bytes++
  return bytes
}
