import { Judge, type Judged } from '@tidemark/shared/detection/judge'
import { createRow, type KeyRow, shapeOf } from '@tidemark/shared/detection/key-row'
import type { Policy } from '@tidemark/shared/detection/rules/policy'

/** One key under one policy, scored by the detection code of production. */
export class KeyJudge {
  readonly #judge: Judge
  readonly #row: KeyRow

  constructor(policy: Policy) {
    this.#judge = new Judge(policy)
    this.#row = createRow(shapeOf(policy))
  }

  /** Scores a sample and updates the key's window. The arrival `time` must not decrease. */
  step(value: number, timestamp: number, time: number): Judged {
    return this.#judge.step(this.#row, value, timestamp, time)
  }
}
