import { keyHash, partitionOfHash } from '@tidemark/shared/sample/partition'

/** Keys that share a place: fewer would displace each other long before the cache is full. */
const WAYS = 4
const WAYS_BITS = 2

const ENTRIES = { min: 1024, max: 2 ** 20 } as const

/** Characters of all cached keys, each with what a string costs besides. */
const BYTES_MAX = 64 * 1024 * 1024
const STRING_BYTES = 24

/** Odd, so that generations have different products. */
const SPREAD = 0x9e3779b1

/**
 * The keys that are known to be registered, so that a sample of one needs no request to the store.
 * It grows with the keys up to a bound; then keys displace others, which are looked up again. A
 * key's place follows from its CRC-32, which the packer needs anyway. An entry's tag is the CRC-32
 * and its partition's generation in one number, and only a key with the same tag is compared.
 */
export class KeyCache {
  readonly #entriesMax: number
  /** By partition; the next one forgets all its keys. */
  readonly #generations: Int32Array
  #setMask = 0
  #tags = new Int32Array()
  #keys: (string | undefined)[] = []
  #bytes = 0
  #turn = 0

  constructor({ keysMax, partitions }: { readonly keysMax: number; readonly partitions: number }) {
    this.#entriesMax = 2 ** Math.ceil(Math.log2(Math.min(Math.max(keysMax, ENTRIES.min), ENTRIES.max)))
    this.#generations = new Int32Array(partitions)
    this.#resize(ENTRIES.min)
  }

  has(hash: number, partition: number, key: string): boolean {
    const begin = (hash & this.#setMask) << WAYS_BITS
    const tag = this.#tagOf(hash, partition)
    for (let at = begin; at < begin + WAYS; at++) {
      if (this.#tags[at] === tag && this.#keys[at] === key) return true
    }
    return false
  }

  add(hash: number, partition: number, key: string): void {
    if (this.has(hash, partition, key)) return
    // A copy: the key may be a part of its request's body, which it would keep in memory.
    this.#put(hash, partition, Buffer.from(key).toString())
  }

  /** Forgets all keys of a partition. */
  forget(partition: number): void {
    this.#generations[partition] = (this.#generations[partition] as number) + 1
  }

  #tagOf(hash: number, partition: number): number {
    return hash ^ Math.imul(this.#generations[partition] as number, SPREAD)
  }

  #put(hash: number, partition: number, key: string): void {
    const begin = (hash & this.#setMask) << WAYS_BITS
    let at = begin
    while (at < begin + WAYS && this.#isInUse(at)) at++
    if (at === begin + WAYS) {
      if (this.#keys.length < this.#entriesMax) {
        this.#grow()
        this.#put(hash, partition, key)
        return
      }
      at = begin + (this.#turn++ % WAYS)
    }
    const before = this.#keys[at]
    const bytes = this.#bytes + sizeOf(key) - (before === undefined ? 0 : sizeOf(before))
    if (bytes > BYTES_MAX) return
    this.#bytes = bytes
    this.#tags[at] = this.#tagOf(hash, partition)
    this.#keys[at] = key
  }

  #grow(): void {
    const kept = this.#keys.filter((key, at) => key !== undefined && this.#isInUse(at)) as string[]
    this.#resize(2 * this.#keys.length)
    for (const key of kept) {
      const hash = keyHash(key)
      this.#put(hash, partitionOfHash(hash, this.#generations.length), key)
    }
  }

  #resize(entries: number): void {
    this.#setMask = entries / WAYS - 1
    this.#tags = new Int32Array(entries)
    this.#keys = new Array<string | undefined>(entries).fill(undefined)
    this.#bytes = 0
  }

  /** Whether an entry holds a key that is not forgotten. */
  #isInUse(at: number): boolean {
    const key = this.#keys[at]
    if (key === undefined) return false
    const hash = keyHash(key)
    return this.#tags[at] === this.#tagOf(hash, partitionOfHash(hash, this.#generations.length))
  }
}

function sizeOf(key: string): number {
  return key.length + STRING_BYTES
}
