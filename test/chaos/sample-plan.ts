import type { Sample } from '@tidemark/shared/sample/sample'
import { derivedSeed, Random, zipfian } from '@tidemark/testkit/random'

/** When the first sample of every key was measured; the n-th follows n seconds later, so that a timestamp numbers its sample. */
const EPOCH_MS = 1_700_000_000_000
const STEP_MS = 1000

export interface SamplePlanOptions {
  readonly seed: number
  readonly keys: number
  readonly writers: number
  /** Few keys get most samples. */
  readonly isZipf: boolean
}

/** Which samples there can be: a sample follows from its key and its number, so whoever finds one knows whether it was ever sent. */
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

  /** A key of `writer`: each belongs to one writer, so that its samples have one order. */
  keyOf(writer: number, random: Random): string {
    const index = this.#pick(random) * this.options.writers + writer
    return this.#names[index < this.#names.length ? index : writer] ?? ''
  }

  /** Number `n` of `key`, from 0 on. */
  sample(key: string, n: number): Sample {
    return { key, value: this.#value(key, n), timestamp: EPOCH_MS + n * STEP_MS }
  }

  /** The number of a sample; undefined when nobody can have sent it. */
  numberOf({ key, value, timestamp }: Sample): number | undefined {
    const n = (timestamp - EPOCH_MS) / STEP_MS
    if (!this.#indexes.has(key) || !Number.isInteger(n) || n < 0) return undefined
    return Object.is(this.#value(key, n), value) ? n : undefined
  }

  /** Noise with spikes, exact ties, flat stretches and huge values: every state of a verdict occurs. */
  #value(key: string, n: number): number {
    const random = new Random(derivedSeed(this.options.seed, (this.#indexes.get(key) ?? 0) * 1_000_003 + n))
    if (random.uniform() < 0.02) return (random.uniform() - 0.5) * 1e15
    if (n % 120 > 80) return 21.5
    return Math.round((20 + 4 * (random.uniform() - 0.5)) * 1000) / 1000
  }
}
