import type { Share } from '../limits/fair-budget.ts'
import { RequestFault } from './problem.ts'

/** Smaller chunks are copied together: a chunk is an object of 200 bytes and more by itself. */
const CHUNK_BYTES_KEPT = 4096

/** Small chunks are copied into blocks. The first is small: a slow body may never need more. */
const BLOCK_BYTES = { min: 1024, max: 65_536 } as const

/**
 * A body with at least `count` chunks must have chunks of `bytesMin` on average. Small devices
 * print a report of a few kB byte by byte, and each byte may be a chunk or packet of its own.
 */
const CHUNKS = { count: 16_384, bytesMin: 16 } as const

/**
 * Limits how small the chunks of one body may be on average. A chunk costs about 2 us at any size,
 * and Node reads 2 MiB in one turn of the event loop: chunks of one byte could take half a second.
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

/**
 * The bytes of all bodies that are being read. Beyond the limit the oldest body of the client with
 * most bytes is rejected: a healthy client's body arrives in milliseconds, and neither slow bodies
 * nor those of a client with very many must use its memory.
 */
export class BodyBudget {
  readonly #bytesMax: number
  /** Those that are not complete, oldest first. */
  readonly #bodies = new Set<PendingBody>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Counts bytes of a body, which it ends in the same turn of the event loop if it is complete. */
  take(body: PendingBody, bytes: number, isComplete: boolean): void {
    this.#bytes += bytes
    body.share.used += bytes
    if (!isComplete) this.#bodies.add(body)
    while (this.#bytes > this.#bytesMax) {
      let heaviest: Share = body.share
      for (const { share } of this.#bodies) if (share.used > heaviest.used) heaviest = share
      const oldest = this.#bodies.values().find(({ share }) => share === heaviest) ?? body
      oldest.evict()
    }
  }

  giveBack(body: PendingBody, bytes: number): void {
    this.#bytes -= bytes
    body.share.used -= bytes
    // Even where nothing is found, `delete` looks for it.
    if (this.#bodies.size > 0) this.#bodies.delete(body)
  }
}

interface PendingBodyOptions {
  readonly bytesMax: number
  readonly bytesDeclared: number | undefined
  readonly budget: BodyBudget
  readonly share: Share
}

/**
 * The chunks of a body that is being read. It counts bytes, because a Content-Length may be absent
 * or wrong. It ends with bytes() and release(), with a thrown limit and release(), or with evict().
 */
export class PendingBody {
  readonly share: Share
  readonly #bytesMax: number
  /** As its header says; undefined if that says nothing. */
  readonly #bytesDeclared: number | undefined
  readonly #budget: BodyBudget
  readonly #chunkSizes = new ChunkSizeLimit()
  readonly #chunks: Uint8Array[] = []
  #bytes = 0
  /** Small chunks so far, of which `#blockUsed` bytes are filled. */
  #block: Buffer | undefined
  #blockUsed = 0
  /** Set once it is evicted. */
  #fault: RequestFault | undefined
  #onEvict: ((fault: RequestFault) => void) | undefined

  constructor({ bytesMax, bytesDeclared, budget, share }: PendingBodyOptions) {
    this.#bytesMax = bytesMax
    this.#bytesDeclared = bytesDeclared
    this.#budget = budget
    this.share = share
  }

  /** Throws a RequestFault beyond the limits, and once the body is evicted. */
  add(chunk: Uint8Array): void {
    if (this.#fault !== undefined) throw this.#fault
    if (this.#bytes + chunk.byteLength > this.#bytesMax) {
      throw new RequestFault({ kind: 'body-too-large', bytesMax: this.#bytesMax })
    }
    if (!this.#chunkSizes.allows(chunk)) {
      throw new RequestFault({ kind: 'body-fragmented', chunksMax: CHUNKS.count })
    }
    this.#bytes += chunk.byteLength
    this.#budget.take(this, chunk.byteLength, this.#bytes === this.#bytesDeclared)
    // The body may be the oldest one itself.
    if (this.#fault !== undefined) throw this.#fault
    this.#keep(chunk)
  }

  /** Returns the whole body. */
  bytes(): Buffer {
    this.#closeBlock()
    const [first] = this.#chunks
    return first !== undefined && this.#chunks.length === 1
      ? Buffer.from(first.buffer, first.byteOffset, first.byteLength)
      : Buffer.concat(this.#chunks)
  }

  onEvict(listener: (fault: RequestFault) => void): void {
    this.#onEvict = listener
  }

  /** Gives up the body in favour of newer ones. */
  evict(): void {
    this.#fault = new RequestFault({ kind: 'overloaded', reason: 'too many bodies are being read' })
    this.release()
    this.#onEvict?.(this.#fault)
  }

  /** Gives its bytes back. Its connection may still refer to it, so it must hold nothing. */
  release(): void {
    this.#budget.giveBack(this, this.#bytes)
    this.#bytes = 0
    this.#chunks.length = 0
    this.#block = undefined
  }

  #keep(chunk: Uint8Array): void {
    // Most bodies are a single chunk, which is never copied.
    if (this.#bytes === chunk.byteLength || chunk.byteLength >= CHUNK_BYTES_KEPT) {
      this.#closeBlock()
      this.#chunks.push(chunk)
      return
    }
    if (this.#block === undefined || this.#block.byteLength - this.#blockUsed < chunk.byteLength) {
      this.#closeBlock()
      const size = Math.min(BLOCK_BYTES.max, Math.max(BLOCK_BYTES.min, this.#bytes))
      this.#block = Buffer.allocUnsafeSlow(Math.max(size, chunk.byteLength))
    }
    this.#block.set(chunk, this.#blockUsed)
    this.#blockUsed += chunk.byteLength
  }

  #closeBlock(): void {
    if (this.#block !== undefined) this.#chunks.push(this.#block.subarray(0, this.#blockUsed))
    this.#block = undefined
    this.#blockUsed = 0
  }
}
