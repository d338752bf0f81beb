import type { Entry } from '@tidemark/shared/sample/entry'

/** Assumed of entries before any was seen: those of a gateway with its default limits. */
const FIRST = { samples: 1000, bytes: 1024 * 1024 }

/** Never less is assumed, because larger entries may follow small ones at any time. */
const LEAST = { samples: 1, bytes: 4096 }

/**
 * The sizes of recent entries. XREADGROUP limits the number of entries only, so a read is bounded
 * in samples and bytes by what entries were like: upwards at once, downwards by half a read. The
 * first reads after a start or an outage therefore deliver few entries of each partition.
 */
export class EntrySizes {
  #samples = FIRST.samples
  #bytes = FIRST.bytes

  /** The entries that have about so many samples and bytes; 0 if one has more bytes. */
  countWithin(limits: { readonly samples: number; readonly bytes: number }): number {
    return Math.min(Math.ceil(limits.samples / this.#samples), Math.floor(limits.bytes / this.#bytes))
  }

  /** Records what a read has delivered. */
  learn(entries: readonly Entry[]): void {
    let samples = 0
    let largest = 0
    for (const entry of entries) {
      samples += entry.count ?? 1
      largest = Math.max(largest, bytesOf(entry))
    }
    const mean = entries.length === 0 ? 0 : samples / entries.length
    this.#samples = Math.max(LEAST.samples, mean, this.#samples / 2)
    this.#bytes = Math.max(LEAST.bytes, largest, this.#bytes / 2)
  }

  /** Forgets what was learned: after an outage there may be any backlog. */
  reset(): void {
    this.#samples = FIRST.samples
    this.#bytes = FIRST.bytes
  }
}

/** Returns about the bytes of an entry in memory. */
export function bytesOf({ samples, traces }: Entry): number {
  return (samples?.length ?? 0) + (traces?.length ?? 0)
}
