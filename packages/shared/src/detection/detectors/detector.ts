import { isBeyond } from '../../verdict/analysis.ts'

/** A score never goes beyond this: it is also the score of a value that leaves what never varied. As `Z_CAP`. */
export const SCORE_CAP = 1e6

/** A spread of a few units in the last place of the values is rounding, not variation; as in analysis.ts. */
export const FLAT_ULPS = 4

/**
 * A key's samples before the present one, as they stand in a row: two rings of `size`, the oldest being number `head` of both.
 * Values stand together because every sample reads all of them, and hardly one the timestamps.
 */
export interface History {
  /** A slab that holds the rows of many keys. */
  rows: Float64Array
  /** Where the first value stands, and where the first timestamp. */
  start: number
  times: number
  size: number
  head: number
}

/**
 * What a detector says of a sample. `score` is how many spreads the value lies outside of [low, high], or less where the
 * detector holds it back; NaN while it has seen too little. All of it is overwritten by the next call.
 */
export interface Judgement {
  score: number
  /** The values whose score is 0 lie between these two; for most detectors they are one value, the centre. */
  low: number
  high: number
  /** How much further out a score of 1 lies. */
  spread: number
  /** What `judge` leaves for `learn`: the detector's own affair. */
  readonly notes: Float64Array
}

const NOTES_LENGTH = 4

/**
 * Scores samples of one kind of signal. A detector itself holds nothing but its settings: what it knows of a key are
 * `stateLength` float64s in a slab of the caller, from `at` on, so that they are stored with the key's window as bytes and
 * come back bit for bit. It allocates nothing for a sample.
 */
export interface Detector {
  readonly name: string
  /** Float64s of a key. */
  readonly stateLength: number
  /** A sample with a score beyond this is an anomaly, unless a rule says otherwise. */
  readonly threshold: number
  /** Whether it reads the samples in the history; otherwise it may be given an empty one. */
  readonly usesHistory: boolean
  /** Begins a key's state. */
  start(states: Float64Array, at: number): void
  /** Scores a value by what was before it, and changes nothing but `judgement`. */
  judge(
    history: History,
    states: Float64Array,
    at: number,
    value: number,
    timestamp: number,
    judgement: Judgement,
  ): void
  /**
   * Moves the state past the value that `judge` was asked about last, `judgement` being what it wrote of this very state and
   * history (so after `start` it is asked again); the caller adds the value to the history afterwards. Left out, the value has
   * no influence.
   */
  learn(
    history: History,
    states: Float64Array,
    at: number,
    value: number,
    timestamp: number,
    judgement: Judgement,
  ): void
}

export interface DetectorSettings {
  /** Samples that a key must have had before its first score. */
  readonly samplesMin?: number
}

/** Of no key yet. */
export function createHistory(): History {
  return { rows: new Float64Array(), start: 0, times: 0, size: 0, head: 0 }
}

export function createJudgement(): Judgement {
  const unknown = Number.NaN
  return { score: unknown, low: unknown, high: unknown, spread: unknown, notes: new Float64Array(NOTES_LENGTH) }
}

/** Whether a sample is an anomaly. While warming none is. */
export function isAnomaly(judgement: Judgement, threshold: number): boolean {
  return isBeyond(judgement.score, threshold)
}

/** The least and the greatest value that would be no anomaly. */
export function bandOf(judgement: Judgement, threshold: number): { low: number; high: number } {
  const margin = threshold * judgement.spread
  return { low: judgement.low - margin, high: judgement.high + margin }
}

/** The score as a number from 0 to 1 that rises with it: 0.5 at the threshold, 0 while warming. */
export function toUnitScore(score: number, threshold: number): number {
  return Number.isNaN(score) ? 0 : score / (score + threshold)
}

/** Writes the judgement of a detector that has seen too little. */
export function judgeWarming(judgement: Judgement): void {
  judgement.score = Number.NaN
  judgement.low = Number.NaN
  judgement.high = Number.NaN
  judgement.spread = Number.NaN
}

/** Writes the judgement by the zone [low, high] and its spread: how many spreads the value lies outside. */
export function judgeByZone(judgement: Judgement, value: number, low: number, high: number, spread: number): void {
  judgement.low = low
  judgement.high = high
  judgement.spread = spread
  const distance = value > high ? value - high : value < low ? low - value : 0
  judgement.score = inSpreads(distance, spread, Math.max(Math.abs(low), Math.abs(high)))
}

/** `distance` in units of `spread`. Where that is no more than rounding at `size`, what goes beyond rounding has the cap. */
export function inSpreads(distance: number, spread: number, size: number): number {
  const rounding = size * Number.EPSILON * FLAT_ULPS
  if (spread <= rounding) return distance <= rounding ? 0 : SCORE_CAP
  return Math.min(SCORE_CAP, distance / spread)
}
