export interface SilencePolicy {
  /** A key is silent after this long without a sample; null: after a time learned from its gaps. */
  readonly afterMs: number | null
}

/** A learned silence is this many times the longest usual gap, and no shorter than the minimum. */
const TOLERANCE = 3
const SILENCE_MIN_MS = 10_000

/** With fewer gaps nothing is learned yet. */
const GAPS_MIN = 10

/** The longest usual gap shrinks by this share of each shorter gap. */
const DECAY = 1 / 50

/** It grows to at most this many times the reported silence, so no outage makes the next usual. */
const GROWTH_MAX = 2

/** With time and count of the last sample before, and the longest expected gap. */
export type SilenceEvent = { readonly time: number; readonly lastAt: number; readonly lastCount: number } & (
  | { readonly kind: 'silent'; readonly expectedMs: number }
  | { readonly kind: 'heard' }
)

/** Float64s of a key's state, initially 0. */
export const SILENCE_STATE_LENGTH = 5

const LAST_AT = 0
const LAST_COUNT = 1
const USUAL = 2
const GAPS = 3
const IS_SILENT = 4

/** Returns the longest usual gap of a key; 0 while too few gaps are known. */
export function usualGap(states: Float64Array, at: number): number {
  return (states[at + GAPS] as number) >= GAPS_MIN ? (states[at + USUAL] as number) : 0
}

/** Returns when a key becomes silent; Infinity if it already is, or no sample is expected. */
export function silentAt(states: Float64Array, at: number, policy: SilencePolicy): number {
  if (isSilent(states, at) || states[at + LAST_AT] === 0) return Number.POSITIVE_INFINITY
  const usual = usualGap(states, at)
  if (policy.afterMs === null && usual === 0) return Number.POSITIVE_INFINITY
  return (states[at + LAST_AT] as number) + (policy.afterMs ?? reportedAfter(usual))
}

function reportedAfter(usual: number): number {
  return Math.max(SILENCE_MIN_MS, TOLERANCE * usual)
}

/**
 * Updates a key's state by a sample that arrived at `time`. A silence that this sample ends is
 * reported even if no timer reported it before, so the events follow from the samples alone. The
 * usual gap is a decaying maximum: if a device sends an hour's samples at once, a quantile would
 * see only gaps of milliseconds. Samples of the same millisecond count as one arrival.
 */
export function stepSilence(
  states: Float64Array,
  at: number,
  policy: SilencePolicy,
  sample: { readonly time: number; readonly count: number },
  events: SilenceEvent[],
): void {
  const { time, count } = sample
  checkSilence(states, at, policy, time, events)
  const lastAt = states[at + LAST_AT] as number
  reportHeard(states, at, time, events)
  states[at + LAST_COUNT] = count
  // The clock went back: the silence that follows counts from now.
  if (lastAt === 0 || time < lastAt) states[at + LAST_AT] = time
  if (lastAt === 0 || time <= lastAt) return
  states[at + LAST_AT] = time
  states[at + GAPS] = (states[at + GAPS] as number) + 1
  states[at + USUAL] = nextUsual(states[at + USUAL] as number, time - lastAt, (states[at + GAPS] as number) <= GAPS_MIN)
}

/** Clears the state of a key that is no longer expected to send. A silent one counts as heard. */
export function endSilence(states: Float64Array, at: number, time: number, events: SilenceEvent[]): void {
  reportHeard(states, at, time, events)
  states.fill(0, at, at + SILENCE_STATE_LENGTH)
}

function reportHeard(states: Float64Array, at: number, time: number, events: SilenceEvent[]): void {
  if (!isSilent(states, at)) return
  states[at + IS_SILENT] = 0
  const lastAt = states[at + LAST_AT] as number
  events.push({ kind: 'heard', time, lastAt, lastCount: states[at + LAST_COUNT] as number })
}

export function isSilent(states: Float64Array, at: number): boolean {
  return states[at + IS_SILENT] === 1
}

function nextUsual(usual: number, gap: number, isNew: boolean): number {
  if (isNew) return Math.max(usual, gap)
  return gap > usual ? Math.min(gap, GROWTH_MAX * reportedAfter(usual)) : Math.max(gap, usual - DECAY * gap)
}

/** Reports a silent key. All of its samples before `now` must have been analysed. */
export function checkSilence(
  states: Float64Array,
  at: number,
  policy: SilencePolicy,
  now: number,
  events: SilenceEvent[],
): void {
  const time = silentAt(states, at, policy)
  if (now < time) return
  states[at + IS_SILENT] = 1
  const lastAt = states[at + LAST_AT] as number
  const lastCount = states[at + LAST_COUNT] as number
  events.push({ kind: 'silent', time, lastAt, lastCount, expectedMs: policy.afterMs ?? usualGap(states, at) })
}
