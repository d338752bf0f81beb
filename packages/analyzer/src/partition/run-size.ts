/**
 * Keys that a commit is meant to change at most. Each takes Redis some microseconds, during which
 * no other client is served, and with many more it takes longer: they do not fit into its caches.
 */
const KEYS_MAX = 2000

/** Adapts the samples of a run to how many keys they are of. */
export class RunSize {
  #samples = KEYS_MAX

  /** The samples that the next run may have; each of them may be of another key. */
  get samplesMax(): number {
    return this.#samples
  }

  /** Takes note of a run of so many samples, of so many keys. */
  add(samples: number, keys: number): void {
    // It was all that there was: a longer one might have no more keys.
    if (2 * samples < this.#samples || keys === 0) return
    this.#samples = Math.max(KEYS_MAX, Math.min(2 * this.#samples, Math.floor((samples * KEYS_MAX) / keys)))
  }
}
