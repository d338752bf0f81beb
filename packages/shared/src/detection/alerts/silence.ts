/** How a key is noticed that stops sending. */
export interface SilencePolicy {
  /** Silent is a key from which nothing came for so long; null: for longer than it ever takes, as learned from its gaps. */
  readonly afterMs: number | null
}

/** A key is silent when nothing came for so many times its longest usual gap, and never before the least silence. */
const TOLERANCE = 3
const SILENCE_MIN_MS = 10_000

/** Of fewer gaps nothing is learned. */
const GAPS_MIN = 10

/** The longest usual gap shrinks by this share of the time that goes by without one as long. */
const DECAY = 1 / 50

/** It grows to no more than so many times the silence that would have been noticed: one outage does not make the next usual. */
const GROWTH_MAX = 2

export type SilenceEvent =
  | {
      readonly kind: 'silent'
      readonly time: number
      /** Time and count of the last sample before. */
      readonly lastAt: number
      readonly lastCount: number
      /** The longest gap that was to be expected. */
      readonly expectedMs: number
    }
  | { readonly kind: 'heard'; readonly time: number; readonly lastAt: number; readonly lastCount: number }

/** Float64s of a key's state, zeros at first. */
export const SILENCE_STATE_LENGTH = 5

const LAST_AT = 0
const LAST_COUNT = 1
/** The longest usual gap. */
const USUAL = 2
const GAPS = 3
const IS_SILENT = 4

/** How often a key sends at least, as learned; 0 when it is not known yet. */
export function usualGap(states: Float64Array, at: number): number {
  return (states[at + GAPS] as number) >= GAPS_MIN ? (states[at + USUAL] as number) : 0
}

/** When a key is silent if no sample comes before; Infinity when it is already, or nothing is expected of it. */
export function silenceDueAt(states: Float64Array, at: number, policy: SilencePolicy): number {
  if (states[at + IS_SILENT] === 1 || states[at + LAST_AT] === 0) return Number.POSITIVE_INFINITY
  const usual = usualGap(states, at)
  if (policy.afterMs === null && usual === 0) return Number.POSITIVE_INFINITY
  return (states[at + LAST_AT] as number) + (policy.afterMs ?? noticedAfter(usual))
}

function noticedAfter(usual: number): number {
  return Math.max(SILENCE_MIN_MS, TOLERANCE * usual)
}

/**
 * Moves a key's state past a sample that arrived at `time`. A silence that was over before anybody looked is reported all the
 * same, as of the time when it was due, so that the events follow from the samples alone.
 *
 * What is usual is the longest of the newest gaps, decaying: of devices that send an hour's samples at once a quantile would
 * see the gaps of a millisecond only. Samples of the same millisecond are one arrival.
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
  if (states[at + IS_SILENT] === 1) {
    events.push({ kind: 'heard', time, lastAt, lastCount: states[at + LAST_COUNT] as number })
    states[at + IS_SILENT] = 0
  }
  states[at + LAST_COUNT] = count
  if (lastAt === 0) states[at + LAST_AT] = time
  if (lastAt === 0 || time <= lastAt) return
  states[at + LAST_AT] = time
  states[at + GAPS] = (states[at + GAPS] as number) + 1
  states[at + USUAL] = nextUsual(states[at + USUAL] as number, time - lastAt, (states[at + GAPS] as number) <= GAPS_MIN)
}

/** Nothing is expected of the key any more: forgets all, and reports what was silent as heard. */
export function endSilence(states: Float64Array, at: number, time: number, events: SilenceEvent[]): void {
  if (isSilent(states, at)) {
    const lastAt = states[at + LAST_AT] as number
    events.push({ kind: 'heard', time, lastAt, lastCount: states[at + LAST_COUNT] as number })
  }
  states.fill(0, at, at + SILENCE_STATE_LENGTH)
}

/** Whether the key is silent, as far as anybody noticed. */
export function isSilent(states: Float64Array, at: number): boolean {
  return states[at + IS_SILENT] === 1
}

function nextUsual(usual: number, gap: number, isNew: boolean): number {
  if (isNew) return Math.max(usual, gap)
  return gap > usual ? Math.min(gap, GROWTH_MAX * noticedAfter(usual)) : Math.max(gap, usual - DECAY * gap)
}

/** Notices that a key is silent. `now` may be no later than what all of its samples were worked through to. */
export function checkSilence(
  states: Float64Array,
  at: number,
  policy: SilencePolicy,
  now: number,
  events: SilenceEvent[],
): void {
  const due = silenceDueAt(states, at, policy)
  if (now < due) return
  states[at + IS_SILENT] = 1
  events.push({
    kind: 'silent',
    time: due,
    lastAt: states[at + LAST_AT] as number,
    lastCount: states[at + LAST_COUNT] as number,
    expectedMs: policy.afterMs ?? usualGap(states, at),
  })
}
