/** The unprocessed samples of all partitions, and when they arrived. */
export class Backlog {
  /** Of each partition the unprocessed samples of each second, the oldest first. */
  readonly #pending: { atS: number; samples: number }[][]

  constructor(partitions: number) {
    this.#pending = Array.from({ length: partitions }, () => [])
  }

  get samples(): number {
    return this.#pending.flat().reduce((sum, { samples }) => sum + samples, 0)
  }

  of(partition: number): number {
    return (this.#pending[partition] ?? []).reduce((sum, { samples }) => sum + samples, 0)
  }

  oldestAgeS(nowS: number): number {
    const oldest = Math.min(nowS, ...this.#pending.flatMap(([first]) => (first === undefined ? [] : [first.atS])))
    return nowS - oldest
  }

  /** Adds samples in equal parts to all partitions: many keys, none of which dominates. */
  add(atS: number, samples: number): void {
    if (samples === 0) return
    for (const queue of this.#pending) queue.push({ atS, samples: samples / this.#pending.length })
  }

  /** Removes samples of a partition, the oldest first. */
  take(partition: number, samples: number): void {
    const queue = this.#pending[partition] ?? []
    let left = samples
    while (queue[0] !== undefined && left > 0) {
      const taken = Math.min(left, queue[0].samples)
      queue[0].samples -= taken
      left -= taken
      // A remainder this small comes from rounding.
      if (queue[0].samples < 1e-6) queue.shift()
    }
  }
}
