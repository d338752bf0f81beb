import type { ScoredSample } from './alerts/alert.ts'
import type { History } from './detectors/detector.ts'

export interface OrderPolicy {
  /** A late sample is not analysed; otherwise it is, in the order of arrival, and marked. */
  readonly refusesLate: boolean
  /** A sample that came before is not analysed again. */
  readonly dropsDuplicates: boolean
}

/** As much of a sample as its order depends on. */
export type TimedSample = Pick<ScoredSample, 'timestamp' | 'value' | 'time'>

/** What a sample's timestamp says. A duplicate is not called late. */
export type SampleOrder = 'in_order' | 'late' | 'duplicate'

/**
 * Float64s of a key's state, zeros at first and whenever they say nothing that the window does not say: so that those of most
 * keys need not be stored.
 */
export const LATENESS_STATE_LENGTH = 3

/** The newest timestamp; 0: that of the newest sample in the window. */
const NEWEST = 0
/** The sample before, where it was kept out of the window; 0: it was not. */
const LAST_TIMESTAMP = 1
const LAST_VALUE = 2

/**
 * Says how a sample stands to those before it. Late is a timestamp before the newest one of the key; a duplicate has timestamp
 * and value of a sample in the window or of the one that came just before. Only a sample that is not newer than all others can be
 * one, so the window is searched for those alone. What was kept out of the window and was not the last one is not known any more.
 */
export function orderOf(states: Float64Array, at: number, history: History, sample: TimedSample): SampleOrder {
  const { timestamp, value } = sample
  const newest = newestBefore(states, at, history)
  if (timestamp > newest || newest === 0) return 'in_order'
  const isRepeated = states[at + LAST_TIMESTAMP] === timestamp && states[at + LAST_VALUE] === value
  if (isRepeated || isInHistory(history, timestamp, value)) return 'duplicate'
  return timestamp < newest ? 'late' : 'in_order'
}

/**
 * Moves the state past a sample, before it `joins` the window if it does.
 *
 * A timestamp counts as no newer than its arrival: a device whose clock ran ahead once does not make all that follows late.
 */
export function advanceOrder(
  states: Float64Array,
  at: number,
  history: History,
  { timestamp, value, time }: TimedSample,
  joins: boolean,
): void {
  const newest = Math.max(newestBefore(states, at, history), Math.min(timestamp, time))
  states[at + NEWEST] = joins && newest === timestamp ? 0 : newest
  states[at + LAST_TIMESTAMP] = joins ? 0 : timestamp
  states[at + LAST_VALUE] = joins ? 0 : value
}

/** 0 when there was no sample. */
function newestBefore(states: Float64Array, at: number, { rows, times, size, head }: History): number {
  const kept = states[at + NEWEST] as number
  if (kept !== 0 || size === 0) return kept
  const last = head === 0 ? size - 1 : head - 1
  return rows[times + last] as number
}

/** Whether a sample is analysed. */
export function isAnalysed(policy: OrderPolicy, order: SampleOrder): boolean {
  switch (order) {
    case 'in_order':
      return true
    case 'late':
      return !policy.refusesLate
    case 'duplicate':
      return !policy.dropsDuplicates
  }
}

function isInHistory({ rows, start, times, size }: History, timestamp: number, value: number): boolean {
  for (let i = 0; i < size; i++) {
    if (rows[times + i] === timestamp && rows[start + i] === value) return true
  }
  return false
}
