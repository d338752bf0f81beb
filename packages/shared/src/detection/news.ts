import type { KeyNews } from './alerts/context.ts'
import {
  addToSum,
  GUARD_MEMORY_LENGTH,
  learnedSamples,
  newsOf,
  SUM_LIMIT,
  SUM_LIMIT_MIN,
  samplesSinceCrossing,
  sumOf,
} from './alerts/guard-memory.ts'
import type { Judgement } from './detectors/detector.ts'
import { createSlab } from './detectors/places.ts'
import type { KeyRow } from './key-row.ts'

/** The sum of deviations is news if it was not beyond its limit in so many samples, */
const QUIET_SAMPLES = 4000
/** and if the key has had so many: a key that wanders has shown that by then. */
const SUM_SAMPLES_MIN = 300

/** The guard's own memory of a key, for scores that know none. */
export class MemoryNews implements KeyNews {
  readonly candidate = 0.02
  readonly instant = 0.1
  readonly squaresHeat = false
  #slab = createSlab(GUARD_MEMORY_LENGTH)
  #at = 0

  moveTo({ slab, start, shape }: KeyRow): void {
    this.#slab = slab
    this.#at = start + shape.memoryAt
  }

  samples(): number {
    return learnedSamples(this.#slab, this.#at)
  }

  news(value: number): number {
    return newsOf(this.#slab, this.#at, value)
  }

  addsUp(score: number): boolean {
    const sum = sumOf(this.#slab, this.#at, score)
    // Nearly every sample ends here.
    if (sum < SUM_LIMIT_MIN || sum > SUM_LIMIT || !(addToSum(sum, Math.abs(score)) > SUM_LIMIT)) return false
    return this.samples() >= SUM_SAMPLES_MIN && samplesSinceCrossing(this.#slab, this.#at) > QUIET_SAMPLES
  }
}

/**
 * The news of a detector that measures it: its score before it is thinned, in thresholds. One
 * flagged sample opens. Such scores have longer tails, so they are cooled by the square.
 */
export class DetectorNews implements KeyNews {
  readonly candidate = 0.5
  readonly instant = 1
  readonly squaresHeat = true
  readonly #judgement: Judgement
  readonly #threshold: number

  constructor(judgement: Judgement, threshold: number) {
    this.#judgement = judgement
    this.#threshold = threshold
  }

  samples(): number {
    return this.#judgement.learned
  }

  news(): number {
    return this.#judgement.raw / this.#threshold
  }

  addsUp(): boolean {
    return false
  }
}
