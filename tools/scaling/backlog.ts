/** What waits in the partitions: how many samples, and since when. */
export class Backlog {
  /** By partition what came in each second and is not analysed yet, the oldest first. */
  readonly #waiting: { atS: number; samples: number }[][]

  constructor(partitions: number) {
    this.#waiting = Array.from({ length: partitions }, () => [])
  }

  get samples(): number {
    return this.#waiting.flat().reduce((sum, { samples }) => sum + samples, 0)
  }

  of(partition: number): number {
    return (this.#waiting[partition] ?? []).reduce((sum, { samples }) => sum + samples, 0)
  }

  oldestAgeS(nowS: number): number {
    const oldest = Math.min(nowS, ...this.#waiting.flatMap(([first]) => (first === undefined ? [] : [first.atS])))
    return nowS - oldest
  }

  /** Adds samples, the same number to every partition: there are many keys, and none is most of them. */
  add(atS: number, samples: number): void {
    if (samples === 0) return
    for (const queue of this.#waiting) queue.push({ atS, samples: samples / this.#waiting.length })
  }

  /** Takes so many samples of a partition, the oldest first. */
  take(partition: number, samples: number): void {
    const queue = this.#waiting[partition] ?? []
    let left = samples
    while (queue[0] !== undefined && left > 0) {
      const taken = Math.min(left, queue[0].samples)
      queue[0].samples -= taken
      left -= taken
      // What rounding leaves is no sample.
      if (queue[0].samples < 1e-6) queue.shift()
    }
  }
}
