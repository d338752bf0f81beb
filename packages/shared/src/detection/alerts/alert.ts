import { isBeyond } from '../../verdict/analysis.ts'

/**
 * The alert on one key.
 *
 *     ok       no sample of the newest `of` is beyond `open`
 *     pending  some are, but fewer than `samples`, or enough speaks for an alert for less than `holdMs`
 *     firing   until `closeAfter` samples in a row are not beyond `close`, no sample comes for a while, or the level is
 *              accepted as new; then ok
 *
 * Enough is `samples` of the newest `of`, or smaller deviations to one side that add up: the cumulative sum of Page,
 * "Continuous inspection schemes", Biometrika 41, 1954. A sample beyond `instant` goes to firing from wherever. A sample without a score (the key is warming) moves nothing.
 * Time is what the caller says it is; it should be when the samples arrived, so that the same entries give the same alerts,
 * whoever works on them and however late. Nothing here looks at a clock.
 */
export interface AlertPolicy {
  /** In multiples of the threshold: beyond this a sample speaks for an alert. */
  readonly open: number
  /** So many of the newest `of` samples must, */
  readonly samples: number
  readonly of: number
  /** and whether all on the same side: noise seldom goes the same way twice, a fault does. */
  readonly sides: 'same' | 'any'
  /** In multiples of the threshold: beyond this one sample is enough. */
  readonly instant: number
  /**
   * In multiples of the threshold: beyond this the sum is enough of what samples lie beyond half the threshold on one side, each
   * counted up to `open`. What they lie within it is taken off, down to 0. Infinity: the sum is not asked.
   */
  readonly sustained: number
  /** In multiples of the threshold: up to this a sample speaks against it. */
  readonly close: number
  /** So many in a row must. */
  readonly closeAfter: number
  /** For so long they must do so without a break. */
  readonly holdMs: number
  /** After so long without a sample an alert is resolved, or later where the key sends rarely. */
  readonly resolveAfterMs: number
  readonly severity: Severity
}

export const SEVERITIES = ['info', 'warning', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

/** The newest samples that `of` can look back on: bits of an integer. */
export const OF_MAX = 30

/** A sample with its score, reused from one sample to the next. */
export interface ScoredSample {
  value: number
  /** When it was measured: Unix milliseconds. */
  timestamp: number
  /** When it arrived: Unix milliseconds that never go back. */
  time: number
  /** Samples of the key ever analysed, this one included. */
  count: number
  /** As `signedScore` gives it. */
  score: number
  threshold: number
  /** How often the key sends, as far as it is known; 0 when it is not. */
  intervalMs: number
}

export type AlertEvent =
  | {
      readonly kind: 'opened'
      readonly time: number
      readonly count: number
      readonly value: number
      readonly score: number
      readonly threshold: number
      /** What was enough: one sample, some of the newest, or the sum of many. */
      readonly by: OpenedBy
      /** When the same key's alert before this one was opened; 0 when there was none. */
      readonly openedBefore: number
    }
  | {
      readonly kind: 'resolved'
      readonly time: number
      readonly reason: ResolveReason
      /** Time and count of its opening: which alert it was. */
      readonly openedAt: number
      readonly openedCount: number
      /** The furthest score while it was firing, and the value that had it. */
      readonly peak: number
      readonly peakValue: number
      /** Samples while it was firing, the first included. */
      readonly samples: number
    }

export const OPENED_BY = ['instant', 'samples', 'sustained'] as const
export type OpenedBy = (typeof OPENED_BY)[number]
export const RESOLVE_REASONS = ['calm', 'no_samples', 'level_shift'] as const
export type ResolveReason = (typeof RESOLVE_REASONS)[number]

/** Float64s of a key's state, zeros at first. After an alert is resolved what it was stands there until the next. */
export const ALERT_STATE_LENGTH = 13

const PHASE = 0
/** Bit i: the sample i samples ago was beyond `open`, above; and the same below. */
const RECENT_UP = 1
const RECENT_DOWN = 2
/** Since when, without a break, `samples` of the newest `of` were beyond `open`; 0 when they are not. */
const ENOUGH_SINCE = 3
const DUE_AT = 4
const OPENED_AT = 5
const OPENED_COUNT = 6
const PEAK = 7
const PEAK_VALUE = 8
const SAMPLES = 9
const CALM = 10
/** Of what samples lie beyond half the threshold, in multiples of it: above, and below. */
const SUM_UP = 11
const SUM_DOWN = 12

const SLACK = 0.5

const PHASES = ['ok', 'pending', 'firing'] as const
export type AlertPhase = (typeof PHASES)[number]
const OK = 0
const PENDING = 1
const FIRING = 2

/** Where a key stands. */
export function alertPhase(states: Float64Array, at: number): AlertPhase {
  return PHASES[states[at + PHASE] as 0 | 1 | 2]
}

/** When a firing alert is to be resolved if no sample comes before; Infinity for a key that is not firing. */
export function alertDueAt(states: Float64Array, at: number): number {
  return states[at + PHASE] === FIRING ? (states[at + DUE_AT] as number) : Number.POSITIVE_INFINITY
}

/** A sample to be filled in. */
export function createScoredSample(): ScoredSample {
  return { value: 0, timestamp: 0, time: 0, count: 0, score: Number.NaN, threshold: 0, intervalMs: 0 }
}

/**
 * Moves a key's state past a sample and adds what happened to `events`: nothing, for nearly every sample. An alert whose time
 * was over before the sample came is resolved as of that time, as if `expireAlert` had been called then.
 */
export function stepAlert(
  states: Float64Array,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  events: AlertEvent[],
): void {
  if (states[at + PHASE] === FIRING) expireAlert(states, at, sample.time, events)
  if (states[at + PHASE] === FIRING) stepFiring(states, at, policy, sample, events)
  else if (!Number.isNaN(sample.score)) stepUnopened(states, at, policy, sample, events)
}

/**
 * Resolves an alert for which no sample came in time. `now` may be no later than what all of the key's samples were worked
 * through to: with samples waiting, the clock on the wall is ahead of that.
 */
export function expireAlert(states: Float64Array, at: number, now: number, events: AlertEvent[]): void {
  const due = alertDueAt(states, at)
  if (now >= due) resolve(states, at, { time: due, reason: 'no_samples', events })
}

/** The key's level was accepted as new: what was measured by the old one is over. */
export function shiftAlert(states: Float64Array, at: number, time: number, events: AlertEvent[]): void {
  if (states[at + PHASE] === FIRING) resolve(states, at, { time, reason: 'level_shift', events })
  states[at + PHASE] = OK
  states[at + RECENT_UP] = 0
  states[at + RECENT_DOWN] = 0
  states[at + SUM_UP] = 0
  states[at + SUM_DOWN] = 0
  states[at + ENOUGH_SINCE] = 0
}

function stepUnopened(
  states: Float64Array,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  events: AlertEvent[],
): void {
  const { score, threshold, time } = sample
  const isOver = isBeyond(score, policy.open * threshold)
  const isSustained = addUp(states, at, policy, score / threshold) > policy.sustained
  // Where nearly every sample ends.
  if (!isOver && !isSustained && states[at + PHASE] === OK) return

  const ups = nextBits(states[at + RECENT_UP] as number, isOver && score > 0, policy)
  const downs = nextBits(states[at + RECENT_DOWN] as number, isOver && score < 0, policy)
  const speaking = policy.sides === 'any' ? bitCount(ups | downs) : Math.max(bitCount(ups), bitCount(downs))
  const isEnough = isSustained || speaking >= policy.samples
  states[at + RECENT_UP] = ups
  states[at + RECENT_DOWN] = downs
  states[at + PHASE] = ups === 0 && downs === 0 && !isEnough ? OK : PENDING
  const since = (states[at + ENOUGH_SINCE] as number) || time
  states[at + ENOUGH_SINCE] = isEnough ? since : 0
  if (isBeyond(score, policy.instant * threshold)) open(states, at, policy, sample, 'instant', events)
  else if (isEnough && time - since >= policy.holdMs) {
    open(states, at, policy, sample, speaking >= policy.samples ? 'samples' : 'sustained', events)
  }
}

function stepFiring(
  states: Float64Array,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  events: AlertEvent[],
): void {
  const { score, threshold, time, value } = sample
  states[at + SAMPLES] = (states[at + SAMPLES] as number) + 1
  states[at + DUE_AT] = dueAfter(policy, sample)
  if (Number.isNaN(score)) return
  if (Math.abs(score) > Math.abs(states[at + PEAK] as number)) {
    states[at + PEAK] = score
    states[at + PEAK_VALUE] = value
  }
  const calm = isBeyond(score, policy.close * threshold) ? 0 : (states[at + CALM] as number) + 1
  states[at + CALM] = calm
  if (calm >= policy.closeAfter) resolve(states, at, { time, reason: 'calm', events })
}

function open(
  states: Float64Array,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  by: OpenedBy,
  events: AlertEvent[],
): void {
  const { time, count, value, score, threshold } = sample
  const openedBefore = states[at + OPENED_AT] as number
  events.push({ kind: 'opened', time, count, value, score, threshold, by, openedBefore })
  states[at + PHASE] = FIRING
  states[at + RECENT_UP] = 0
  states[at + RECENT_DOWN] = 0
  states[at + SUM_UP] = 0
  states[at + SUM_DOWN] = 0
  states[at + CALM] = 0
  states[at + ENOUGH_SINCE] = 0
  states[at + DUE_AT] = dueAfter(policy, sample)
  states[at + OPENED_AT] = time
  states[at + OPENED_COUNT] = count
  states[at + PEAK] = score
  states[at + PEAK_VALUE] = value
  states[at + SAMPLES] = 1
}

function resolve(
  states: Float64Array,
  at: number,
  { time, reason, events }: { time: number; reason: ResolveReason; events: AlertEvent[] },
): void {
  events.push({
    kind: 'resolved',
    time,
    reason,
    openedAt: states[at + OPENED_AT] as number,
    openedCount: states[at + OPENED_COUNT] as number,
    peak: states[at + PEAK] as number,
    peakValue: states[at + PEAK_VALUE] as number,
    samples: states[at + SAMPLES] as number,
  })
  states[at + PHASE] = OK
  states[at + CALM] = 0
}

/** A key that sends once an hour must have had the time to calm down. */
function dueAfter({ resolveAfterMs, closeAfter }: AlertPolicy, { time, intervalMs }: ScoredSample): number {
  return time + Math.max(resolveAfterMs, closeAfter * intervalMs)
}

/** Adds a sample, in multiples of the threshold, to both sums and returns the greater one. */
function addUp(states: Float64Array, at: number, { open }: AlertPolicy, score: number): number {
  const counted = Math.max(-open, Math.min(open, score))
  const up = (states[at + SUM_UP] as number) + counted - SLACK
  const down = (states[at + SUM_DOWN] as number) - counted - SLACK
  states[at + SUM_UP] = Math.max(0, up)
  states[at + SUM_DOWN] = Math.max(0, down)
  return Math.max(up, down)
}

function nextBits(bits: number, isSet: boolean, { of }: AlertPolicy): number {
  return ((bits << 1) | (isSet ? 1 : 0)) & (2 ** of - 1)
}

function bitCount(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
}
