import type { Judge, Judged } from '@tidemark/shared/detection/judge'
import { createRow, type KeyRow, shapeOf } from '@tidemark/shared/detection/key-row'

/** One key under the policy of a judge, scored by the detection code of production. */
export class KeyJudge {
  readonly #judge: Judge
  readonly #row: KeyRow

  constructor(judge: Judge) {
    this.#judge = judge
    this.#row = createRow(shapeOf(judge.policy))
  }

  /**
   * Scores a sample and updates the key's window. The arrival `time` must not decrease. The next
   * sample of any key of the judge overwrites the result.
   */
  step(value: number, timestamp: number, time: number): Judged {
    return this.#judge.step(this.#row, value, timestamp, time)
  }
}
