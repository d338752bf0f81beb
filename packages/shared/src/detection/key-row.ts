import { ALERT_STATE_LENGTH } from './alerts/alert.ts'
import { isSilent, SILENCE_STATE_LENGTH } from './alerts/silence.ts'
import type { History } from './detectors/detector.ts'
import { createDetector, DETECTOR_NAMES, type DetectorName } from './detectors/registry.ts'
import { HYGIENE_STATE_LENGTH } from './hygiene.ts'
import { LATENESS_STATE_LENGTH } from './order.ts'

/**
 * What is known of a key, as float64s of one row in a slab of the caller:
 *
 *     count, pushed, order, hygiene, alert, due, [silence], detector's state, value 0, value 1, ..., timestamp 0, ...
 *
 * `count` is the samples of the key ever analysed, `pushed` the values put into the window since it began. Values and
 * timestamps are two rings of the same capacity: number n stands at n % capacity. A row of zeros is a new key, but for the detector's state.
 */
export const COUNT = 0
export const PUSHED = 1
export const STATE = 2

/** Places within the row. */
export const ORDER = STATE
export const HYGIENE = ORDER + LATENESS_STATE_LENGTH
export const ALERT = HYGIENE + HYGIENE_STATE_LENGTH
/** When the key is to be looked at though no sample comes, as its owner was told; 0 for never. */
export const DUE = ALERT + ALERT_STATE_LENGTH
export const SILENCE = DUE + 1

/** Float64s before the detector's state, without those of silence and with them. */
export const COMMON_LENGTH = SILENCE - STATE
export const SILENT_LENGTH = COMMON_LENGTH + SILENCE_STATE_LENGTH

/** How a row is laid out: by the policy that judges its key. */
export interface RowShape {
  /** Samples in a full window. */
  readonly capacity: number
  readonly detector: DetectorName
  readonly hasSilence: boolean
  /** Where the detector's state, the values and the timestamps begin. */
  readonly detectorAt: number
  readonly valuesAt: number
  readonly timesAt: number
  /** Float64s of a row. */
  readonly length: number
}

const shapes = new Map<string, RowShape>()

/** Equal arguments give the same shape. There are at most as many as windows, detectors and two allow. */
export function rowShape(capacity: number, detector: DetectorName, hasSilence: boolean): RowShape {
  const name = `${capacity} ${detector} ${hasSilence}`
  const known = shapes.get(name)
  if (known !== undefined) return known
  const detectorAt = STATE + (hasSilence ? SILENT_LENGTH : COMMON_LENGTH)
  const valuesAt = detectorAt + detectorStateLength(detector)
  const timesAt = valuesAt + capacity
  const shape = { capacity, detector, hasSilence, detectorAt, valuesAt, timesAt, length: timesAt + capacity }
  shapes.set(name, shape)
  return shape
}

const prototypes = new Map(DETECTOR_NAMES.map(name => [name, createDetector(name)]))

/** Float64s of a detector's state; its settings do not change that. */
export function detectorStateLength(name: DetectorName): number {
  return prototypes.get(name)?.stateLength ?? 0
}

/** A row where it stands; moved from one to the next. */
export interface KeyRow {
  rows: Float64Array
  start: number
  shape: RowShape
}

/** A new key's row of its own. */
export function createRow(shape: RowShape): KeyRow {
  const row = { rows: new Float64Array(shape.length), start: 0, shape }
  startDetector(row)
  return row
}

/** Begins the state of a row's detector. */
export function startDetector({ rows, start, shape }: KeyRow): void {
  prototypes.get(shape.detector)?.start(rows, start + shape.detectorAt)
}

/** The samples in a row's window. */
export function readHistory({ rows, start, shape }: KeyRow, history: History): void {
  const pushed = rows[start + PUSHED] as number
  const isFull = pushed > shape.capacity
  history.rows = rows
  history.start = start + shape.valuesAt
  history.times = start + shape.timesAt
  history.size = isFull ? shape.capacity : pushed
  history.head = isFull ? pushed % shape.capacity : 0
}

/** Puts a sample into a row's window; the oldest leaves a full one. */
export function pushSample({ rows, start, shape }: KeyRow, value: number, timestamp: number): void {
  const pushed = rows[start + PUSHED] as number
  const place = start + (pushed % shape.capacity)
  rows[place + shape.valuesAt] = value
  rows[place + shape.timesAt] = timestamp
  rows[start + PUSHED] = pushed + 1
}

/** The shape that a key's row must have under a policy. What is known of a silence stays until the key was heard. */
export function shapeFor(
  row: KeyRow,
  policy: { window: number; detector: DetectorName; silence: object | null },
): RowShape {
  const { rows, start, shape } = row
  const hasSilence = policy.silence !== null || (shape.hasSilence && isSilent(rows, start + SILENCE))
  return rowShape(policy.window, policy.detector, hasSilence)
}

/**
 * Writes a row into one of another shape: as much of the window as fits, and the detector's state if it is of the same
 * detector; another one begins.
 */
export function copyRow(from: KeyRow, to: KeyRow): void {
  const { rows, start, shape } = to
  rows.fill(0, start, start + shape.length)
  rows[start + COUNT] = from.rows[from.start + COUNT] as number
  const common = from.shape.hasSilence && shape.hasSilence ? SILENT_LENGTH : COMMON_LENGTH
  rows.set(from.rows.subarray(from.start + STATE, from.start + STATE + common), start + STATE)
  if (from.shape.detector === shape.detector) {
    const state = from.rows.subarray(from.start + from.shape.detectorAt, from.start + from.shape.valuesAt)
    rows.set(state, start + shape.detectorAt)
  } else {
    startDetector(to)
  }
  const pushed = from.rows[from.start + PUSHED] as number
  const size = Math.min(pushed, from.shape.capacity)
  const kept = Math.min(size, shape.capacity)
  // In a window of the same size each value keeps its place: it is the same window.
  rows[start + PUSHED] = from.shape.capacity === shape.capacity ? pushed - kept : 0
  for (let n = pushed - kept; n < pushed; n++) {
    const place = from.start + (n % from.shape.capacity)
    const timestamp = from.rows[place + from.shape.timesAt] as number
    pushSample(to, from.rows[place + from.shape.valuesAt] as number, timestamp)
  }
}
