import { Random } from '@tidemark/testkit/random'

/** Returns a sensor value: about 100, two decimals, with rare outliers, so that verdicts differ. */
export function reading(random: Random): number {
  const noise = random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2
  return Math.round((100 + 10 * noise + (random.uniform() < 0.001 ? 200 : 0)) * 100) / 100
}

/** Returns key number `n`, named like a device's metric. */
export function keyNumber(n: number): string {
  return `edge-${Math.trunc(n / 10)}/metric-${n % 10}`
}

/** Returns a device's batch of samples. They cycle through the keys; `seed` sets the first. */
export function requestBody({ samples, keys, seed }: { samples: number; keys: number; seed: number }): string {
  const random = new Random(seed)
  const first = Math.trunc(random.uniform() * keys)
  const items = Array.from({ length: samples }, (_, i) => ({
    key: keyNumber((first + i) % keys),
    value: reading(random),
    timestamp: 1_700_000_000 + seed,
  }))
  return JSON.stringify(samples === 1 ? items[0] : items)
}
