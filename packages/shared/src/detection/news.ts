import type { KeyNews, Remembered } from './alerts/context.ts'
import { learnedSamples, newsOf, rememberedOf } from './alerts/guard-memory.ts'
import type { Judgement } from './detectors/detector.ts'
import { createRow, type KeyRow, learnPending, rowShape } from './key-row.ts'

/** Until there is a key. */
const ANY_SHAPE = rowShape(1, 'zscore', false, false, 'values')

/** The guard's own memory of a key, for scores that know none. */
export class MemoryNews implements KeyNews {
  readonly candidate = 0.02
  readonly instant = 0.1
  readonly squaresHeat = false
  readonly sustained: number
  #row: KeyRow = createRow(ANY_SHAPE)

  constructor(sustained: number) {
    this.sustained = sustained
  }

  moveTo(row: KeyRow): void {
    this.#row = row
  }

  samples(): number {
    const { slab, memoryStart, shape } = this.#row
    if (shape.memory === 'values') learnPending(this.#row)
    return learnedSamples(slab, memoryStart)
  }

  news(value: number): number {
    const { slab, memoryStart, shape } = this.#row
    if (shape.memory === 'values') learnPending(this.#row)
    return newsOf(slab, memoryStart, value)
  }

  remembered(value: number, deviating: readonly number[]): Remembered {
    const { slab, memoryStart, shape } = this.#row
    if (shape.memory === 'values') learnPending(this.#row)
    return rememberedOf(slab, memoryStart, value, deviating)
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

  /** Such a memory is not of values alone. */
  remembered(): undefined {
    return undefined
  }
}
