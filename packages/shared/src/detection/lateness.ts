import type { ScoredSample } from './alerts.ts'
import { HISTORY_STRIDE, type History } from './detector.ts'

export interface OrderPolicy {
  /** A late sample is not analysed; otherwise it is, in the order of arrival, and marked. */
  readonly refusesLate: boolean
  /** A sample that came before is not analysed again. */
  readonly dropsDuplicates: boolean
}

/** As much of a sample as its order depends on. */
export type TimedSample = Pick<ScoredSample, 'timestamp' | 'value' | 'time'>

/** What a sample's timestamp says. A duplicate is not called late. */
export type Order = 'in_order' | 'late' | 'duplicate'

/** Float64s of a key's state, zeros at first. */
export const LATENESS_STATE_LENGTH = 3

/** The newest timestamp, and the sample before. */
const NEWEST = 0
const LAST_TIMESTAMP = 1
const LAST_VALUE = 2

/**
 * Says how a sample stands to those before it, and moves the state past it. Late is a timestamp before the newest one of the
 * key; a duplicate has timestamp and value of a sample in the window or of the one that came just before. Only a sample that is
 * not newer than all others can be one, so the window is searched for those alone. What was kept out of the window and was not
 * the last one is not known any more.
 *
 * A timestamp counts as no newer than its arrival: a device whose clock ran ahead once does not make all that follows late.
 */
export function stepOrder(states: Float64Array, at: number, history: History, sample: TimedSample): Order {
  const { timestamp, value, time } = sample
  const newest = states[at + NEWEST] as number
  let order: Order = 'in_order'
  if (timestamp <= newest) {
    const isRepeated = states[at + LAST_TIMESTAMP] === timestamp && states[at + LAST_VALUE] === value
    if (isRepeated || isInHistory(history, timestamp, value)) order = 'duplicate'
    else if (timestamp < newest) order = 'late'
  }
  states[at + NEWEST] = Math.max(newest, Math.min(timestamp, time))
  states[at + LAST_TIMESTAMP] = timestamp
  states[at + LAST_VALUE] = value
  return order
}

/** Whether a sample is analysed. */
export function isAnalysed(policy: OrderPolicy, order: Order): boolean {
  switch (order) {
    case 'in_order':
      return true
    case 'late':
      return !policy.refusesLate
    case 'duplicate':
      return !policy.dropsDuplicates
  }
}

function isInHistory({ rows, start, size }: History, timestamp: number, value: number): boolean {
  const end = start + size * HISTORY_STRIDE
  for (let i = start; i < end; i += HISTORY_STRIDE) {
    if (rows[i + 1] === timestamp && rows[i] === value) return true
  }
  return false
}
