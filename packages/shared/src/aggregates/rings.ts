import { LEVELS, type Level, placeOf, type RingName } from './levels.ts'
import { baseOf, type ClosedBuckets, type OpenBuckets, placeIn } from './open-buckets.ts'
import { RECORD_BYTES, RECORD_WORDS, writeRecord } from './record.ts'

/** Bytes to write to a ring of a key. */
export interface RingWrite {
  readonly ring: RingName
  /** Offset in bytes. */
  readonly at: number
  readonly bytes: Uint8Array
  /** Whether the ring is a new one, all zeros but for these bytes, whatever is there. */
  readonly isNew: boolean
}

/** Returns the size of a whole ring. */
export function ringBytes(ring: RingName): number {
  return RECORD_BYTES * Math.max(...LEVELS.map(level => (level.ring === ring ? level.at + level.kept : 0)))
}

/** Returns a ring with bytes written to it. It may be the same one, changed. */
export function writeTo(before: Uint8Array, { ring, at, bytes, isNew }: RingWrite): Uint8Array {
  const length = isNew ? ringBytes(ring) : Math.max(before.length, at + bytes.length)
  const written = !isNew && length === before.length ? before : new Uint8Array(length)
  if (!isNew && written !== before) written.set(before)
  written.set(bytes, at)
  return written
}

/** Collects what must be written to the rings of one key. */
export class RingWrites implements ClosedBuckets {
  readonly #all: ClosedRecords[] = []

  close(place: OpenBuckets, level: number, number: number, next: number, isFirst: boolean): void {
    const records = this.#recordsFrom(level, number, isFirst)
    records.add(place.numbers, place.at + placeIn(level), baseOf(place))
    records.addEmpty(next - records.next)
  }

  closeTogether(words: Uint32Array, level: number, number: number, next: number, isFirst: boolean): void {
    const records = this.#recordsFrom(level, number, isFirst)
    records.addWords(words)
    records.addEmpty(next - records.next)
  }

  erase(level: number, number: number, next: number): void {
    this.#recordsFrom(level, number, false).addEmpty(next - number)
  }

  /** In the order in which they must be made. */
  get writes(): readonly RingWrite[] {
    return this.#all.flatMap(records => records.writes)
  }

  /** Returns the records of a level that go on with `number`. New ones have none before it. */
  #recordsFrom(level: number, number: number, isFirst: boolean): ClosedRecords {
    const before = this.#all.findLast(records => records.level === levelOf(level))
    if (before?.next === number) return before
    // All levels in a ring have their first bucket together: the first of them makes it.
    const records = new ClosedRecords(levelOf(level), number, isFirst && levelOf(level).at === 0)
    this.#all.push(records)
    return records
  }
}

function levelOf(level: number): Level {
  return LEVELS[level] as Level
}

/**
 * Records are written into parts of larger arrays: an array for each of them costs several times as
 * much. No part is used twice.
 */
const CHUNK_WORDS = 16_384
let chunk = new Uint32Array(CHUNK_WORDS)
let chunkUsed = 0

const RECORDS_MIN = LEVELS[0].together

/** Records of consecutive buckets of one level, to be written to its ring. */
class ClosedRecords {
  readonly level: Level
  /** Number of the first bucket. */
  #first: number
  #count = 0
  /** Where the records are: in `#words`, from `#at`, room for `#room` of them. */
  #words = chunk
  #at = 0
  #room = 0

  readonly #isNew: boolean

  constructor(level: Level, first: number, isNew: boolean) {
    this.level = level
    this.#isNew = isNew
    this.#first = first
  }

  /** Number of the bucket after the last one. */
  get next(): number {
    return this.#first + this.#count
  }

  /** Adds the bucket at `from`. */
  add(numbers: Float64Array, from: number, base: number): void {
    this.addEmpty(1)
    writeRecord(numbers, from, base, this.#words, this.#wordsTo(this.#count - 1))
  }

  /** Adds records as they are. */
  addWords(words: Uint32Array): void {
    const count = words.length / RECORD_WORDS
    this.addEmpty(count)
    this.#words.set(words, this.#wordsTo(this.#count - count))
  }

  /** Adds buckets without samples. */
  addEmpty(count: number): void {
    if (count <= 0) return
    const { kept } = this.level
    const total = this.#count + Math.min(count, kept)
    const dropped = Math.max(0, total - kept)
    const before = Math.max(0, this.#count - dropped)
    this.#first = this.next + count - (total - dropped)
    if (dropped > 0) this.#words.copyWithin(this.#at, this.#wordsTo(dropped), this.#wordsTo(this.#count))
    this.#count = total - dropped
    if (this.#count > this.#room) this.#makeRoom(before)
    this.#words.fill(0, this.#wordsTo(before), this.#wordsTo(this.#count))
  }

  /** Returns what must be written: in two pieces where the records go beyond the ring's end. */
  get writes(): readonly RingWrite[] {
    const { kept, ring, at: levelAt } = this.level
    const place = placeOf(this.#first, this.level)
    const toEnd = Math.min(this.#count, kept - place)
    const bytes = new Uint8Array(this.#words.buffer, 4 * this.#at, this.#count * RECORD_BYTES)
    const write = (at: number, part: Uint8Array, isNew: boolean) => {
      return { ring, at: (levelAt + at) * RECORD_BYTES, bytes: part, isNew }
    }
    if (toEnd === this.#count) return [write(place, bytes, this.#isNew)]
    const [head, rest] = [bytes.subarray(0, toEnd * RECORD_BYTES), bytes.subarray(toEnd * RECORD_BYTES)]
    return [write(place, head, this.#isNew), write(0, rest, false)]
  }

  #wordsTo(record: number): number {
    return this.#at + record * RECORD_WORDS
  }

  #makeRoom(used: number): void {
    const [words, at] = [this.#words, this.#at]
    this.#room = Math.min(this.level.kept, Math.max(RECORDS_MIN, 2 * this.#count))
    if (chunkUsed + this.#room * RECORD_WORDS > CHUNK_WORDS) {
      chunk = new Uint32Array(CHUNK_WORDS)
      chunkUsed = 0
    }
    this.#words = chunk
    this.#at = chunkUsed
    chunkUsed += this.#room * RECORD_WORDS
    this.#words.set(words.subarray(at, at + used * RECORD_WORDS), this.#at)
  }
}
