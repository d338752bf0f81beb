/** A small generator of numbers in [0, 1): the same seed, the same load (Steele and others, SplitMix, 2014, in 32 bits). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }
}

/** A value as sensors report it: about 100, two decimals, now and then far off, so that verdicts differ. */
export function reading(random: () => number): number {
  const noise = random() + random() + random() + random() - 2
  return Math.round((100 + 10 * noise + (random() < 0.001 ? 200 : 0)) * 100) / 100
}

/** Keys as devices call them. */
export function keyNumber(n: number): string {
  return `edge-${Math.trunc(n / 10)}/metric-${n % 10}`
}

export interface BodyOptions {
  readonly samples: number
  /** Keys that samples are of, one after another, from a place that the seed says. */
  readonly keys: number
  readonly seed: number
}

/** The body of a request, as a device that gathers its samples sends it. */
export function requestBody({ samples, keys, seed }: BodyOptions): string {
  const random = seeded(seed)
  const first = Math.trunc(random() * keys)
  const items = Array.from({ length: samples }, (_, i) => ({
    key: keyNumber((first + i) % keys),
    value: reading(random),
    timestamp: 1_700_000_000 + seed,
  }))
  return JSON.stringify(samples === 1 ? items[0] : items)
}
