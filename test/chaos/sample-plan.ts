import type { Sample } from '@tidemark/shared/sample/sample'
import { derivedSeed, Random, zipfian } from '@tidemark/testkit/random'

/** The timestamp of each key's first sample. Sample n follows n seconds later. */
const EPOCH_MS = 1_700_000_000_000
const STEP_MS = 1000

export interface SamplePlanOptions {
  readonly seed: number
  readonly keys: number
  readonly writers: number
  /** A few keys get most of the samples. */
  readonly isZipf: boolean
}

/** All possible samples. A sample follows from its key and number, so it can be verified. */
export class SamplePlan {
  readonly options: SamplePlanOptions
  readonly #names: string[]
  readonly #indexes: Map<string, number>
  readonly #pick: (random: Random) => number

  constructor(options: SamplePlanOptions) {
    this.options = options
    this.#names = Array.from({ length: options.keys }, (_, i) => `edge-${i % options.writers}/metric ${i} {é}`)
    this.#indexes = new Map(this.#names.map((name, i) => [name, i]))
    const perWriter = Math.ceil(options.keys / options.writers)
    this.#pick = options.isZipf ? zipfian(perWriter) : random => random.integer(0, perWriter - 1)
  }

  get keyNames(): readonly string[] {
    return this.#names
  }

  /** Returns a key of `writer`. Each key has one writer, so that its samples have an order. */
  keyOf(writer: number, random: Random): string {
    const index = this.#pick(random) * this.options.writers + writer
    return this.#names[index < this.#names.length ? index : writer] ?? ''
  }

  /** Returns sample number `n` of `key`, starting at 0. */
  sample(key: string, n: number): Sample {
    return { key, value: this.#value(key, n), timestamp: EPOCH_MS + n * STEP_MS }
  }

  /** Returns the number of a sample; undefined if it is not part of the plan. */
  numberOf({ key, value, timestamp }: Sample): number | undefined {
    const n = (timestamp - EPOCH_MS) / STEP_MS
    if (!this.#indexes.has(key) || !Number.isInteger(n) || n < 0) return undefined
    return Object.is(this.#value(key, n), value) ? n : undefined
  }

  /** Noise with spikes, ties, flat stretches and huge values: every verdict state occurs. */
  #value(key: string, n: number): number {
    const random = new Random(derivedSeed(this.options.seed, (this.#indexes.get(key) ?? 0) * 1_000_003 + n))
    if (random.uniform() < 0.02) return (random.uniform() - 0.5) * 1e15
    if (n % 120 > 80) return 21.5
    return Math.round((20 + 4 * (random.uniform() - 0.5)) * 1000) / 1000
  }
}
