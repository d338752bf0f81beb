import { isBeyond, zScore } from '../verdict/analysis.ts'
import { type AlertEvent, alertDueAt, createScoredSample, expireAlert, shiftAlert, stepAlert } from './alerts/alert.ts'
import { checkSilence, endSilence, type SilenceEvent, silenceDueAt, stepSilence } from './alerts/silence.ts'
import {
  bandOf,
  createHistory,
  createJudgement,
  type Detector,
  type History,
  type Judgement,
  judgeWarming,
} from './detectors/detector.ts'
import { createDetector } from './detectors/registry.ts'
import { type Summary, summarize } from './detectors/summary.ts'
import { type Influence, stepHygiene } from './hygiene.ts'
import {
  ALERT,
  COUNT,
  DUE,
  HYGIENE,
  type KeyRow,
  ORDER,
  PUSHED,
  pushSample,
  readHistory,
  SILENCE,
  startDetector,
} from './key-row.ts'
import { advanceOrder, isAnalysed, orderOf, type SampleOrder } from './order.ts'
import { shareBeyond } from './rules/budget.ts'
import { type Policy, signedScore, thresholdOf } from './rules/policy.ts'

/** What became of a sample; overwritten by the next. */
export interface Judged {
  order: SampleOrder
  /** Whether it was; otherwise the rule refused it, and nothing below but `count` says anything. */
  isAnalysed: boolean
  /** Samples of the key ever analysed, this one included. */
  count: number
  /** Samples in the window before it, their mean and population deviation; 0 of an empty one. */
  window: number
  mean: number
  deviation: number
  /** With its side as its sign; NaN while warming. */
  score: number
  threshold: number
  /** The least and the greatest value that would be no anomaly; NaN while warming. */
  low: number
  high: number
  isFlagged: boolean
  isShift: boolean
  /** What the alert was told of: the zone without a score, and the spread around it. */
  readonly judgement: Judgement
  /** Alerts opened and resolved by it, and silences begun and ended, each in order. */
  readonly alerts: AlertEvent[]
  readonly silences: SilenceEvent[]
}

/** What came of time going by. */
export interface Lapsed {
  readonly alerts: AlertEvent[]
  readonly silences: SilenceEvent[]
}

/**
 * Judges samples by one policy: the way from a sample to what is known of its key, in one place for the analyzer, the
 * back-test and whoever recomputes a verdict. What it knows of a key stands in the key's row, which has the shape that
 * `shapeFor` gives for the policy; it holds nothing itself from one sample to the next. It allocates nothing for a sample.
 */
export class Judge {
  readonly policy: Policy
  readonly judged: Judged
  readonly #detector: Detector
  readonly #isZscore: boolean
  readonly #samplesMin: number
  readonly #history = createHistory()
  /** Of a level that has just been accepted as new. */
  readonly #begun = createJudgement()
  readonly #summary: Summary = { mean: 0, deviation: 0 }
  readonly #sample = createScoredSample()
  readonly #shares: number[] = []

  constructor(policy: Policy) {
    const { detector, samplesMin } = policy
    this.policy = policy
    this.#detector = createDetector(detector, samplesMin === undefined ? {} : { samplesMin })
    this.#isZscore = detector === 'zscore'
    this.#samplesMin = samplesMin ?? 0
    this.judged = {
      ...{ order: 'in_order', isAnalysed: true, count: 0, window: 0, mean: 0, deviation: 0, score: Number.NaN },
      ...{ threshold: 0, low: Number.NaN, high: Number.NaN, isFlagged: false, isShift: false },
      judgement: createJudgement(),
      alerts: [],
      silences: [],
    }
  }

  /** Judges a sample that arrived at `time`, which never goes back within a key, and moves the row past it. */
  step(row: KeyRow, value: number, timestamp: number, time: number): Judged {
    const { judged, policy } = this
    const { rows, start } = row
    const history = this.#history
    const sample = this.#sample
    sample.value = value
    sample.timestamp = timestamp
    sample.time = time
    if (judged.alerts.length > 0) judged.alerts.length = 0
    if (judged.silences.length > 0) judged.silences.length = 0
    readHistory(row, history)
    judged.order = orderOf(rows, start + ORDER, history, sample)
    judged.isAnalysed = judged.order === 'in_order' || isAnalysed(policy.order, judged.order)
    if (judged.isAnalysed) rows[start + COUNT] = (rows[start + COUNT] as number) + 1
    const count = rows[start + COUNT] as number
    judged.count = count
    sample.count = count
    if (row.shape.hasSilence) this.#hear(row, time, count)
    if (judged.isAnalysed) this.#analyse(row, value, timestamp)
    else {
      this.#writeScore(Number.NaN, policy.threshold)
      judged.window = judged.mean = judged.deviation = 0
      advanceOrder(rows, start + ORDER, history, sample, false)
    }
    return judged
  }

  /**
   * Does what is due by `now`, which may be no later than what all samples of the key were worked through to. Whatever it does
   * would be done by the key's next sample too, as of the same time.
   */
  lapse(row: KeyRow, now: number, lapsed: Lapsed): void {
    const { rows, start, shape } = row
    expireAlert(rows, start + ALERT, now, lapsed.alerts)
    const { silence } = this.policy
    if (shape.hasSilence && silence !== null) checkSilence(rows, start + SILENCE, silence, now, lapsed.silences)
  }

  /** When something is due though no sample comes: Unix ms, or Infinity. */
  dueAt({ rows, start, shape }: KeyRow): number {
    const alert = alertDueAt(rows, start + ALERT)
    const { silence } = this.policy
    if (!shape.hasSilence || silence === null) return alert
    return Math.min(alert, silenceDueAt(rows, start + SILENCE, silence))
  }

  /**
   * When the owner of the key has to be told anew to look at it, and notes that it was; undefined when what it was told is early
   * enough: it then looks for nothing, which costs less than telling it with each sample.
   */
  newDue(row: KeyRow): number | undefined {
    const due = this.dueAt(row)
    const told = row.rows[row.start + DUE] as number
    if (due === Number.POSITIVE_INFINITY || (told !== 0 && told <= due)) return undefined
    row.rows[row.start + DUE] = due
    return due
  }

  /** The share of independent normal samples that would be flagged as the last one may have been; undefined where nobody knows. */
  expectedShare(): number | undefined {
    if (!this.#isZscore || this.judged.window < 2) return undefined
    const { budget, threshold, direction } = this.policy
    if (budget !== null) return budget.shareFor(this.#sample.intervalMs)
    const { window } = this.judged
    this.#shares[window] ??= shareBeyond(threshold, { samples: window, direction })
    return this.#shares[window]
  }

  #hear(row: KeyRow, time: number, count: number): void {
    const { silence } = this.policy
    const { silences } = this.judged
    if (silence === null) endSilence(row.rows, row.start + SILENCE, time, silences)
    else stepSilence(row.rows, row.start + SILENCE, silence, { time, count }, silences)
  }

  #analyse(row: KeyRow, value: number, timestamp: number): void {
    const { judged, policy } = this
    const { rows, start, shape } = row
    const history = this.#history
    const sample = this.#sample
    this.#judge(row, value, timestamp)
    sample.intervalMs = intervalOf(history)
    sample.threshold = policy.budget === null ? policy.threshold : thresholdOf(policy, history.size, sample.intervalMs)
    sample.score = signedScore(policy, judged.judgement, value)
    this.#writeScore(sample.score, sample.threshold)

    const side = judged.isFlagged ? Math.sign(sample.score) : 0
    const influence: Influence = stepHygiene(rows, start + HYGIENE, policy.hygiene, side)
    stepAlert(rows, start + ALERT, policy.alert, sample, judged.alerts)
    advanceOrder(rows, start + ORDER, history, sample, influence !== 'hold')
    if (influence === 'hold') return
    let { judgement } = judged
    if (influence === 'shift') {
      shiftAlert(rows, start + ALERT, sample.time, judged.alerts)
      judged.isShift = true
      judgement = this.#startAnew(row, value, timestamp)
    }
    this.#detector.learn(history, rows, start + shape.detectorAt, value, timestamp, judgement)
    pushSample(row, value, timestamp)
  }

  /** Writes what the window and the detector say of a value. */
  #judge({ rows, start, shape }: KeyRow, value: number, timestamp: number): void {
    const { judged } = this
    const history = this.#history
    const summary = this.#summary
    judged.window = history.size
    if (history.size > 0) summarize(history, summary)
    else summary.mean = summary.deviation = 0
    judged.mean = summary.mean
    judged.deviation = summary.deviation
    const { judgement } = judged
    if (!this.#isZscore) {
      this.#detector.judge(history, rows, start + shape.detectorAt, value, timestamp, judgement)
    } else if (history.size < this.#samplesMin || history.size === 0) {
      judgeWarming(judgement)
    } else {
      // As zscore.ts does; the window is summed up once.
      judgement.low = summary.mean
      judgement.high = summary.mean
      judgement.spread = summary.deviation
      judgement.score = Math.abs(zScore(value, summary.mean, summary.deviation))
    }
  }

  /** Forgets the level before; what `learn` is told must be what the new state says of the value. */
  #startAnew(row: KeyRow, value: number, timestamp: number): Judgement {
    const { rows, start, shape } = row
    rows[start + PUSHED] = 0
    startDetector(row)
    readHistory(row, this.#history)
    this.#detector.judge(this.#history, rows, start + shape.detectorAt, value, timestamp, this.#begun)
    return this.#begun
  }

  #writeScore(score: number, threshold: number): void {
    const { judged } = this
    const isKnown = !Number.isNaN(score)
    const band = bandOf(judged.judgement, threshold)
    judged.score = score
    judged.threshold = threshold
    judged.low = isKnown ? band.low : Number.NaN
    judged.high = isKnown ? band.high : Number.NaN
    judged.isFlagged = isBeyond(score, threshold)
    judged.isShift = false
  }
}

/** How far apart the samples in the window are on average; 0 where one cannot tell. */
function intervalOf({ rows, times, size, head }: History): number {
  if (size < 2) return 0
  const last = head === 0 ? size - 1 : head - 1
  const newest = rows[times + last] as number
  const oldest = rows[times + head] as number
  return Math.max(0, newest - oldest) / (size - 1)
}
