import { GUARD_MEMORY_LENGTH, learnValue, learnValues, setLearnedTo, unlearnedSamples } from './alerts/guard-memory.ts'
import { isSilent, SILENCE_STATE_LENGTH } from './alerts/silence.ts'
import { ALERT_STATE_LENGTH, clearCandidates } from './alerts/state.ts'
import { CounterRates } from './detectors/counter.ts'
import { createHistory, type History } from './detectors/detector.ts'
import { createSlab, type RowSlab } from './detectors/places.ts'
import { createDetector, DETECTOR_NAMES, type DetectorName } from './detectors/registry.ts'
import { HYGIENE_STATE_LENGTH } from './hygiene.ts'
import { ORDER_STATE_LENGTH } from './order.ts'

/**
 * All state of a key, as the float64s of one row in a slab of the caller:
 *
 *     count, pushed, order, hygiene, alert, timer, [silence], detector's state,
 *     value 0, value 1, ..., timestamp 0, timestamp 1, ...
 *
 * `count` numbers the key's samples ever analysed, `pushed` the values added to the window since it
 * began. Values and timestamps are rings of one capacity: element n is at n % capacity. Except for
 * the detector's state, a row of zeros is a new key.
 *
 * The memory of the guard (alerts/guard-memory.ts) is elsewhere in the slab: few samples need it,
 * and it would make the way from row to row longer.
 */
export const COUNT = 0
export const PUSHED = 1
export const STATE = 2

/** Offsets within a row. */
export const ORDER = STATE
export const HYGIENE = ORDER + ORDER_STATE_LENGTH
export const ALERT = HYGIENE + HYGIENE_STATE_LENGTH
/** The key's timer as it was last scheduled: Unix milliseconds; 0 for none. */
export const TIMER = ALERT + ALERT_STATE_LENGTH
export const SILENCE = TIMER + 1

/** Float64s from STATE to the detector's state, without and with those of silence. */
export const COMMON_LENGTH = SILENCE - STATE
export const SILENT_LENGTH = COMMON_LENGTH + SILENCE_STATE_LENGTH

/** What the guard's memory holds (alerts/guard-memory.ts), if there is one. */
export type MemoryKind = 'none' | 'values' | 'rates'

export interface RowShape {
  readonly capacity: number
  readonly detector: DetectorName
  readonly hasSilence: boolean
  /** Whether the detector's state was learned from the rates of a counter. */
  readonly isOfRates: boolean
  readonly memory: MemoryKind
  /** The offsets of the detector's state, the values and the timestamps. */
  readonly detectorAt: number
  readonly valuesAt: number
  readonly timesAt: number
  readonly length: number
}

const shapes = new Map<string, RowShape>()

/** The detectors whose state holds nothing of values: only a hint, or nothing at all. */
const STATELESS: readonly DetectorName[] = ['zscore', 'mad']

/** Returns a layout, the same object for equal arguments. */
export function rowShape(
  capacity: number,
  detector: DetectorName,
  hasSilence: boolean,
  isCounter = false,
  memory: MemoryKind = 'none',
): RowShape {
  const isOfRates = isCounter && !STATELESS.includes(detector)
  const name = `${capacity} ${detector} ${hasSilence} ${isOfRates} ${memory}`
  const known = shapes.get(name)
  if (known !== undefined) return known
  const detectorAt = STATE + (hasSilence ? SILENT_LENGTH : COMMON_LENGTH)
  const valuesAt = detectorAt + detectorStateLength(detector)
  const timesAt = valuesAt + capacity
  const kinds = { capacity, detector, hasSilence, isOfRates, memory }
  const shape = { ...kinds, detectorAt, valuesAt, timesAt, length: timesAt + capacity }
  shapes.set(name, shape)
  return shape
}

/** Returns a shape with another memory of the guard. */
export function withMemory(shape: RowShape, memory: MemoryKind): RowShape {
  const { capacity, detector, hasSilence, isOfRates } = shape
  return rowShape(capacity, detector, hasSilence, isOfRates, memory)
}

const prototypes = new Map(DETECTOR_NAMES.map(name => [name, createDetector(name)]))

/** Returns the float64s of a detector's state, which do not depend on its settings. */
export function detectorStateLength(name: DetectorName): number {
  return prototypes.get(name)?.stateLength ?? 0
}

/** A reference to a row in a slab. Reused from one row to the next. */
export interface KeyRow {
  /** The slab, and its float64s. */
  slab: RowSlab
  rows: Float64Array
  start: number
  /** Where the guard's memory begins, if the shape has one. */
  memoryStart: number
  shape: RowShape
}

/** Returns the float64s of the guard's memory. */
export function memoryLength({ memory }: RowShape): number {
  return memory === 'none' ? 0 : GUARD_MEMORY_LENGTH
}

export function createRow(shape: RowShape): KeyRow {
  const slab = createSlab(shape.length + memoryLength(shape))
  const row = { slab, rows: slab.rows, start: 0, memoryStart: shape.length, shape }
  startDetector(row)
  return row
}

/** Makes a row all zeros. */
export function clearRow({ rows, start, memoryStart, shape }: KeyRow): void {
  rows.fill(0, start, start + shape.length)
  rows.fill(0, memoryStart, memoryStart + memoryLength(shape))
}

export function startDetector({ slab, start, shape }: KeyRow): void {
  prototypes.get(shape.detector)?.start(slab, start + shape.detectorAt)
}

/** Points `history` at the samples of a row's window. */
export function readHistory({ rows, start, shape }: KeyRow, history: History): void {
  const pushed = rows[start + PUSHED] as number
  const isFull = pushed > shape.capacity
  history.rows = rows
  history.start = start + shape.valuesAt
  history.times = start + shape.timesAt
  history.size = isFull ? shape.capacity : pushed
  history.head = isFull ? pushed % shape.capacity : 0
}

/** Adds a sample to a row's window. A full window drops its oldest sample. */
export function pushSample({ rows, start, shape }: KeyRow, value: number, timestamp: number): void {
  const pushed = rows[start + PUSHED] as number
  const index = start + (pushed % shape.capacity)
  rows[index + shape.valuesAt] = value
  rows[index + shape.timesAt] = timestamp
  rows[start + PUSHED] = pushed + 1
}

/** The parts of a policy that a row's layout depends on. */
interface ShapingPolicy {
  readonly window: number
  readonly detector: DetectorName
  readonly silence: object | null
  readonly isCounter: boolean
  readonly guard: 'memory' | 'detector' | null
}

/** Returns a new key's layout under a policy. */
export function shapeOf(policy: ShapingPolicy): RowShape {
  return shapeUnder(policy, policy.silence !== null)
}

/** Returns a key's layout under a policy. A silent key's state is kept until a sample arrives. */
export function shapeFor({ rows, start, shape }: KeyRow, policy: ShapingPolicy): RowShape {
  return shapeUnder(policy, policy.silence !== null || (shape.hasSilence && isSilent(rows, start + SILENCE)))
}

function shapeUnder({ window, detector, isCounter, guard }: ShapingPolicy, hasSilence: boolean): RowShape {
  const memory = guard !== 'memory' ? 'none' : isCounter ? 'rates' : 'values'
  return rowShape(window, detector, hasSilence, isCounter, memory)
}

/** Copies as much as another shape holds, and initialises the state of another detector. */
export function copyRow(from: KeyRow, to: KeyRow): void {
  const { rows, start, shape } = to
  clearRow(to)
  rows[start + COUNT] = from.rows[from.start + COUNT] as number
  const common = from.shape.hasSilence && shape.hasSilence ? SILENT_LENGTH : COMMON_LENGTH
  rows.set(from.rows.subarray(from.start + STATE, from.start + STATE + common), start + STATE)
  if (from.shape.detector === shape.detector && from.shape.isOfRates === shape.isOfRates) {
    const state = from.rows.subarray(from.start + from.shape.detectorAt, from.start + from.shape.valuesAt)
    rows.set(state, start + shape.detectorAt)
  } else {
    startDetector(to)
  }
  const isNewMemory = shape.memory !== 'none' && shape.memory !== from.shape.memory
  if (shape.memory !== from.shape.memory) clearCandidates(rows, start + ALERT)
  if (!isNewMemory && shape.memory !== 'none') {
    if (shape.memory === 'values') learnPending(from)
    rows.set(from.rows.subarray(from.memoryStart, from.memoryStart + GUARD_MEMORY_LENGTH), to.memoryStart)
  }
  const pushed = from.rows[from.start + PUSHED] as number
  const size = Math.min(pushed, from.shape.capacity)
  const kept = Math.min(size, shape.capacity)
  // In a window of the same capacity each value keeps its index: it is the same window.
  rows[start + PUSHED] = from.shape.capacity === shape.capacity ? pushed - kept : 0
  // A new memory learns all of the previous window: of a young key, these are all samples.
  const first = isNewMemory && shape.memory === 'values' ? pushed - size : pushed - kept
  for (let n = first; n < pushed; n++) {
    const index = from.start + (n % from.shape.capacity)
    const value = from.rows[index + from.shape.valuesAt] as number
    if (n < pushed - kept) {
      learnScored(to, value)
      continue
    }
    const timestamp = from.rows[index + from.shape.timesAt] as number
    if (isNewMemory) learnSample(to, value, timestamp)
    pushSample(to, value, timestamp)
  }
  if (shape.memory !== 'none') setLearnedTo(to.slab, to.memoryStart, rows[start + PUSHED] as number)
}

const replayed = createHistory()
const replayedRates = new CounterRates()

/** Lets the guard's memory learn a sample that the row's window is about to get. */
export function learnSample(row: KeyRow, value: number, timestamp: number): void {
  let scored = value
  if (row.shape.memory === 'rates') {
    readHistory(row, replayed)
    scored = replayedRates.read(replayed, value, timestamp)
  }
  learnScored(row, scored)
}

/** The same, with what is scored of the sample: NaN for a rate that is unknown. */
export function learnScored({ slab, rows, start, memoryStart: at }: KeyRow, scored: number): void {
  if (!Number.isNaN(scored)) learnValue(slab, at, scored)
  setLearnedTo(slab, at, (rows[start + PUSHED] as number) + 1)
}

/** Values are learned by so many at once, a power of two: the key's memory is far away. */
const LEARNED_TOGETHER = 8

/** Lets the guard's memory learn the values in the window that it has not yet, when it is time. */
export function learnSometimes(row: KeyRow): void {
  const pushed = row.rows[row.start + PUSHED] as number
  if ((pushed & (LEARNED_TOGETHER - 1)) === 0 || row.shape.capacity < LEARNED_TOGETHER) learnPending(row)
}

/** Lets the guard's memory learn all values in the window that it has not yet. */
export function learnPending({ slab, rows, start, memoryStart: at, shape }: KeyRow): void {
  const { capacity, valuesAt } = shape
  const pushed = rows[start + PUSHED] as number
  const size = unlearnedSamples(slab, at, pushed)
  if (size === 0) return
  learnValues(slab, at, { rows, first: start + valuesAt, capacity, from: (pushed - size) % capacity, size })
  setLearnedTo(slab, at, pushed)
}

/** Begins the window again. */
export function clearWindow(row: KeyRow): void {
  const { slab, rows, start, memoryStart, shape } = row
  if (shape.memory === 'values') learnPending(row)
  rows[start + PUSHED] = 0
  if (shape.memory !== 'none') setLearnedTo(slab, memoryStart, 0)
}
