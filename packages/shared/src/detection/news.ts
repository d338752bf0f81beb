import type { KeyNews } from './alerts/context.ts'
import { GUARD_MEMORY_LENGTH, learnedSamples, newsOf } from './alerts/guard-memory.ts'
import type { Judgement } from './detectors/detector.ts'
import { createSlab } from './detectors/places.ts'
import type { KeyRow } from './key-row.ts'

/** The guard's own memory of a key, for scores that know none. */
export class MemoryNews implements KeyNews {
  readonly candidate = 0.02
  readonly instant = 0.1
  readonly squaresHeat = false
  readonly sustained: number
  #slab = createSlab(GUARD_MEMORY_LENGTH)
  #at = 0

  constructor(sustained: number) {
    this.sustained = sustained
  }

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
}

/**
 * The news of a detector that measures it: its score before it is thinned, in thresholds. One
 * flagged sample opens. Such scores have longer tails, so they are cooled by the square.
 */
export class DetectorNews implements KeyNews {
  readonly candidate = 0.5
  readonly instant = 1
  readonly squaresHeat = true
  readonly sustained = Number.POSITIVE_INFINITY
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
}
