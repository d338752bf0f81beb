import { isBeyond } from '@tidemark/shared/analysis'
import {
  ALERT_STATE_LENGTH,
  type AlertEvent,
  createScoredSample,
  shiftAlert,
  stepAlert,
} from '@tidemark/shared/detection/alerts'
import {
  bandOf,
  createJudgement,
  type Detector,
  HISTORY_STRIDE,
  type History,
} from '@tidemark/shared/detection/detector'
import { createDetector } from '@tidemark/shared/detection/detectors'
import { HYGIENE_STATE_LENGTH, stepHygiene } from '@tidemark/shared/detection/hygiene'
import { isAnalysed, LATENESS_STATE_LENGTH, type Order, stepOrder } from '@tidemark/shared/detection/lateness'
import { type Policy, signedScore, thresholdOf } from '@tidemark/shared/detection/policy'

const ORDER = 0
const HYGIENE = ORDER + LATENESS_STATE_LENGTH
const ALERT = HYGIENE + HYGIENE_STATE_LENGTH
const DETECTOR = ALERT + ALERT_STATE_LENGTH

/** What became of a sample; overwritten by the next. */
export interface Judged {
  order: Order
  isAnalysed: boolean
  /** With its side as its sign; NaN while warming, and of a sample that is not analysed. */
  score: number
  threshold: number
  /** The least and the greatest value that would be no anomaly; NaN while warming. */
  low: number
  high: number
  isFlagged: boolean
  isShift: boolean
  /** Alerts opened and resolved by it. */
  readonly events: AlertEvent[]
}

/** One key under one policy, judged by the core that judges in production. */
export class KeyJudge {
  readonly #policy: Policy
  readonly #detector: Detector
  readonly #states: Float64Array
  readonly #history: History
  readonly #judgement = createJudgement()
  readonly #sample = createScoredSample()
  #pushed = 0
  readonly judged: Judged = {
    ...{ order: 'in_order', isAnalysed: true, score: Number.NaN, threshold: 0, low: Number.NaN, high: Number.NaN },
    ...{ isFlagged: false, isShift: false, events: [] },
  }

  constructor(policy: Policy) {
    const { detector, samplesMin, window } = policy
    this.#policy = policy
    this.#detector = createDetector(detector, samplesMin === undefined ? {} : { samplesMin })
    this.#states = new Float64Array(DETECTOR + this.#detector.stateLength)
    this.#history = { rows: new Float64Array(HISTORY_STRIDE * window), start: 0, size: 0, head: 0 }
    this.#detector.start(this.#states, DETECTOR)
  }

  /** Judges a sample that arrived at `time`, which never goes back, and moves on. */
  step(value: number, timestamp: number, time: number): Judged {
    const { judged } = this
    const sample = this.#sample
    sample.value = value
    sample.timestamp = timestamp
    sample.time = time
    judged.events.length = 0
    judged.order = stepOrder(this.#states, ORDER, this.#history, sample)
    judged.isAnalysed = isAnalysed(this.#policy.order, judged.order)
    if (judged.isAnalysed) this.#analyse(value, timestamp)
    else this.#writeScore(Number.NaN, this.#policy.threshold)
    return judged
  }

  #analyse(value: number, timestamp: number): void {
    const { judged } = this
    const sample = this.#sample
    const policy = this.#policy
    this.#detector.judge(this.#history, this.#states, DETECTOR, value, timestamp, this.#judgement)
    sample.count++
    sample.intervalMs = intervalOf(this.#history)
    sample.threshold = thresholdOf(policy, this.#history.size, sample.intervalMs)
    sample.score = signedScore(policy, this.#judgement, value)
    this.#writeScore(sample.score, sample.threshold)

    const side = judged.isFlagged ? Math.sign(sample.score) : 0
    const influence = stepHygiene(this.#states, HYGIENE, policy.hygiene, side)
    stepAlert(this.#states, ALERT, policy.alert, sample, judged.events)
    if (influence === 'shift') {
      shiftAlert(this.#states, ALERT, sample.time, judged.events)
      this.#startAnew(value, timestamp)
      judged.isShift = true
    }
    if (influence === 'hold') return
    this.#detector.learn(this.#history, this.#states, DETECTOR, value, timestamp, this.#judgement)
    this.#push(value, timestamp)
  }

  /** Forgets the level before; what `learn` is told must be what the new state says of the value. */
  #startAnew(value: number, timestamp: number): void {
    this.#history.size = 0
    this.#history.head = 0
    this.#pushed = 0
    this.#detector.start(this.#states, DETECTOR)
    this.#detector.judge(this.#history, this.#states, DETECTOR, value, timestamp, this.#judgement)
  }

  #writeScore(score: number, threshold: number): void {
    const { judged } = this
    const isKnown = !Number.isNaN(score)
    const band = bandOf(this.#judgement, threshold)
    judged.score = score
    judged.threshold = threshold
    judged.low = isKnown ? band.low : Number.NaN
    judged.high = isKnown ? band.high : Number.NaN
    judged.isFlagged = isBeyond(score, threshold)
    judged.isShift = false
  }

  #push(value: number, timestamp: number): void {
    const history = this.#history
    const at = HISTORY_STRIDE * (this.#pushed % this.#policy.window)
    history.rows[at] = value
    history.rows[at + 1] = timestamp
    this.#pushed++
    history.size = Math.min(this.#pushed, this.#policy.window)
    history.head = this.#pushed > this.#policy.window ? this.#pushed % this.#policy.window : 0
  }
}

/** How far apart the samples in the window are on average; 0 where one cannot tell. */
function intervalOf({ rows, size, head }: History): number {
  if (size < 2) return 0
  const newest = rows[HISTORY_STRIDE * ((head + size - 1) % size) + 1] as number
  const oldest = rows[HISTORY_STRIDE * head + 1] as number
  return Math.max(0, newest - oldest) / (size - 1)
}
