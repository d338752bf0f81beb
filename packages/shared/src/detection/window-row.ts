import { bitCount } from './alerts/alert.ts'
import { DETECTOR_NAMES, type DetectorName } from './detectors/registry.ts'
import {
  COMMON_LENGTH,
  COUNT,
  detectorStateLength,
  type KeyRow,
  PUSHED,
  pushSample,
  type RowShape,
  rowShape,
  SILENT_LENGTH,
  STATE,
} from './key-row.ts'

/**
 * The format of a key's state in Redis: little-endian float64s
 *
 *     count, pushed, shape, state that is not 0 ..., detector's state ...,
 *     value 0, timestamp 0, value 1, timestamp 1, ...
 *
 * In a row (`tm:{p}:windows`) the pairs are the rings of key-row.ts; a window that is not full is
 * shorter. A tail (`tm:{p}:window_tails`) has the newest state and the pairs since the row was
 * written, oldest first. It is valid only while its `count` is greater than the row's. Most commits
 * write tails: a row is ten times as long. `shape` is an integer: a bit for each float64 of the
 * state that is not 0, whether that includes silence, the detector's number, the window's capacity.
 */
const SHAPE = 2
const HEADER = 3
/** Float64s of a sample. */
const PAIR = 2
const HAS_SILENCE = 2 ** 23
const DETECTOR = 2 ** 24
const DETECTORS_MAX = 256
/** Added to the number of a detector that learned rates. Version 0.1.0 starts such keys again. */
const OF_RATES = 128
const CAPACITY = 2 ** 32
const CAPACITY_MAX = 500

/** Returns the float64s of the longest stored row of a shape. */
export function storedLengthMax(shape: RowShape): number {
  return HEADER + shape.length - STATE
}

export interface StoredWindow {
  readonly row: Uint8Array
  readonly tail: Uint8Array | null
}

export interface WindowContent {
  readonly count: number
  readonly pushed: number
  /** `pushed` when the row was written. */
  readonly rowPushed: number
  readonly shape: RowShape
  /** The parts of a row as in key-row.ts: all state before the detector's, and the detector's. */
  readonly state: Float64Array
  readonly detectorState: Float64Array
  readonly values: readonly number[]
  /** Unix milliseconds, oldest first. */
  readonly timestamps: readonly number[]
}

/** Writes a whole row to `target` from `at`. Returns its end. */
export function encodeRow(row: KeyRow, target: Float64Array, at: number): number {
  const { rows, start, shape } = row
  const size = Math.min(rows[start + PUSHED] as number, shape.capacity)
  let end = encodeHead(row, target, at)
  for (let index = start; index < start + size; index++) {
    target[end++] = rows[index + shape.valuesAt] as number
    target[end++] = rows[index + shape.timesAt] as number
  }
  return end
}

/** Writes a tail with the newest `pairs` pairs to `target` from `at`. Returns its end. */
export function encodeTail(row: KeyRow, pairs: number, target: Float64Array, at: number): number {
  const { rows, start, shape } = row
  let end = encodeHead(row, target, at)
  const pushed = rows[start + PUSHED] as number
  for (let n = pushed - pairs; n < pushed; n++) {
    const index = start + (n % shape.capacity)
    target[end++] = rows[index + shape.valuesAt] as number
    target[end++] = rows[index + shape.timesAt] as number
  }
  return end
}

function encodeHead({ rows, start, shape }: KeyRow, target: Float64Array, at: number): number {
  target[at + COUNT] = rows[start + COUNT] as number
  target[at + PUSHED] = rows[start + PUSHED] as number
  let end = at + HEADER
  let mask = 0
  const length = shape.detectorAt - STATE
  for (let i = 0; i < length; i++) {
    const value = rows[start + STATE + i] as number
    if (value === 0) continue
    mask |= 1 << i
    target[end++] = value
  }
  for (let i = shape.detectorAt; i < shape.valuesAt; i++) target[end++] = rows[start + i] as number
  const silence = shape.hasSilence ? HAS_SILENCE : 0
  const detector = DETECTOR_NAMES.indexOf(shape.detector) + (shape.isOfRates ? OF_RATES : 0)
  target[at + SHAPE] = mask + silence + detector * DETECTOR + shape.capacity * CAPACITY
  return end
}

export function decodeWindow({ row, tail }: StoredWindow): WindowContent | undefined {
  const base = decode(row)
  if (base === undefined) return undefined
  const { count, pushed, shape, pairs } = base
  if (pairs !== Math.min(pushed, shape.capacity)) return undefined
  const values: number[] = []
  const timestamps: number[] = []
  for (let n = pushed - pairs; n < pushed; n++) {
    values.push(base.value(n % shape.capacity))
    timestamps.push(base.timestamp(n % shape.capacity))
  }
  const newer = tail === null ? undefined : decode(tail)
  const added = newer === undefined ? 0 : newer.pushed - pushed
  const follows =
    newer !== undefined && newer.shape === shape && newer.count > count && added >= 0 && added <= newer.pairs
  // Another tail is left over from before the row was written.
  const newest = follows ? newer : base
  if (follows) {
    for (let i = newer.pairs - added; i < newer.pairs; i++) {
      values.push(newer.value(i))
      timestamps.push(newer.timestamp(i))
    }
  }
  const dropped = Math.max(0, values.length - shape.capacity)
  const samples = { values: values.slice(dropped), timestamps: timestamps.slice(dropped) }
  return { count: newest.count, pushed: newest.pushed, rowPushed: pushed, shape, ...statesOf(newest), ...samples }
}

export function fillRow({ rows, start, shape }: KeyRow, content: WindowContent): void {
  rows.fill(0, start, start + shape.length)
  rows[start + COUNT] = content.count
  rows.set(content.state, start + STATE)
  rows.set(content.detectorState, start + shape.detectorAt)
  rows[start + PUSHED] = content.pushed - content.values.length
  for (const [i, value] of content.values.entries()) {
    pushSample({ rows, start, shape }, value, content.timestamps[i] as number)
  }
}

interface Decoded extends Pick<WindowContent, 'count' | 'pushed' | 'shape'> {
  readonly mask: number
  readonly pairs: number
  at(i: number): number
  value(pair: number): number
  timestamp(pair: number): number
}

function decode(bytes: Uint8Array): Decoded | undefined {
  const length = bytes.byteLength / 8
  if (!Number.isInteger(length) || length < HEADER) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const at = (i: number): number => view.getFloat64(8 * i, true)
  const count = at(COUNT)
  const pushed = at(PUSHED)
  const shaped = decodeShape(at(SHAPE))
  if (shaped === undefined || !(pushed >= 0) || !(count >= pushed)) return undefined
  const { shape, mask } = shaped
  const pairsAt = HEADER + bitCount(mask) + detectorStateLength(shape.detector)
  const pairs = (length - pairsAt) / PAIR
  if (!Number.isInteger(pairs) || pairs < 0 || pairs > Math.min(pushed, shape.capacity)) return undefined
  const value = (pair: number): number => at(pairsAt + PAIR * pair)
  const timestamp = (pair: number): number => at(pairsAt + PAIR * pair + 1)
  return { count, pushed, shape, mask, pairs, at, value, timestamp }
}

function decodeShape(word: number): { shape: RowShape; mask: number } | undefined {
  if (!Number.isSafeInteger(word) || word < 0) return undefined
  const capacity = Math.floor(word / CAPACITY)
  const detector = Math.floor(word / DETECTOR) % DETECTORS_MAX
  const name = DETECTOR_NAMES[detector % OF_RATES] as DetectorName | undefined
  const hasSilence = (word & HAS_SILENCE) !== 0
  const mask = word & (HAS_SILENCE - 1)
  const length = hasSilence ? SILENT_LENGTH : COMMON_LENGTH
  if (name === undefined || capacity < 1 || capacity > CAPACITY_MAX || mask >= 2 ** length) return undefined
  const shape = rowShape(capacity, name, hasSilence, detector >= OF_RATES)
  return shape.isOfRates === detector >= OF_RATES ? { shape, mask } : undefined
}

function statesOf({ shape, mask, at }: Decoded): Pick<WindowContent, 'state' | 'detectorState'> {
  const state = new Float64Array(shape.detectorAt - STATE)
  let next = HEADER
  for (let i = 0; i < state.length; i++) if ((mask & (1 << i)) !== 0) state[i] = at(next++)
  const detectorState = new Float64Array(shape.valuesAt - shape.detectorAt)
  for (let i = 0; i < detectorState.length; i++) detectorState[i] = at(next++)
  return { state, detectorState }
}
