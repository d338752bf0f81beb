import { type Level, placeOf, type RingName } from './levels.ts'
import { RECORD_BYTES, writeRecord } from './record.ts'

/** Bytes to write to a ring of a key. */
export interface RingWrite {
  readonly ring: RingName
  /** Offset in bytes. */
  readonly at: number
  readonly bytes: Uint8Array
}

const RECORDS_MIN = 4

/** Records of consecutive buckets of one level, to be written to its ring. */
export class ClosedRecords {
  readonly level: Level
  /** Number of the first bucket. */
  #first: number
  #count = 0
  #bytes = new Uint8Array(RECORDS_MIN * RECORD_BYTES)

  constructor(level: Level, first: number) {
    this.level = level
    this.#first = first
  }

  /** Number of the bucket after the last one. */
  get next(): number {
    return this.#first + this.#count
  }

  /** Adds the bucket at `from`. */
  add(numbers: Float64Array, from: number, base: number): void {
    this.addEmpty(1)
    writeRecord(numbers, from, { base, target: this.#bytes, at: (this.#count - 1) * RECORD_BYTES })
  }

  /** Adds buckets without samples. */
  addEmpty(count: number): void {
    const { kept } = this.level
    const added = Math.min(count, kept)
    const total = this.#count + added
    const dropped = Math.max(0, total - kept)
    this.#first = this.next + count - (total - dropped)
    this.#bytes.copyWithin(0, dropped * RECORD_BYTES, this.#count * RECORD_BYTES)
    const before = Math.max(0, this.#count - dropped)
    this.#count = total - dropped
    if (this.#count * RECORD_BYTES > this.#bytes.length) {
      const larger = new Uint8Array(Math.min(kept, 2 * this.#count) * RECORD_BYTES)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes.fill(0, before * RECORD_BYTES, this.#count * RECORD_BYTES)
  }

  /** Returns what must be written: in two pieces where the records go beyond the ring's end. */
  get writes(): readonly RingWrite[] {
    const level = this.level
    const place = placeOf(this.#first, level)
    const toEnd = Math.min(this.#count, level.kept - place)
    const head = this.#bytes.subarray(0, toEnd * RECORD_BYTES)
    const rest = this.#bytes.subarray(toEnd * RECORD_BYTES, this.#count * RECORD_BYTES)
    const write = (at: number, bytes: Uint8Array) => ({ ring: level.ring, at: (level.at + at) * RECORD_BYTES, bytes })
    if (rest.length === 0) return [write(place, head)]
    if (this.#count < level.kept) return [write(place, head), write(0, rest)]
    const whole = new Uint8Array(head.length + rest.length)
    whole.set(rest)
    whole.set(head, rest.length)
    return [write(0, whole)]
  }
}
