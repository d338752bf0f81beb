import { createJudgement, type Detector, type History } from '@tidemark/shared/detection/detectors/detector'
import { createSlab, type RowSlab } from '@tidemark/shared/detection/detectors/places'
import fc from 'fast-check'

/** A detector's result for one sample. */
export interface Verdict {
  readonly score: number
  readonly low: number
  readonly high: number
  readonly spread: number
}

/** Fills a slab around a key's own elements, which must not be changed. */
const OTHERS = 123.456

/** One key of many: its state and its history are parts of slabs, between those of other keys. */
export class Series {
  readonly #detector: Detector
  readonly #window: number
  readonly #slab: RowSlab
  readonly #states: Float64Array
  readonly #at: number
  readonly #history: History
  readonly #judgement = createJudgement()
  #pushed = 0

  constructor(detector: Detector, { window = 50, at = 7 }: { window?: number; at?: number } = {}) {
    this.#detector = detector
    this.#window = window
    this.#at = at
    this.#slab = createSlab(at + detector.stateLength + 3)
    this.#states = this.#slab.rows.fill(OTHERS)
    detector.start(this.#slab, at)
    const rows = new Float64Array(at + 2 * window + 3).fill(OTHERS)
    this.#history = { rows, start: at, times: at + window, size: 0, head: 0 }
  }

  judge(value: number): Verdict {
    this.#detector.judge(this.#history, this.#slab, this.#at, value, this.#judgement)
    const { score, low, high, spread } = this.#judgement
    return { score, low, high, spread }
  }

  next(value: number): Verdict {
    const verdict = this.judge(value)
    this.#detector.learn(this.#slab, this.#at, value, this.#judgement)
    const place = this.#pushed % this.#window
    this.#history.rows[this.#history.start + place] = value
    this.#history.rows[this.#history.times + place] = this.#pushed
    this.#pushed++
    this.#history.size = Math.min(this.#pushed, this.#window)
    this.#history.head = this.#pushed > this.#window ? this.#pushed % this.#window : 0
    return verdict
  }

  /** Returns the same key at another offset: only the bytes of its state and window are copied. */
  movedTo(at: number): Series {
    const moved = new Series(this.#detector, { window: this.#window, at })
    moved.#states.set(copied(this.#states.subarray(this.#at, this.#at + this.#detector.stateLength)), at)
    const { start, size, head } = this.#history
    const window = this.#window
    moved.#history.rows.set(copied(this.#history.rows.subarray(start, start + 2 * window)), at)
    Object.assign(moved.#history, { size, head })
    moved.#pushed = this.#pushed
    return moved
  }

  /** Returns the bytes of the state. */
  state(): Uint8Array {
    return new Uint8Array(copied(this.#states.subarray(this.#at, this.#at + this.#detector.stateLength)).buffer)
  }

  /** Whether only the key's own elements were written. */
  isContained(): boolean {
    const stateEnd = this.#at + this.#detector.stateLength
    const { rows, start } = this.#history
    const rowEnd = start + 2 * this.#window
    const around = [this.#states.subarray(0, this.#at), this.#states.subarray(stateEnd), rows.subarray(0, start)]
    return [...around, rows.subarray(rowEnd)].every(others => others.every(number => number === OTHERS))
  }
}

function copied(numbers: Float64Array): Float64Array {
  return new Float64Array(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength).slice().buffer)
}

export function verdictsOf(detector: Detector, values: readonly number[], window = 50): Verdict[] {
  const series = new Series(detector, { window })
  return values.map(value => series.next(value))
}

export function scoresOf(detector: Detector, values: readonly number[], window = 50): number[] {
  return verdictsOf(detector, values, window).map(({ score }) => score)
}

/** Returns the values before index `n`, as many as the window holds. */
export function windowBefore(values: readonly number[], n: number, window = 50): number[] {
  return values.slice(Math.max(0, n - window), n)
}

// The gateway converts -0 to 0, and rejects values beyond 1e300.
const anyValue = fc.double({ noNaN: true, min: -1e300, max: 1e300 }).map(value => value + 0)
const level = fc.double({ noNaN: true, min: -100, max: 100 }).map(value => value + 0)

/** Series of different stretches: flat, of few values, noisy, of any size. */
export const anySeries = fc
  .array(
    fc.oneof(
      fc.tuple(anyValue, fc.nat(60)).map(([value, length]) => Array.from({ length }, () => value)),
      fc.array(fc.integer({ min: -3, max: 3 }), { maxLength: 80 }),
      fc.tuple(level, fc.array(level, { maxLength: 80 })).map(([by, values]) => values.map(value => by + value / 50)),
      fc.array(anyValue, { maxLength: 30 }),
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map(stretches => stretches.flat())
