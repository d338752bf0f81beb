import { JsonWriter, type LateJson } from '../../writing/json-writer.ts'
import type { EncodedArguments } from './script-call.ts'

const BYTES_MIN = 16_384

/** Bytes reserved for what precedes the arguments: the command, its script's text and its keys. */
const HEAD_BYTES = 32_768

/** No more than this is kept: most commits are far smaller. */
const SPARE_BYTES_MAX = 16 * 1024 * 1024

/**
 * Room for more than the estimate: a text may need three bytes per character. Without it the buffer
 * grew at the end, and copying it took a third of the time of a commit of 2,000 keys.
 */
const SLACK = 1.25

/** The longest text of a length: "$2147483647\r\n". */
const LENGTH_BYTES = 13

const CR = 13
const LF = 10
const DOLLAR = 36
const ZERO = 48

const writer = new JsonWriter()

/**
 * Arguments of a Redis command as RESP bulk strings, each written once into one buffer:
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
export class RespArguments implements EncodedArguments {
  count = 0
  #buffer: Buffer
  #end = HEAD_BYTES

  /** `bytes` is an estimate of their size. */
  constructor(bytes = BYTES_MIN, buffers?: ArgumentBuffers) {
    const size = HEAD_BYTES + Math.max(BYTES_MIN, bytes)
    // Not from the pool: the socket may hold it for a long time.
    this.#buffer = buffers?.take(size) ?? Buffer.allocUnsafeSlow(size)
  }

  /** Gives the buffer away. Only once it was sent and will not be sent again: it is overwritten. */
  recycle(buffers: ArgumentBuffers): void {
    buffers.put(this.#buffer)
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

  /** A text, or JSON that is written now. */
  json(text: string | LateJson): void {
    if (typeof text === 'string') {
      this.text(text)
      return
    }
    // Nothing may be left of one that failed.
    writer.discard()
    text.write(writer)
    const { length } = writer
    this.#reserve(length)
    const start = this.#end + lengthBytes(length)
    writer.takeInto(this.#buffer, start)
    this.#finish(start, length)
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

/** Buffers that are no longer needed: the kernel maps and clears each page of a new one. */
export class ArgumentBuffers {
  #spares: Buffer[] = []
  #bytes = 0
  /** The size that arguments of each kind had last: the next will be about as large. */
  readonly #lastBytes = new Map<string, number>()

  /** Begins arguments of a kind, with room for as many as it had last. */
  begin(kind: string): RespArguments {
    return new RespArguments(Math.ceil((this.#lastBytes.get(kind) ?? 0) * SLACK), this)
  }

  /** Ends arguments that `begin` began: they were sent and will not be sent again. */
  end(kind: string, args: RespArguments): void {
    this.#lastBytes.set(kind, args.bytes)
    args.recycle(this)
  }

  /** Returns the smallest buffer that has so many bytes. */
  take(bytes: number): Buffer | undefined {
    let best = -1
    for (const [i, { byteLength }] of this.#spares.entries()) {
      if (byteLength >= bytes && byteLength < (this.#spares[best]?.byteLength ?? Number.POSITIVE_INFINITY)) best = i
    }
    if (best === -1) return undefined
    const [buffer] = this.#spares.splice(best, 1)
    this.#bytes -= buffer?.byteLength ?? 0
    return buffer
  }

  put(buffer: Buffer): void {
    if (this.#bytes + buffer.byteLength > SPARE_BYTES_MAX) return
    this.#spares.push(buffer)
    this.#bytes += buffer.byteLength
  }
}

/** Returns the size of "$<length>\r\n". */
function lengthBytes(length: number): number {
  let bytes = 4
  for (let rest = length; rest >= 10; rest = Math.trunc(rest / 10)) bytes++
  return bytes
}
