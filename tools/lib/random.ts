/** A source of chance that gives the same numbers for the same seed. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** 0 <= x < 1 (mulberry32) */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    return unitOf(this.#state)
  }

  /** An integer, `min` and `max` included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  pick<T>(items: readonly [T, ...T[]] | readonly T[]): T {
    const item = items[this.integer(0, items.length - 1)]
    if (item === undefined) throw new Error('there is nothing to pick from')
    return item
  }

  shuffled<T>(items: readonly T[]): T[] {
    const rest = [...items]
    for (let i = rest.length - 1; i > 0; i--) {
      const j = this.integer(0, i)
      const [a, b] = [rest[i], rest[j]]
      if (a !== undefined && b !== undefined) [rest[i], rest[j]] = [b, a]
    }
    return rest
  }
}

/** Another seed for each part of a run, so that one part's use of chance does not move another's. */
export function derivedSeed(seed: number, part: number): number {
  return Math.floor(unitOf(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + part) * 2 ** 31)
}

function unitOf(state: number): number {
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

/** Picks 0..count-1 by Zipf's law with exponent 1: item k comes with weight 1 / (k + 1). */
export function zipfian(count: number): (random: Random) => number {
  const sums = new Float64Array(count)
  let sum = 0
  for (let i = 0; i < count; i++) {
    sum += 1 / (i + 1)
    sums[i] = sum
  }
  return random => {
    const wanted = random.next() * sum
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
