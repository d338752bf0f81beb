import type { Slab } from '../order.ts'

/** Float64s of a key's state, initially 0. A resolved alert's stay until the next one opens. */
export const ALERT_STATE_LENGTH = 13

export const PHASE = 0
/**
 * Bit i: whether the sample i samples ago was evidence; separately above and below. Under the guard
 * the one above has, in multiples of CROSSED_UNIT, also the number of the last sample with which a
 * sum was beyond its limit. Version 0.1.0 sees only the lowest bits.
 */
export const RECENT_UP = 1
export const RECENT_DOWN = 2
/** Since when there has been evidence without a break; 0 when there is none. */
export const EVIDENCE_SINCE = 3
/** Under the guard it is the heat, negated: version 0.1.0 then takes it for a very old evidence. */
export const HEAT = EVIDENCE_SINCE
/** While firing. While pending it is when the last sample arrived. */
export const EXPIRES_AT = 4
export const LAST_AT = EXPIRES_AT
export const OPENED_AT = 5
export const OPENED_COUNT = 6
export const PEAK = 7
export const PEAK_VALUE = 8
export const SAMPLES = 9
export const CALM = 10
/** While not firing: marks of aggregates/following.ts, which version 0.1.0 keeps and ignores. */
export const MARKS = CALM
/** The cumulative sums beyond half the threshold, in multiples of it: above, and below. */
export const SUM_UP = 11
export const SUM_DOWN = 12

export const PHASES = ['ok', 'pending', 'firing'] as const
export const OK = 0
export const PENDING = 1
export const FIRING = 2

export const OPENED_BY = ['instant', 'samples', 'sustained', 'range'] as const
export type OpenedBy = (typeof OPENED_BY)[number]

/** More than the bits of a candidate. */
export const CROSSED_UNIT = 64

/** Returns what else there is with the bits above, under the guard. */
export function crossedPart(states: Slab, at: number): number {
  const stored = states[at + RECENT_UP] as number
  return stored - (stored % CROSSED_UNIT)
}

/** Whether there is anything that `clearCandidates` drops. */
export function hasCandidates(states: Slab, at: number): boolean {
  return states[at + RECENT_UP] !== 0 || states[at + RECENT_DOWN] !== 0
}

/** Drops what only the present policy understands, before another one. */
export function clearCandidates(states: Slab, at: number): void {
  if (states[at + PHASE] === PENDING) states[at + PHASE] = OK
  states.fill(0, at + RECENT_UP, at + RECENT_DOWN + 1)
}

/** Drops the evidence for an alert. The heat of the guard stays. */
export function clearEvidence(states: Slab, at: number): void {
  states.fill(0, at + RECENT_UP, at + RECENT_DOWN + 1)
  states[at + EVIDENCE_SINCE] = Math.min(0, states[at + EVIDENCE_SINCE] as number)
  clearSums(states, at)
}

export function clearSums(states: Slab, at: number): void {
  states.fill(0, at + SUM_UP, at + SUM_DOWN + 1)
}

/** Evidence of less than half the threshold is none. */
const SLACK = 0.5

/** Adds how far a score, in thresholds, lies beyond SLACK. Returns the greater sum. */
export function addUp(states: Slab, at: number, score: number, countedMax = 1.5): number {
  const counted = Math.max(-countedMax, Math.min(countedMax, score))
  const up = (states[at + SUM_UP] as number) + counted - SLACK
  const down = (states[at + SUM_DOWN] as number) - counted - SLACK
  states[at + SUM_UP] = Math.max(0, up)
  states[at + SUM_DOWN] = Math.max(0, down)
  return Math.max(up, down)
}
