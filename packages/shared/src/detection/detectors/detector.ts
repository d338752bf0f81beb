import { roundingAt, SCORE_CAP } from '../../verdict/score.ts'
import type { RowSlab } from './places.ts'

/** The samples before the present one, as in a row: two rings of `size`, the oldest at `head`. */
export interface History {
  /** A slab that holds the rows of many keys. */
  rows: Float64Array
  /** Index of the first value, and of the first timestamp. */
  start: number
  times: number
  size: number
  head: number
}

/**
 * A detector's result for a sample. `score` is how many spreads the value lies outside [low, high],
 * less where a repeated score is suppressed, and NaN while warming. Each call overwrites all of it.
 */
export interface Judgement {
  score: number
  /** Values between these two have the score 0. For most detectors both are the same value. */
  low: number
  high: number
  /** The distance from low or high at which the score is 1. */
  spread: number
  /** Of a detector with a memory: the score before it is thinned, and the samples it rests on. */
  raw: number
  learned: number
  /** What `judge` passes to `learn`; private to the detector. */
  readonly notes: Float64Array
}

const NOTES_LENGTH = 4

/** Scores one kind of signal, without allocating. A key's state is float64s from `at` in a slab. */
export interface Detector {
  readonly name: string
  readonly stateLength: number
  /** A sample with a score beyond this is an anomaly, unless a rule sets another threshold. */
  readonly threshold: number
  start(slab: RowSlab, at: number): void
  /** Scores a value by the samples before it. Changes only `judgement`. */
  judge(history: History, slab: RowSlab, at: number, value: number, judgement: Judgement): void
  /** Learns the value that `judge` scored last, with its `judgement`. It then joins the history. */
  learn(slab: RowSlab, at: number, value: number, judgement: Judgement): void
}

export interface DetectorSettings {
  /** Samples that a key must have had before its first score. */
  readonly samplesMin?: number
}

export function createHistory(): History {
  return { rows: new Float64Array(), start: 0, times: 0, size: 0, head: 0 }
}

/** Returns a value of a history; the oldest has the number 0. */
export function valueAt({ rows, start, size, head }: History, number: number): number {
  return rows[start + ((head + number) % size)] as number
}

export function createJudgement(): Judgement {
  const unknown = Number.NaN
  const numbers = { score: unknown, low: unknown, high: unknown, spread: unknown, raw: 0, learned: 0 }
  return { ...numbers, notes: new Float64Array(NOTES_LENGTH) }
}

/** Returns the least and the greatest value that is not an anomaly. */
export function bandOf(judgement: Judgement, threshold: number): { low: number; high: number } {
  const margin = threshold * judgement.spread
  return { low: judgement.low - margin, high: judgement.high + margin }
}

/** Converts a score to a number from 0 to 1: 0.5 at the threshold, 0 while warming. */
export function toUnitScore(score: number, threshold: number): number {
  return Number.isNaN(score) ? 0 : score / (score + threshold)
}

export function judgeWarming(judgement: Judgement): void {
  judgement.score = Number.NaN
  judgement.low = Number.NaN
  judgement.high = Number.NaN
  judgement.spread = Number.NaN
}

/** Writes the judgement of a value by the zone [low, high]: how many spreads it lies outside. */
export function judgeByZone(judgement: Judgement, value: number, low: number, high: number, spread: number): void {
  judgement.low = low
  judgement.high = high
  judgement.spread = spread
  const distance = value > high ? value - high : value < low ? low - value : 0
  judgement.score = inSpreads(distance, spread, Math.max(Math.abs(low), Math.abs(high)))
}

/** Returns a distance in spreads; if the spread is only rounding at `size`, SCORE_CAP or 0. */
export function inSpreads(distance: number, spread: number, size: number): number {
  const rounding = roundingAt(size)
  if (spread <= rounding) return distance <= rounding ? 0 : SCORE_CAP
  return Math.min(SCORE_CAP, distance / spread)
}
