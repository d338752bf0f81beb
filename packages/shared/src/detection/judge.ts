import { isOwnTimestamp, toUnixMs } from '../sample/arrival.ts'
import type { SampleOrder } from '../verdict/analysis.ts'
import { isBeyond, zScore } from '../verdict/score.ts'
import { type AlertEvent, alertExpiresAt, expireAlert, shiftAlert, stepAlert, stepOutside } from './alerts/alert.ts'
import { type AlertContext, createScoredSample, type KeyNews } from './alerts/context.ts'
import { checkSilence, endSilence, type SilenceEvent, silentAt, stepSilence } from './alerts/silence.ts'
import { CounterRates } from './detectors/counter.ts'
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
import { type Summary, summarizeFor } from './detectors/summary.ts'
import { holdOutside, type Influence, stepHygiene } from './hygiene.ts'
import {
  ALERT,
  COUNT,
  clearWindow,
  HYGIENE,
  type KeyRow,
  learnScored,
  learnSometimes,
  ORDER,
  pushSample,
  readHistory,
  SILENCE,
  startDetector,
  TIMER,
} from './key-row.ts'
import { DetectorNews, MemoryNews } from './news.ts'
import { advanceOrder, isAnalysed, isOlder, orderOf } from './order.ts'
import { shareBeyond } from './rules/budget.ts'
import { type Policy, sideOf, signedScore, thresholdOf } from './rules/policy.ts'

/** The result of judging a sample. The next sample overwrites it. */
export interface Judged {
  order: SampleOrder
  /** False if the rule refused or ignores it; then of the members below only `count` is valid. */
  isAnalysed: boolean
  /** Whether the rule ignores the sample's value. */
  isIgnored: boolean
  /** Samples of the key ever analysed, including this one. */
  count: number
  /** The samples in the window before this one, their mean and deviation; 0 if it is empty. */
  window: number
  mean: number
  deviation: number
  /** What the mean lost to rounding; 0 if that changes no digit of z that matters. */
  meanRest: number
  /** Negative if the value is too low; NaN while warming. */
  score: number
  threshold: number
  /** The least and the greatest value that is not an anomaly; NaN while warming. */
  low: number
  high: number
  isFlagged: boolean
  /** 1 if the value, of a counter the rate, is above the range of the rule, -1 if below. */
  outside: -1 | 0 | 1
  isShift: boolean
  /** Of a counter: what was scored, per second; NaN while unknown, and where a value was scored. */
  rate: number
  readonly judgement: Judgement
  /** Alerts that the sample opened and resolved, and silences that began and ended, in order. */
  readonly alerts: AlertEvent[]
  readonly silences: SilenceEvent[]
}

export type TimerEvents = Pick<Judged, 'alerts' | 'silences'>

/**
 * Scores samples by one policy and updates their keys: for the analyzer, the backtest and tools.
 * All state of a key is in its row, which must have the shape that `shapeFor` returns for the
 * policy. It allocates nothing per sample.
 */
export class Judge {
  readonly policy: Policy
  readonly judged: Judged
  readonly #detector: Detector
  readonly #isZscore: boolean
  readonly #samplesMin: number
  readonly #history = createHistory()
  readonly #rates: CounterRates | null
  /** What the detector sees: the window, or the rates of a counter in it. */
  readonly #seen: History
  /** The detector's result for a value of a level that was just accepted as new. */
  readonly #restarted = createJudgement()
  readonly #summary: Summary = { mean: 0, rest: 0, deviation: 0 }
  readonly #sample = createScoredSample()
  readonly #context: AlertContext
  /** The guard's memory of the key of the sample; null where it has none. */
  readonly #memory: MemoryNews | null
  readonly #isGuarded: boolean
  readonly #raw = { score: 0, low: 0, high: 0 }
  readonly #shares: number[] = []

  constructor(policy: Policy) {
    const { detector, samplesMin } = policy
    this.policy = policy
    this.#detector = createDetector(detector, samplesMin === undefined ? {} : { samplesMin })
    this.#isZscore = detector === 'zscore'
    this.#samplesMin = samplesMin ?? 0
    this.#rates = policy.isCounter ? new CounterRates() : null
    this.#seen = this.#rates?.history ?? this.#history
    this.judged = {
      order: 'in_order',
      isAnalysed: true,
      isIgnored: false,
      count: 0,
      window: 0,
      mean: 0,
      deviation: 0,
      meanRest: 0,
      score: Number.NaN,
      threshold: 0,
      low: Number.NaN,
      high: Number.NaN,
      isFlagged: false,
      outside: 0,
      isShift: false,
      rate: Number.NaN,
      judgement: createJudgement(),
      alerts: [],
      silences: [],
    }
    const history = this.#seen
    const { judgement } = this.judged
    const allowsStep = policy.deviationMin === null
    const arrived = { arrived: this.#history, arrivedValue: 0, arrivedPerScored: 1 }
    const hasRange = policy.range !== null
    this.#isGuarded = policy.guard !== null
    this.#memory = policy.guard === 'memory' ? new MemoryNews(policy.alert.sustained) : null
    const guard: KeyNews | null =
      policy.guard === 'detector' ? new DetectorNews(judgement, policy.threshold) : this.#memory
    this.#context = {
      history,
      judgement,
      allowsTrend: this.#isZscore,
      allowsStep,
      hasRange,
      guard,
      silentAt: 0,
      ...arrived,
    }
  }

  /**
   * Scores a sample, with its timestamp as it is stored (sample/arrival.ts), and updates the row.
   * Its arrival `time` must not decrease within a key.
   */
  step(row: KeyRow, value: number, stored: number, time: number): Judged {
    const { judged, policy } = this
    const { rows, start } = row
    const history = this.#history
    const sample = this.#sample
    const timestamp = toUnixMs(stored)
    sample.value = value
    sample.timestamp = timestamp
    sample.time = time
    if (judged.alerts.length > 0) judged.alerts.length = 0
    if (judged.silences.length > 0) judged.silences.length = 0
    readHistory(row, history)
    // What has no timestamp of its own neither repeats a sample nor comes late.
    judged.order = isOwnTimestamp(stored) ? orderOf(rows, start + ORDER, history, sample) : 'in_order'
    if (policy.ignored !== null) judged.isIgnored = policy.ignored.has(value)
    judged.isAnalysed =
      !judged.isIgnored &&
      (judged.order === 'in_order' ||
        isAnalysed(policy.order, judged.order, isOlder(rows, start + ORDER, history, sample)))
    if (judged.isAnalysed) rows[start + COUNT] = (rows[start + COUNT] as number) + 1
    const count = rows[start + COUNT] as number
    judged.count = count
    sample.count = count
    if (row.shape.hasSilence) this.#stepSilence(row, time, count)
    if (judged.isAnalysed) this.#analyse(row, value, timestamp)
    else {
      this.#writeScore(Number.NaN, policy.threshold)
      judged.window = judged.mean = judged.deviation = judged.meanRest = 0
      judged.rate = Number.NaN
      advanceOrder(rows, start + ORDER, history, sample, false)
    }
    return judged
  }

  /** Runs the key's timer at `now`. All of its samples before `now` must have been analysed. */
  expire(row: KeyRow, now: number, events: TimerEvents): void {
    const { rows, start, shape } = row
    expireAlert(rows, start + ALERT, now, events.alerts)
    const { silence } = this.policy
    if (shape.hasSilence && silence !== null) checkSilence(rows, start + SILENCE, silence, now, events.silences)
  }

  /** Returns when the key's timer expires without a sample: Unix milliseconds, or Infinity. */
  timerAt({ rows, start, shape }: KeyRow): number {
    const alert = alertExpiresAt(rows, start + ALERT)
    const { silence } = this.policy
    if (!shape.hasSilence || silence === null) return alert
    return Math.min(alert, silentAt(rows, start + SILENCE, silence))
  }

  /**
   * Returns the timer to schedule, and records it in the row; undefined if the scheduled one is
   * early enough: a timer that expires for nothing costs less than rescheduling with each sample.
   */
  nextTimer(row: KeyRow): number | undefined {
    const timer = this.timerAt(row)
    const scheduled = row.rows[row.start + TIMER] as number
    if (timer === Number.POSITIVE_INFINITY || (scheduled !== 0 && scheduled <= timer)) return undefined
    row.rows[row.start + TIMER] = timer
    return timer
  }

  /** Returns the share of normal samples flagged by chance; undefined if unknown. */
  expectedShare(): number | undefined {
    if (!this.#isZscore || this.judged.window < 2) return undefined
    const { budget, threshold, direction } = this.policy
    if (budget !== null) return budget.shareFor(this.#sample.intervalMs)
    const { window } = this.judged
    this.#shares[window] ??= shareBeyond(threshold, { samples: window, direction })
    return this.#shares[window]
  }

  #stepSilence(row: KeyRow, time: number, count: number): void {
    const { silence } = this.policy
    const { silences } = this.judged
    const at = row.start + SILENCE
    if (silence === null) {
      endSilence(row.rows, at, time, silences)
    } else {
      stepSilence(row.rows, at, silence, { time, count }, silences)
      this.#context.silentAt = silentAt(row.rows, at, silence)
    }
  }

  #analyse(row: KeyRow, value: number, timestamp: number): void {
    const { judged, policy } = this
    const { rows, start, shape } = row
    const history = this.#history
    const sample = this.#sample
    const seen = this.#seen
    this.#context.arrivedValue = value
    const scored = this.#rates === null ? value : this.#rateOf(this.#rates, value, timestamp)
    this.#judge(row, scored)
    sample.intervalMs = intervalOf(seen)
    sample.threshold = policy.budget === null ? policy.threshold : thresholdOf(policy, seen.size, sample.intervalMs)
    sample.score = signedScore(policy, judged.judgement, scored)
    this.#writeScore(sample.score, sample.threshold)

    const outside = policy.range === null ? 0 : sideOf(policy.range, scored)
    let influence: Influence
    if (outside !== 0) influence = this.#weighOutside(row, outside)
    else {
      const side = judged.isFlagged ? Math.sign(sample.score) : 0
      if (this.#memory !== null) this.#memory.moveTo(row)
      else if (this.#isGuarded && !Number.isNaN(sample.score)) sample.score = this.#rawScore(scored)
      influence = Number.isNaN(scored) ? this.#keepCount() : stepHygiene(rows, start + HYGIENE, policy.hygiene, side)
      stepAlert(rows, start + ALERT, policy.alert, sample, judged.alerts, this.#context)
    }
    if (this.#rates !== null) sample.value = value
    advanceOrder(rows, start + ORDER, history, sample, influence !== 'hold')
    if (influence === 'hold') return
    let { judgement } = judged
    if (influence === 'shift') {
      shiftAlert(rows, start + ALERT, sample.time, judged.alerts)
      judged.isShift = true
      judgement = this.#restart(row, scored)
    }
    if (!Number.isNaN(scored)) {
      this.#detector.learn(row.slab, start + shape.detectorAt, scored, judgement)
    }
    if (shape.memory === 'rates') learnScored(row, scored)
    pushSample(row, value, timestamp)
    if (shape.memory === 'values') learnSometimes(row)
  }

  /** A count without a rate says nothing of the level. A late one must not hide the newest. */
  #keepCount(): Influence {
    return this.judged.order === 'in_order' ? 'learn' : 'hold'
  }

  /** Weighs a sample outside the range of the rule. Its level is never accepted as new. */
  #weighOutside({ rows, start }: KeyRow, side: -1 | 1): Influence {
    const { judged, policy } = this
    const sample = this.#sample
    judged.outside = side
    judged.isFlagged = true
    const { score, threshold } = sample
    // The detector may not know the value yet, or find it usual, or too far to the other side.
    sample.score = side * score > threshold ? score : side * threshold
    stepOutside(rows, start + ALERT, policy.alert, sample, judged.alerts, this.#context)
    return holdOutside(rows, start + HYGIENE, policy.hygiene)
  }

  /** Alerts are on what the detector scored, whether or not it has reported it just before. */
  #rawScore(value: number): number {
    const { judgement } = this.judged
    this.#raw.score = judgement.raw
    this.#raw.low = judgement.low
    this.#raw.high = judgement.high
    return signedScore(this.policy, this.#raw, value)
  }

  /** Alerts are on the rate, too. */
  #rateOf(rates: CounterRates, value: number, timestamp: number): number {
    const rate = rates.read(this.#history, value, timestamp)
    this.judged.rate = rate
    this.#sample.value = rate
    this.#context.arrivedPerScored = secondsSince(this.#history, timestamp)
    return rate
  }

  #judge({ slab, start, shape }: KeyRow, value: number): void {
    const { judged } = this
    const history = this.#seen
    const summary = this.#summary
    judged.window = history.size
    if (history.size > 0) summarizeFor(value, history, summary)
    else summary.mean = summary.deviation = summary.rest = 0
    judged.mean = summary.mean
    judged.deviation = summary.deviation
    judged.meanRest = summary.rest
    const { judgement } = judged
    if (Number.isNaN(value)) {
      judgeWarming(judgement)
    } else if (!this.#isZscore) {
      this.#detector.judge(history, slab, start + shape.detectorAt, value, judgement)
    } else if (history.size < this.#samplesMin || history.size === 0) {
      judgeWarming(judgement)
    } else {
      // The same as zscore.ts, without summarising the window twice.
      judgement.low = summary.mean
      judgement.high = summary.mean
      judgement.spread = summary.deviation
      judgement.score = Math.abs(zScore(value, summary.mean, summary.deviation, summary.rest))
    }
  }

  /** Drops the previous level. Returns the new state's judgement of the value, for `learn`. */
  #restart(row: KeyRow, value: number): Judgement {
    const { start, shape } = row
    clearWindow(row)
    startDetector(row)
    readHistory(row, this.#history)
    this.#seen.size = 0
    this.#detector.judge(this.#seen, row.slab, start + shape.detectorAt, value, this.#restarted)
    return this.#restarted
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
    judged.outside = 0
    judged.isShift = false
  }
}

/** Returns the seconds from the newest sample of a window to `timestamp`; NaN if it is empty. */
function secondsSince({ rows, times, size, head }: History, timestamp: number): number {
  return size === 0 ? Number.NaN : (timestamp - (rows[times + (head === 0 ? size : head) - 1] as number)) / 1000
}

/** Returns the mean interval between the samples in the window; 0 with fewer than two. */
function intervalOf({ rows, times, size, head }: History): number {
  if (size < 2) return 0
  const last = head === 0 ? size - 1 : head - 1
  const newest = rows[times + last] as number
  const oldest = rows[times + head] as number
  return Math.max(0, newest - oldest) / (size - 1)
}
