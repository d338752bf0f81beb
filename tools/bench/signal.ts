import { Random } from '@tidemark/testkit/random'

/** Before this, each key has its history; what is measured comes later. */
const HISTORY_FROM_MS = 1_700_000_000_000

/** Samples of a key before the measured ones: a full window. */
export const HISTORY_SAMPLES = 50

/** Values in JSON, drawn beforehand: formatting takes most of the time of a body. */
// A prime number: the values of a key differ from cycle to cycle.
const VALUES = drawValues(8191)

/** Returns a sensor value: about 100, two decimals, with rare outliers, so that verdicts differ. */
export function reading(random: Random): number {
  const noise = random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2
  return Math.round((100 + 10 * noise + (random.uniform() < 0.001 ? 200 : 0)) * 100) / 100
}

function drawValues(count: number): readonly string[] {
  const random = new Random(1)
  return Array.from({ length: count }, () => String(reading(random)))
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

/** Returns the history of the keys from number `first` to before `end`. */
export function historyBody(first: number, end: number): string {
  let items = ''
  for (let n = first; n < end; n++) {
    const key = keyNumber(n)
    for (let i = 0; i < HISTORY_SAMPLES; i++) {
      items += sampleJson(key, n * HISTORY_SAMPLES + i, HISTORY_FROM_MS + 1000 * i)
    }
  }
  return `[${items.slice(0, -1)}]`
}

interface Cycles {
  /** The number of the first sample since the begin of `cycle`. */
  readonly first: number
  readonly samples: number
  readonly keys: number
  /** Cycles since the history. A round follows the one before it: no key is silent for long. */
  readonly cycle: number
}

/** Returns samples that cycle through the keys, each cycle a second later. */
export function cycleBody({ first, samples, keys, cycle }: Cycles): string {
  const from = HISTORY_FROM_MS + 1000 * (HISTORY_SAMPLES + cycle)
  let items = ''
  for (let n = first; n < first + samples; n++) {
    items += sampleJson(keyNumber(n % keys), n, from + 1000 * Math.trunc(n / keys))
  }
  return `[${items.slice(0, -1)}]`
}

/** Returns a sample and a comma. The keys here need no escapes. */
function sampleJson(key: string, n: number, timestamp: number): string {
  return `{"key":"${key}","value":${VALUES[n % VALUES.length]},"timestamp":${timestamp}},`
}
