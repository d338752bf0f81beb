import { randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { charCodeAt } from '@tidemark/shared/parsing/char-code'
import { partitionOfHash } from '@tidemark/shared/sample/partition'

const ENTRIES = { min: 1024, max: 2 ** 20 } as const

/** Entries that share a place: fewer would displace each other long before the cache is full. */
const WAYS = 4
/** Numbers of an entry; the last is not used, so that the entries of a place are one cache line. */
const WORDS = 4
const PLACE_WORDS = WAYS * WORDS

/** The numbers of an entry. */
const HASH = 0
const CHECK = 1
const GENERATION = 2

/** The crc32 of each byte (ISO 3309; reversed polynomial 0xedb88320). */
const CRC_OF_BYTE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

/**
 * The keys that are known to be registered, so that a sample of one needs no request to the store.
 * It grows with the keys up to a bound; then keys displace others, which are looked up again.
 *
 * A key is two hashes of 32 bits: its CRC-32, from which its partition and its place follow, and a
 * check with a secret seed and multiplier, so that a client cannot choose keys that pass for
 * others. Comparing the keys themselves would wait for memory three times as often. If two keys
 * ever agree in both, the second is not registered, and limits do not count it; it is analysed as
 * any other.
 */
export class KeyCache {
  readonly #entriesMax: number
  /** By partition, from 1; the next one forgets all its keys. */
  readonly #generations: Int32Array
  readonly #seed = randomInt(2 ** 32) | 0
  readonly #multiplier = randomInt(2 ** 32) | 1
  #entries = new Int32Array(WORDS * ENTRIES.min)
  /** Pairs of a key's CRC-32 and its check. */
  #hashes = new Int32Array(2)
  #turn = 0

  constructor({ keysMax, partitions }: { readonly keysMax: number; readonly partitions: number }) {
    this.#entriesMax = 2 ** Math.ceil(Math.log2(Math.min(Math.max(keysMax, ENTRIES.min), ENTRIES.max)))
    this.#generations = new Int32Array(partitions).fill(1)
  }

  /**
   * Returns the partition of each item's key if the key is known, else the partition's complement
   * (`~partition`). All are hashed first, so that the processor waits for several entries at once.
   */
  find(items: readonly { readonly key: string }[]): number[] {
    const { length } = items
    if (this.#hashes.length < 2 * length) this.#hashes = new Int32Array(4 * length)
    const hashes = this.#hashes
    for (let i = 0; i < length; i++) this.#hash((items[i] as { readonly key: string }).key, 2 * i)
    const found: number[] = []
    for (let i = 0; i < length; i++) found.push(this.#find(hashes[2 * i] as number, hashes[2 * i + 1] as number))
    return found
  }

  add(key: string): void {
    this.#hash(key, 0)
    const hash = this.#hashes[0] as number
    const check = this.#hashes[1] as number
    if (this.#find(hash, check) < 0) this.#put(hash, check)
  }

  /** Forgets all keys of a partition. */
  forget(partition: number): void {
    this.#generations[partition] = (this.#generations[partition] as number) + 1
  }

  /**
   * Writes both hashes of a key to `#hashes`. node:zlib's crc32 takes 100 ns for 20 characters,
   * mostly for the call; this loop takes 40 ns for both, if they are ASCII.
   */
  #hash(key: string, to: number): void {
    const multiplier = this.#multiplier
    // Read once: V8 may have to look it up (char-code.ts).
    const { length } = key
    let crc = -1
    let check = this.#seed
    let codes = 0
    for (let i = 0; i < length; i++) {
      const code = charCodeAt(key, i)
      crc = (CRC_OF_BYTE[(crc ^ code) & 0xff] as number) ^ (crc >>> 8)
      check = Math.imul(check ^ code, multiplier)
      // A multiplication moves no bit to a lower place.
      check ^= check >>> 15
      codes |= code
    }
    this.#hashes[to] = codes > 0x7f ? crc32(key) : ~crc
    this.#hashes[to + 1] = check
  }

  #find(hash: number, check: number): number {
    const entries = this.#entries
    const partition = partitionOfHash(hash, this.#generations.length)
    const generation = this.#generations[partition]
    const begin = this.#placeOf(hash)
    for (let at = begin; at < begin + PLACE_WORDS; at += WORDS) {
      const isEqual = entries[at + HASH] === hash && entries[at + CHECK] === check
      if (isEqual && entries[at + GENERATION] === generation) return partition
    }
    return ~partition
  }

  #placeOf(hash: number): number {
    return Math.imul(hash, PLACE_WORDS) & (this.#entries.length - 1)
  }

  #put(hash: number, check: number): void {
    const begin = this.#placeOf(hash)
    let at = begin
    while (at < begin + PLACE_WORDS && this.#isInUse(at)) at += WORDS
    if (at === begin + PLACE_WORDS) {
      if (this.#entries.length < WORDS * this.#entriesMax) {
        this.#grow()
        this.#put(hash, check)
        return
      }
      at = begin + WORDS * (this.#turn++ % WAYS)
    }
    this.#entries[at + HASH] = hash
    this.#entries[at + CHECK] = check
    this.#entries[at + GENERATION] = this.#generationOf(hash)
  }

  #grow(): void {
    const before = this.#entries
    const isKept = Array.from({ length: before.length / WORDS }, (_, n) => this.#isInUse(n * WORDS))
    this.#entries = new Int32Array(2 * before.length)
    for (const [n, kept] of isKept.entries()) {
      if (kept) this.#put(before[n * WORDS + HASH] as number, before[n * WORDS + CHECK] as number)
    }
  }

  /** Whether an entry holds a key that is not forgotten. */
  #isInUse(at: number): boolean {
    return this.#entries[at + GENERATION] === this.#generationOf(this.#entries[at + HASH] as number)
  }

  #generationOf(hash: number): number {
    return this.#generations[partitionOfHash(hash, this.#generations.length)] as number
  }
}
