import { isBeyond } from '../../verdict/score.ts'
import type { Slab } from '../order.ts'
import { type Comparison, compareSample } from './comparison.ts'
import { type AlertContext, isExpected, type ScoredSample } from './context.ts'
import { keepHeat, weighNews } from './guard.ts'
import {
  addUp,
  CALM,
  CROSSED_UNIT,
  clearEvidence,
  clearSums,
  EVIDENCE_SINCE,
  EXPIRES_AT,
  FIRING,
  LAST_AT,
  OK,
  OPENED_AT,
  OPENED_COUNT,
  type OpenedBy,
  PEAK,
  PEAK_VALUE,
  PENDING,
  PHASE,
  PHASES,
  RECENT_DOWN,
  RECENT_UP,
  SAMPLES,
} from './state.ts'

/**
 * The alert on one key, a state machine:
 *
 *     ok       no sample of the newest `of` is beyond `open`
 *     pending  some are, but fewer than `samples`, or the evidence has lasted less than `holdMs`
 *     firing   ends when `closeAfter` consecutive samples are not beyond `close`, when no sample
 *              comes for a while, or when the level is accepted as new; then ok
 *
 * Evidence is `samples` of the newest `of`, or smaller deviations to one side that add up: the
 * cumulative sum of Page, "Continuous inspection schemes", Biometrika 41, 1954. A sample beyond
 * `instant` leads to firing from any state; one without a score (warming) changes nothing. A sample
 * that continues a steady trend, or is one step of the key's resolution away, is no evidence. Time
 * is when samples arrived, so the same entries give the same alerts, however late.
 */
export interface AlertPolicy {
  /** In multiples of the threshold: a sample beyond this is evidence. */
  readonly open: number
  /** How many of the newest `of` samples must be, */
  readonly samples: number
  readonly of: number
  /** and whether on the same side: noise seldom repeats a side, a fault does. */
  readonly sides: 'same' | 'any'
  /** In multiples of the threshold: one sample beyond this opens an alert. */
  readonly instant: number
  /** In multiples of the threshold: a sum (`addUp`) beyond this is evidence; Infinity for none. */
  readonly sustained: number
  /** In multiples of the threshold: a sample up to this is calm. */
  readonly close: number
  /** This many consecutive calm samples resolve the alert. */
  readonly closeAfter: number
  /** The evidence must last this long without a break: a calm sample or an unusual gap is one. */
  readonly holdMs: number
  /** An alert is resolved this long after the last sample, or later for a key that sends rarely. */
  readonly resolveAfterMs: number
  readonly severity: Severity
}

export const SEVERITIES = ['info', 'warning', 'critical'] as const
export type Severity = (typeof SEVERITIES)[number]

/** The largest `of`: the newest samples are bits of an integer. */
export const OF_MAX = 30

export type AlertEvent =
  | {
      readonly kind: 'opened'
      readonly time: number
      readonly count: number
      readonly value: number
      readonly score: number
      readonly threshold: number
      /** The evidence: one sample, some of the newest, the sum of many, or a value out of range. */
      readonly by: OpenedBy
      /** When the key's previous alert opened; 0 when there was none. */
      readonly openedBefore: number
      /** What the key had been like. */
      readonly comparison?: Comparison
    }
  | {
      readonly kind: 'resolved'
      readonly time: number
      readonly reason: ResolveReason
      /** Time and count of its opening identify the alert. */
      readonly openedAt: number
      readonly openedCount: number
      /** While it was firing: the furthest score, the furthest value, and the number of samples. */
      readonly peak: number
      readonly peakValue: number
      readonly samples: number
    }

export const RESOLVE_REASONS = ['calm', 'no_samples', 'level_shift'] as const
export type ResolveReason = (typeof RESOLVE_REASONS)[number]

/** Evidence is broken by a gap of more than this many mean intervals, and more than the minimum. */
const GAP_MAX = 3
const GAP_MIN_MS = 10_000

export function alertPhase(states: Slab, at: number): (typeof PHASES)[number] {
  return PHASES[states[at + PHASE] as 0 | 1 | 2]
}

/** Returns when a firing alert expires without a sample; Infinity for a key that is not firing. */
export function alertExpiresAt(states: Slab, at: number): number {
  return states[at + PHASE] === FIRING ? (states[at + EXPIRES_AT] as number) : Number.POSITIVE_INFINITY
}

/** Expires the alert if it is time, updates the state by a sample, and appends the events. */
export function stepAlert(
  states: Slab,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  events: AlertEvent[],
  context?: AlertContext,
): void {
  if (states[at + PHASE] === FIRING) expireAlert(states, at, sample.time, events)
  if (states[at + PHASE] === FIRING) {
    if (isCalmAfter(states, at, policy, sample, context)) events.push(resolve(states, at, sample.time, 'calm'))
  } else if (!Number.isNaN(sample.score)) {
    const isGuarded = context?.guard != null
    const by = isGuarded
      ? weighNews(states, at, sample, context.guard, context)
      : weighEvidence(states, at, policy, sample, context)
    if (by === undefined) return
    const opened = (): void => void events.push(open(states, at, policy, sample, by, context))
    if (isGuarded) keepHeat(states, at, sample.time, 1, opened)
    else opened()
  }
}

/**
 * The same for a sample outside the range of the rule: it opens an alert at once, whatever is
 * usual, and does not make the guard more cautious. Its `score` is at least the threshold.
 */
export function stepOutside(
  states: Slab,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  events: AlertEvent[],
  context: AlertContext,
): void {
  if (states[at + PHASE] === FIRING) expireAlert(states, at, sample.time, events)
  if (states[at + PHASE] === FIRING) {
    noteSample(states, at, policy, sample, context)
    states[at + CALM] = 0
  } else if (context.guard == null) {
    events.push(open(states, at, policy, sample, 'range', context))
  } else {
    keepHeat(states, at, sample.time, 0, () => events.push(open(states, at, policy, sample, 'range', context)))
  }
}

/** Resolves an expired alert. All of the key's samples before `now` must have been analysed. */
export function expireAlert(states: Slab, at: number, now: number, events: AlertEvent[]): void {
  const expiresAt = alertExpiresAt(states, at)
  if (now >= expiresAt) events.push(resolve(states, at, expiresAt, 'no_samples'))
}

/** Resolves the alert of a key that is deleted: no more samples can. */
export function endAlert(states: Slab, at: number, time: number, events: AlertEvent[]): void {
  if (states[at + PHASE] === FIRING) events.push(resolve(states, at, time, 'no_samples'))
}

/** Resolves the alert and drops the evidence: the key's level was accepted as new. */
export function shiftAlert(states: Slab, at: number, time: number, events: AlertEvent[]): void {
  if (states[at + PHASE] === FIRING) events.push(resolve(states, at, time, 'level_shift'))
  states[at + PHASE] = OK
  clearEvidence(states, at)
  states[at + LAST_AT] = 0
}

/** Updates the evidence by a sample. Returns why an alert opens; undefined if none does. */
function weighEvidence(
  states: Slab,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  context: AlertContext | undefined,
): OpenedBy | undefined {
  const { score, threshold } = sample
  const isOver = isBeyond(score, policy.open * threshold)
  const isSustained = addUp(states, at, score / threshold, policy.open) > policy.sustained
  // Nearly every sample ends here: the rest is a function of its own, so that this one is inlined.
  if (!isOver && !isSustained && states[at + PHASE] === OK) return undefined
  return weighSample(states, at, policy, sample, context, { isOver, isSustained })
}

function weighSample(
  states: Slab,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  context: AlertContext | undefined,
  found: { readonly isOver: boolean; readonly isSustained: boolean },
): OpenedBy | undefined {
  const { score, threshold, time } = sample
  let { isOver, isSustained } = found
  if ((isOver || isSustained) && isExpected(sample, context)) {
    isOver = isSustained = false
    clearSums(states, at)
  }
  const ups = nextBits(states[at + RECENT_UP] as number, isOver && score > 0, policy)
  const downs = nextBits(states[at + RECENT_DOWN] as number, isOver && score < 0, policy)
  const evidence = policy.sides === 'any' ? bitCount(ups | downs) : Math.max(bitCount(ups), bitCount(downs))
  const hasEvidence = isSustained || evidence >= policy.samples
  const isCalm = !isBeyond(score, policy.close * threshold)
  // Negative: the heat of a guard that was in force before.
  const before = isGapBefore(states, at, sample, context) ? 0 : Math.max(0, states[at + EVIDENCE_SINCE] as number)
  // The clock can go back.
  const since = Math.min(before || time, time)
  states[at + RECENT_UP] = ups
  states[at + RECENT_DOWN] = downs
  states[at + PHASE] = ups === 0 && downs === 0 && !hasEvidence ? OK : PENDING
  states[at + EVIDENCE_SINCE] = hasEvidence && !isCalm ? since : 0
  states[at + LAST_AT] = states[at + PHASE] === PENDING ? time : 0
  if (isOver && isBeyond(score, policy.instant * threshold)) return 'instant'
  if (!hasEvidence || isCalm || time - since < policy.holdMs) return undefined
  return evidence >= policy.samples ? 'samples' : 'sustained'
}

/**
 * Whether no sample came for unusually long before this one. A device that sends many samples at
 * once leaves gaps between arrivals, but none between the times of measurement.
 */
function isGapBefore(
  states: Slab,
  at: number,
  { time, timestamp, intervalMs }: ScoredSample,
  context: AlertContext | undefined,
): boolean {
  const lastAt = states[at + LAST_AT] as number
  const gapMax = Math.max(GAP_MIN_MS, GAP_MAX * intervalMs)
  if (lastAt === 0 || time - lastAt <= gapMax) return false
  if (context === undefined) return true
  const { rows, times, size, head } = context.history
  return size === 0 || timestamp - (rows[times + (head === 0 ? size : head) - 1] as number) > gapMax
}

/** Updates a firing alert by a sample. Returns whether the key is calm again. */
function isCalmAfter(
  states: Slab,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  context: AlertContext | undefined,
): boolean {
  const { score, threshold, value } = sample
  noteSample(states, at, policy, sample, context)
  if (Number.isNaN(score) && (context?.hasRange !== true || Number.isNaN(value))) return false
  const isCalm = !isBeyond(score, policy.close * threshold) || isExpected(sample, context)
  const calm = isCalm ? (states[at + CALM] as number) + 1 : 0
  states[at + CALM] = calm
  return calm >= policy.closeAfter
}

/** Updates what is known of a firing alert by one of its samples. */
function noteSample(
  states: Slab,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  context: AlertContext | undefined,
): void {
  states[at + SAMPLES] = (states[at + SAMPLES] as number) + 1
  states[at + EXPIRES_AT] = expiryAfter(policy, sample, context)
  if (!Number.isNaN(sample.score)) updatePeak(states, at, sample.score, sample.value)
}

/**
 * Updates the furthest score, and the furthest value on its side. They may be of two samples: an
 * outlier widens the window, so the next one has a smaller score, even if it lies further out.
 */
function updatePeak(states: Slab, at: number, score: number, value: number): void {
  const peak = states[at + PEAK] as number
  const isFurther = Math.abs(score) > Math.abs(peak)
  if (isFurther) states[at + PEAK] = score
  const isSameSide = !isFurther || score * peak > 0
  const peakValue = states[at + PEAK_VALUE] as number
  if (isSameSide) states[at + PEAK_VALUE] = peak < 0 ? Math.min(peakValue, value) : Math.max(peakValue, value)
  else states[at + PEAK_VALUE] = value
}

function open(
  states: Slab,
  at: number,
  policy: AlertPolicy,
  sample: ScoredSample,
  by: OpenedBy,
  context: AlertContext | undefined,
): AlertEvent {
  const { time, count, value, score, threshold } = sample
  const openedBefore = states[at + OPENED_AT] as number
  const newest = by === 'samples' ? deviatingSamples(states, at, policy, context) : 0
  const comparison = context === undefined ? {} : { comparison: compareSample(sample, by, newest, context) }
  states[at + PHASE] = FIRING
  clearEvidence(states, at)
  states[at + CALM] = 0
  states[at + EXPIRES_AT] = expiryAfter(policy, sample, context)
  states[at + OPENED_AT] = time
  states[at + OPENED_COUNT] = count
  states[at + PEAK] = score
  states[at + PEAK_VALUE] = value
  states[at + SAMPLES] = 1
  return { kind: 'opened', time, count, value, score, threshold, by, openedBefore, ...comparison }
}

/** Returns how many samples ago the deviation began that is evidence with the present sample. */
function deviatingSamples(states: Slab, at: number, { of }: AlertPolicy, context: AlertContext | undefined): number {
  if (context?.guard == null) return of - 1
  const candidate = Math.max((states[at + RECENT_UP] as number) % CROSSED_UNIT, states[at + RECENT_DOWN] as number)
  return candidate === 0 ? 0 : 31 - Math.clz32(candidate)
}

function resolve(states: Slab, at: number, time: number, reason: ResolveReason): AlertEvent {
  states[at + PHASE] = OK
  states[at + CALM] = 0
  return {
    kind: 'resolved',
    time,
    reason,
    openedAt: states[at + OPENED_AT] as number,
    openedCount: states[at + OPENED_COUNT] as number,
    peak: states[at + PEAK] as number,
    peakValue: states[at + PEAK_VALUE] as number,
    samples: states[at + SAMPLES] as number,
  }
}

/**
 * Returns when an alert expires after a sample: not before `closeAfter` samples can come, and not
 * before the key counts as silent, or receivers would be notified that it is well.
 */
function expiryAfter(
  { resolveAfterMs, closeAfter }: AlertPolicy,
  { time, intervalMs }: ScoredSample,
  context: AlertContext | undefined,
): number {
  const expiresAt = time + Math.max(resolveAfterMs, closeAfter * intervalMs)
  const silentAt = context?.silentAt ?? 0
  // Infinity: the key's usual gaps are not known yet.
  return silentAt < Number.POSITIVE_INFINITY ? Math.max(expiresAt, silentAt) : expiresAt
}

function nextBits(bits: number, isSet: boolean, { of }: AlertPolicy): number {
  return ((bits << 1) | (isSet ? 1 : 0)) & (2 ** of - 1)
}

export function bitCount(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
}
