/** Keys that share a place: fewer would displace each other long before the cache is full. */
const WAYS = 4
const WAYS_BITS = 2

const ENTRIES = { min: 1024, max: 2 ** 20 } as const

/** Characters of all cached keys, each with what a string costs besides. */
const BYTES_MAX = 64 * 1024 * 1024
const STRING_BYTES = 24

/**
 * The keys that are known to be registered, so that a sample of one needs no request to the store.
 * It is bounded: a key that is displaced is looked up again. Its place follows from the key's
 * CRC-32, which the packer needs anyway, and only a key with the same CRC-32 is compared.
 */
export class KeyCache {
  readonly #bucketMask: number
  readonly #hashes: Int32Array
  readonly #generations: Uint32Array
  readonly #keys: (string | undefined)[]
  readonly #generationOf: Uint32Array
  #bytes = 0
  #turn = 0

  constructor({ keysMax, partitions }: { readonly keysMax: number; readonly partitions: number }) {
    const entries = 2 ** Math.ceil(Math.log2(Math.min(Math.max(keysMax, ENTRIES.min), ENTRIES.max)))
    this.#bucketMask = entries / WAYS - 1
    this.#hashes = new Int32Array(entries)
    this.#generations = new Uint32Array(entries)
    this.#keys = new Array<string | undefined>(entries).fill(undefined)
    this.#generationOf = new Uint32Array(partitions).fill(1)
  }

  has(hash: number, partition: number, key: string): boolean {
    const begin = (hash & this.#bucketMask) << WAYS_BITS
    const generation = this.#generationOf[partition]
    for (let at = begin; at < begin + WAYS; at++) {
      if (this.#hashes[at] === hash && this.#generations[at] === generation && this.#keys[at] === key) return true
    }
    return false
  }

  add(hash: number, partition: number, key: string): void {
    if (this.has(hash, partition, key)) return
    const begin = (hash & this.#bucketMask) << WAYS_BITS
    let at = begin
    while (at < begin + WAYS && this.#isInUse(at)) at++
    if (at === begin + WAYS) at = begin + (this.#turn++ % WAYS)
    const before = this.#keys[at]
    const bytes = this.#bytes + sizeOf(key) - (before === undefined ? 0 : sizeOf(before))
    if (bytes > BYTES_MAX) return
    this.#bytes = bytes
    this.#hashes[at] = hash
    this.#generations[at] = this.#generationOf[partition] as number
    // A copy: the key may be a part of its request's body, which it would keep in memory.
    this.#keys[at] = Buffer.from(key).toString()
  }

  /** Forgets all keys of a partition. */
  forget(partition: number): void {
    // It wraps after 2^32 evictions that were noticed.
    this.#generationOf[partition] = (this.#generationOf[partition] as number) + 1
  }

  /** Whether an entry holds a key that is not forgotten. */
  #isInUse(at: number): boolean {
    if (this.#keys[at] === undefined) return false
    const partition = (this.#hashes[at] as number) >>> 0
    return this.#generations[at] === this.#generationOf[partition % this.#generationOf.length]
  }
}

function sizeOf(key: string): number {
  return key.length + STRING_BYTES
}
