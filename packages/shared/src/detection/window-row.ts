import { bitCount } from './alerts/alert.ts'
import { learnedSamples, unlearnedSamples } from './alerts/guard-memory.ts'
import { hasCandidates } from './alerts/state.ts'
import type { DetectorName } from './detectors/registry.ts'
import {
  ALERT,
  COMMON_LENGTH,
  COUNT,
  clearRow,
  detectorStateLength,
  type KeyRow,
  learnSample,
  type MemoryKind,
  memoryLength,
  PUSHED,
  pushSample,
  type RowShape,
  rowShape,
  SILENT_LENGTH,
  STATE,
  withMemory,
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
 *
 * The guard's memory of a key is stored beside its row:
 *
 *     count and pushed of what it has learned, 1 for values or 2 for rates, memory
 *
 * It is brought up to date by learning the samples since again, which the row still has: it is
 * written with every third row or so. One that does not fit the row is void, and without one a
 * memory begins with the samples in the window. Version 0.1.0 neither reads nor changes it.
 *
 * There too, with each row and tail, is the state of a detector that 0.1.0 does not know:
 *
 *     count, pushed, number of the detector (see BESIDE), detector's state
 *
 * The row is then one with the z-score, so that 0.1.0 goes on with its window, count and alert.
 */
const SHAPE = 2
const HEADER = 3
/** Float64s of a sample. */
const PAIR = 2
const HAS_SILENCE = 2 ** 23
const DETECTOR = 2 ** 24
const DETECTORS_MAX = 256
/** By number. Number 5 was the first habit: its keys keep everything but its state. */
const DETECTOR_NUMBERS: readonly DetectorName[] = ['zscore', 'ewma', 'mad', 'range', 'novelty']
const FIRST_HABIT = { number: 5, stateLength: 189 }
/** By what follows the first number of such detectors: those whose state is beside the row. */
const DETECTORS_BESIDE: readonly DetectorName[] = ['habit', 'step']
const BESIDE = 16
/** Added to the number of a detector that learned rates. Version 0.1.0 starts such keys again. */
const OF_RATES = 128
const CAPACITY = 2 ** 32
const CAPACITY_MAX = 500

/** Whether the detector's state is stored beside the row, with each row and tail. */
export function hasStateBeside({ detector }: RowShape): boolean {
  return DETECTORS_BESIDE.includes(detector)
}

/** Returns the float64s of the longest stored row of a shape. */
export function storedLengthMax(shape: RowShape): number {
  return HEADER + shape.length - STATE
}

export interface StoredWindow {
  readonly row: Uint8Array
  readonly tail: Uint8Array | null
  /** The guard's memory as it was last stored. */
  readonly memory?: Uint8Array | null
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
  /** The samples of the row whose places those of the tail have taken. */
  readonly displaced: Pick<WindowContent, 'values' | 'timestamps'>
  /** The guard's memory, and `pushed` when it was stored; null where there is none. */
  readonly memory: { readonly kind: MemoryKind; readonly pushed: number; readonly bytes: Uint8Array } | null
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

const MEMORY_HEADER = 3
const MEMORY_KINDS: readonly MemoryKind[] = ['none', 'values', 'rates']

/** Returns the float64s of what is stored beside a row of a shape at most. */
export function storedMemoryLength(shape: RowShape): number {
  return MEMORY_HEADER + memoryLength(shape) + (hasStateBeside(shape) ? detectorStateLength(shape.detector) : 0)
}

/** A stored memory is at most so many samples older than its row, if that has so many. */
const MEMORY_LAG_MAX = 64

/** Returns how many samples older than the row a stored memory may be. Rates need all before. */
function memoryLagMax({ capacity, memory }: Pick<RowShape, 'capacity' | 'memory'>): number {
  return memory === 'rates' ? 0 : Math.min(capacity, MEMORY_LAG_MAX)
}

/**
 * Whether what is beside the row must be stored with it. `storedAt` is `learnedTo` when it was last
 * stored; negative if it was not, or if the window began again since.
 */
export function mustStoreMemory(row: KeyRow, storedAt: number): boolean {
  const { slab, rows, start, memoryStart, shape } = row
  if (shape.memory === 'none') return hasStateBeside(shape)
  const pushed = rows[start + PUSHED] as number
  if (storedAt >= 0) return pushed < storedAt || pushed - storedAt > memoryLagMax(shape)
  // The window of a new key still has all of its samples, but not what followed from them.
  if (pushed >= shape.capacity || hasCandidates(rows, start + ALERT)) return true
  return learnedSamples(slab, memoryStart) !== learnedTo(row)
}

/** Returns how many of the samples ever added to the window the guard's memory has learned. */
export function learnedTo({ slab, rows, start, memoryStart, shape }: KeyRow): number {
  const pushed = rows[start + PUSHED] as number
  if (shape.memory === 'none') return pushed
  return pushed - unlearnedSamples(slab, memoryStart, pushed)
}

/** Writes what is stored beside the row to `target` from `at`. Returns its end. */
export function encodeMemory(row: KeyRow, target: Float64Array, at: number): number {
  const { rows, start, memoryStart, shape } = row
  const learned = learnedTo(row)
  target[at] = (rows[start + COUNT] as number) - ((rows[start + PUSHED] as number) - learned)
  target[at + 1] = learned
  // Not number by number: a memory is bytes, some of which look like a NaN.
  if (hasStateBeside(shape)) {
    target[at + 2] = BESIDE + 2 * DETECTORS_BESIDE.indexOf(shape.detector) + (shape.isOfRates ? 1 : 0)
    target.set(rows.subarray(start + shape.detectorAt, start + shape.valuesAt), at + MEMORY_HEADER)
  } else {
    target[at + 2] = MEMORY_KINDS.indexOf(shape.memory)
    target.set(rows.subarray(memoryStart, memoryStart + memoryLength(shape)), at + MEMORY_HEADER)
  }
  return at + storedMemoryLength(shape)
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
  const isBeside = hasStateBeside(shape)
  if (shape.valuesAt > shape.detectorAt && !isBeside) {
    target.set(rows.subarray(start + shape.detectorAt, start + shape.valuesAt), end)
    end += shape.valuesAt - shape.detectorAt
  }
  const silence = shape.hasSilence ? HAS_SILENCE : 0
  const detector = isBeside ? 0 : DETECTOR_NUMBERS.indexOf(shape.detector) + (shape.isOfRates ? OF_RATES : 0)
  target[at + SHAPE] = mask + silence + detector * DETECTOR + shape.capacity * CAPACITY
  return end
}

export function decodeWindow({ row, tail, memory }: StoredWindow): WindowContent | undefined {
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
  const learned = memory ? decodeMemory(memory, base) : null
  const beside = memory ? decodeBeside(memory, newest) : null
  return {
    count: newest.count,
    pushed: newest.pushed,
    rowPushed: pushed,
    shape: beside?.shape ?? withMemory(shape, learned?.kind ?? 'none'),
    ...statesOf(newest),
    ...(beside === null ? {} : { detectorState: beside.state }),
    values: values.slice(dropped),
    timestamps: timestamps.slice(dropped),
    displaced: { values: values.slice(0, dropped), timestamps: timestamps.slice(0, dropped) },
    memory: learned,
  }
}

/** Returns null where the samples since are not all in the row. */
function decodeMemory(stored: Uint8Array, { count, pushed, shape }: Decoded): WindowContent['memory'] {
  const at = numbersOf(stored)
  const kind = stored.byteLength < 8 * MEMORY_HEADER ? 'none' : (MEMORY_KINDS[at(2)] ?? 'none')
  if (kind === 'none' || stored.byteLength !== 8 * storedMemoryLength(withMemory(shape, kind))) return null
  const lag = pushed - at(1)
  const fits = lag >= 0 && lag <= memoryLagMax({ capacity: shape.capacity, memory: kind }) && count - at(0) >= lag
  return fits ? { kind, pushed: at(1), bytes: stored.subarray(8 * MEMORY_HEADER) } : null
}

/** Returns null where 0.1.0 has scored samples since: the detector then starts again. */
function decodeBeside(
  stored: Uint8Array,
  { count, pushed, shape }: Decoded,
): { readonly shape: RowShape; readonly state: Float64Array } | null {
  if (stored.byteLength < 8 * MEMORY_HEADER || shape.detector !== 'zscore') return null
  const at = numbersOf(stored)
  const number = at(2) - BESIDE
  const detector = DETECTORS_BESIDE[Math.floor(number / 2)]
  if (detector === undefined || at(0) !== count || at(1) !== pushed) return null
  const own = rowShape(shape.capacity, detector, shape.hasSilence, number % 2 === 1)
  if (stored.byteLength !== 8 * storedMemoryLength(own)) return null
  const state = new Float64Array(own.valuesAt - own.detectorAt)
  new Uint8Array(state.buffer).set(stored.subarray(8 * MEMORY_HEADER))
  return { shape: own, state }
}

function numbersOf({ buffer, byteOffset, byteLength }: Uint8Array): (i: number) => number {
  const view = new DataView(buffer, byteOffset, byteLength)
  return i => view.getFloat64(8 * i, true)
}

export function fillRow(row: KeyRow, content: WindowContent): void {
  const { slab, rows, start, memoryStart, shape } = row
  const { displaced, memory, values, pushed } = content
  clearRow(row)
  rows[start + COUNT] = content.count
  rows.set(content.state, start + STATE)
  rows.set(content.detectorState, start + shape.detectorAt)
  rows[start + PUSHED] = pushed - values.length
  if (memory !== null) {
    new Uint8Array(slab.rows.buffer).set(memory.bytes, 8 * memoryStart)
    rows[start + PUSHED] = pushed - values.length - displaced.values.length
    pushSamples(row, displaced, memory.pushed)
  }
  pushSamples(row, content, memory?.pushed ?? Number.POSITIVE_INFINITY)
}

/** Adds samples to a row's window. The guard's memory learns those from number `learnedFrom` on. */
function pushSamples(
  row: KeyRow,
  { values, timestamps }: Pick<WindowContent, 'values' | 'timestamps'>,
  learnedFrom: number,
): void {
  const first = row.rows[row.start + PUSHED] as number
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    const timestamp = timestamps[i] as number
    if (first + i >= learnedFrom) learnSample(row, value, timestamp)
    pushSample(row, value, timestamp)
  }
}

interface Decoded extends Pick<WindowContent, 'count' | 'pushed' | 'shape'> {
  readonly mask: number
  readonly pairs: number
  readonly bytes: Uint8Array
  at(i: number): number
  value(pair: number): number
  timestamp(pair: number): number
}

function decode(bytes: Uint8Array): Decoded | undefined {
  const length = bytes.byteLength / 8
  if (!Number.isInteger(length) || length < HEADER) return undefined
  const at = numbersOf(bytes)
  const count = at(COUNT)
  const pushed = at(PUSHED)
  const shaped = decodeShape(at(SHAPE))
  if (shaped === undefined || !(pushed >= 0) || !(count >= pushed)) return undefined
  const { shape, mask, stateLength } = shaped
  const pairsAt = HEADER + bitCount(mask) + stateLength
  const pairs = (length - pairsAt) / PAIR
  if (!Number.isInteger(pairs) || pairs < 0 || pairs > Math.min(pushed, shape.capacity)) return undefined
  const value = (pair: number): number => at(pairsAt + PAIR * pair)
  const timestamp = (pair: number): number => at(pairsAt + PAIR * pair + 1)
  return { count, pushed, shape, mask, pairs, bytes, at, value, timestamp }
}

function decodeShape(word: number): { shape: RowShape; mask: number; stateLength: number } | undefined {
  if (!Number.isSafeInteger(word) || word < 0) return undefined
  const capacity = Math.floor(word / CAPACITY)
  const detector = Math.floor(word / DETECTOR) % DETECTORS_MAX
  const number = detector % OF_RATES
  const isFirstHabit = number === FIRST_HABIT.number
  const name = isFirstHabit ? 'zscore' : DETECTOR_NUMBERS[number]
  const hasSilence = (word & HAS_SILENCE) !== 0
  const mask = word & (HAS_SILENCE - 1)
  const length = hasSilence ? SILENT_LENGTH : COMMON_LENGTH
  if (name === undefined || capacity < 1 || capacity > CAPACITY_MAX || mask >= 2 ** length) return undefined
  const shape = rowShape(capacity, name, hasSilence, detector >= OF_RATES)
  if (isFirstHabit) return { shape, mask, stateLength: FIRST_HABIT.stateLength }
  return shape.isOfRates === detector >= OF_RATES ? { shape, mask, stateLength: detectorStateLength(name) } : undefined
}

function statesOf({ shape, mask, at, bytes }: Decoded): Pick<WindowContent, 'state' | 'detectorState'> {
  const state = new Float64Array(shape.detectorAt - STATE)
  let next = HEADER
  for (let i = 0; i < state.length; i++) if ((mask & (1 << i)) !== 0) state[i] = at(next++)
  const detectorState = new Float64Array(shape.valuesAt - shape.detectorAt)
  new Uint8Array(detectorState.buffer).set(bytes.subarray(8 * next, 8 * (next + detectorState.length)))
  return { state, detectorState }
}
