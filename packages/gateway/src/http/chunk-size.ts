/** A body with at least `count` chunks must have chunks of `bytesMin` on average. */
const CHUNKS = { count: 1000, bytesMin: 16 } as const

/**
 * Limits how small the chunks of one body may be on average. A chunk costs about 2 us whatever its
 * size, and Node reads 2 MiB in one turn of the event loop: in chunks of one byte that is 350,000
 * chunks and half a second.
 */
export class ChunkSizeLimit {
  #count = 0
  #bytes = 0

  /** Counts a chunk; false when the body's chunks are too small. */
  allows(chunk: Uint8Array): boolean {
    this.#count++
    this.#bytes += chunk.byteLength
    return this.#count < CHUNKS.count || this.#bytes >= this.#count * CHUNKS.bytesMin
  }
}
