import type { SampleOrder } from '../verdict/analysis.ts'
import type { History } from './detectors/detector.ts'

/** Float64s of the states of many keys; those of one key begin at an index `at`. */
export type Slab = Float64Array

export interface OrderPolicy {
  /** Late samples are not analysed; otherwise they are, in the order of arrival, and marked. */
  readonly refusesLate: boolean
  readonly dropsDuplicates: boolean
}

export interface TimedSample {
  value: number
  /** When it was measured: Unix milliseconds. */
  timestamp: number
  /** When it arrived: Unix milliseconds that never decrease. */
  time: number
}

/** Float64s of a key's state: 0 initially, and where the window says the same. */
export const ORDER_STATE_LENGTH = 3

/** The newest timestamp; 0 if it is that of the newest sample in the window. */
const NEWEST = 0
/** Stands for no newest timestamp, where the window's last one does not count. */
const NONE = 1

/** How far ahead of the arrival a clock may be. Farther, it says nothing about the order. */
const SKEW_MAX_MS = 60_000

/** The previous sample if it was kept out of the window; otherwise 0. */
const LAST_TIMESTAMP = 1
const LAST_VALUE = 2

/**
 * Returns how a sample relates to those before it. Late: its timestamp is before the key's newest.
 * Duplicate: a sample in the window, or the previous sample, has the same timestamp and value. Only
 * a sample that is not newer than all others can be one, so the window is searched for those alone.
 * A sample that was kept out of the window is no longer known once another has arrived.
 */
export function orderOf(states: Slab, at: number, history: History, sample: TimedSample): SampleOrder {
  const { timestamp, value } = sample
  const newest = newestBefore(states, at, history)
  if (timestamp > newest || newest === 0) return 'in_order'
  const isRepeated = states[at + LAST_TIMESTAMP] === timestamp && states[at + LAST_VALUE] === value
  if (isRepeated || isInHistory(history, timestamp, value)) return 'duplicate'
  return timestamp < newest ? 'late' : 'in_order'
}

/**
 * Updates the state by a sample, before it is added to the window if it `joins` that. A clock that
 * was once ahead must not make the rest late: a timestamp slightly after its arrival counts as the
 * arrival, and one far after it does not count.
 */
export function advanceOrder(states: Slab, at: number, history: History, sample: TimedSample, joins: boolean): void {
  const { timestamp, value, time } = sample
  const before = newestBefore(states, at, history)
  const newest = timestamp > time + SKEW_MAX_MS ? Math.max(before, NONE) : Math.max(before, Math.min(timestamp, time))
  states[at + NEWEST] = joins && newest === timestamp ? 0 : newest
  states[at + LAST_TIMESTAMP] = joins ? 0 : timestamp
  states[at + LAST_VALUE] = joins ? 0 : value
}

function newestBefore(states: Slab, at: number, { rows, times, size, head }: History): number {
  const stored = states[at + NEWEST] as number
  if (stored !== 0 || size === 0) return stored
  const last = head === 0 ? size - 1 : head - 1
  return rows[times + last] as number
}

/** Whether a sample was measured before the newest of its key, which a duplicate can be too. */
export function isOlder(states: Slab, at: number, history: History, { timestamp }: TimedSample): boolean {
  return timestamp < newestBefore(states, at, history)
}

/** Whether the policy analyses a sample; `isOld` is the result of isOlder() for it. */
export function isAnalysed({ refusesLate, dropsDuplicates }: OrderPolicy, order: SampleOrder, isOld: boolean): boolean {
  return order === 'in_order' || !((isOld && refusesLate) || (order === 'duplicate' && dropsDuplicates))
}

function isInHistory({ rows, start, times, size }: History, timestamp: number, value: number): boolean {
  for (let i = 0; i < size; i++) {
    if (rows[times + i] === timestamp && rows[start + i] === value) return true
  }
  return false
}
