import type { EntryId } from '@tidemark/shared/sample/receipt'
import type { KeptEntry } from '@tidemark/shared/store/ports/analyzer'

/** Dropped entries at the front of the list that are freed at once. */
const FREED_MIN = 1024

/**
 * The applied entries that are kept for their verdicts, oldest first: up to `samplesMax` samples,
 * and the newest entry whatever its size. A commit costs only what it adds and drops.
 */
export class KeptEntries {
  readonly #samplesMax: number
  #entries: KeptEntry[] = []
  #oldest = 0
  #samples = 0

  constructor(samplesMax: number) {
    this.#samplesMax = samplesMax
  }

  /** Returns the oldest entry to keep once `added` are applied; undefined to keep none. */
  keepFrom(added: readonly KeptEntry[]): EntryId | undefined {
    if (this.#samplesMax === 0) return undefined
    return this.#at(this.#oldestWith(added).oldest, added)?.id
  }

  /** Adds applied entries and drops the oldest ones beyond the limit. */
  add(added: readonly KeptEntry[]): void {
    if (this.#samplesMax === 0) return
    const { oldest, samples } = this.#oldestWith(added)
    for (const entry of added) this.#entries.push(entry)
    this.#samples = samples
    this.#oldest = oldest
    if (oldest < FREED_MIN || 2 * oldest < this.#entries.length) return
    this.#entries = this.#entries.slice(oldest)
    this.#oldest = 0
  }

  #oldestWith(added: readonly KeptEntry[]): { readonly oldest: number; readonly samples: number } {
    const last = this.#entries.length + added.length - 1
    let oldest = this.#oldest
    let samples = added.reduce((sum, entry) => sum + entry.samples, this.#samples)
    for (; samples > this.#samplesMax && oldest < last; oldest++) samples -= this.#at(oldest, added)?.samples ?? 0
    return { oldest, samples }
  }

  #at(place: number, added: readonly KeptEntry[]): KeptEntry | undefined {
    return place < this.#entries.length ? this.#entries[place] : added[place - this.#entries.length]
  }
}
