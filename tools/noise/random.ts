/** Numbers of chance, the same for the same seed. */
export class Random {
  #state: number
  #spare = Number.NaN

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** 0 <= x < 1 (mulberry32). */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** An integer, both ends included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.uniform() * (max - min + 1))
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)] as T
  }

  /** Mean 0, deviation 1 (Marsaglia's polar method). */
  normal(): number {
    if (!Number.isNaN(this.#spare)) {
      const spare = this.#spare
      this.#spare = Number.NaN
      return spare
    }
    for (;;) {
      const x = 2 * this.uniform() - 1
      const y = 2 * this.uniform() - 1
      const square = x * x + y * y
      if (square >= 1 || square === 0) continue
      const factor = Math.sqrt((-2 * Math.log(square)) / square)
      this.#spare = y * factor
      return x * factor
    }
  }

  /** Events of so many on average (Knuth's method; beyond 50 the normal distribution is near enough). */
  poisson(mean: number): number {
    if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * this.normal()))
    const limit = Math.exp(-mean)
    let count = -1
    for (let product = 1; product > limit; count++) product *= this.uniform()
    return count
  }

  /** Student's t with three degrees of freedom: its fourth moment is infinite. */
  student3(): number {
    const squares = this.normal() ** 2 + this.normal() ** 2 + this.normal() ** 2
    return this.normal() / Math.sqrt(squares / 3)
  }

  /** At least 1; beyond x with the probability x^-shape. */
  pareto(shape: number): number {
    return (1 - this.uniform()) ** (-1 / shape)
  }
}
