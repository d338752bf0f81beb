/**
 * A seeded source of random numbers: equal seeds give equal sequences. The generator is mulberry32
 * (32 bits of state). Enough for tests and load, useless for secrets.
 */
export class Random {
  #state: number
  #spare = Number.NaN

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** Returns x with 0 <= x < 1. */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    return unitOf(this.#state)
  }

  /** Returns an integer from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.uniform() * (max - min + 1))
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error('cannot pick from an empty list')
    return items[this.integer(0, items.length - 1)] as T
  }

  /** Returns a shuffled copy (Fisher and Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const shuffled = [...items]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.integer(0, i)
      const moved = shuffled[i] as T
      shuffled[i] = shuffled[j] as T
      shuffled[j] = moved
    }
    return shuffled
  }

  /** Returns a normal number with mean 0 and deviation 1 (Marsaglia's polar method). */
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

  /** Returns a Poisson count (Knuth's method; above a mean of 50 the normal approximation). */
  poisson(mean: number): number {
    if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * this.normal()))
    const limit = Math.exp(-mean)
    let count = -1
    for (let product = 1; product > limit; count++) product *= this.uniform()
    return count
  }

  /** Returns a number of Student's t with three degrees of freedom: heavy tails. */
  student3(): number {
    const squares = this.normal() ** 2 + this.normal() ** 2 + this.normal() ** 2
    return this.normal() / Math.sqrt(squares / 3)
  }

  /** Returns a Pareto number: at least 1, and beyond x with the probability x^-shape. */
  pareto(shape: number): number {
    return (1 - this.uniform()) ** (-1 / shape)
  }
}

/** Returns a seed for a part of a run, so that parts do not disturb each other's sequences. */
export function derivedSeed(seed: number, part: number): number {
  return Math.floor(unitOf(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + part) * 2 ** 31)
}

/** mulberry32's output function: mixes 32 bits of state into 0 <= x < 1. */
function unitOf(state: number): number {
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}

/** Returns a function that picks 0 ... count - 1 by Zipf's law, with weights 1 / (k + 1). */
export function zipfian(count: number): (random: Random) => number {
  const sums = new Float64Array(count)
  let sum = 0
  for (let i = 0; i < count; i++) {
    sum += 1 / (i + 1)
    sums[i] = sum
  }
  return random => {
    const wanted = random.uniform() * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) > wanted) high = middle
      else low = middle + 1
    }
    return low
  }
}
