import { roundingAt, SCORE_CAP } from '../../verdict/score.ts'
import { type Detector, type DetectorSettings, judgeByZone, judgeWarming } from './detector.ts'
import { stepTo } from './habit.ts'
import { notePassed, THINNING_LENGTH, thinned } from './thinning.ts'

/** Steps from which the first limit and the first excess are estimated. */
const CALIBRATED_BY = 100
/** The limit follows this share of the steps, */
const QUANTILE = 0.99
/** and moves by this share of itself. */
const RATE = 0.05
/** The weight of an excess in the mean excess, and the most that it counts, in mean excesses. */
const EXCESS_WEIGHT = 0.1
const EXCESS_MAX = 8
/** The first limit, in greatest steps; the same share is missing to the greatest step. */
const FIRST_LIMIT = 0.8

/** Offsets in float64s. LIMIT is the greatest step and EXCESS their sum until calibrated. */
const COUNT = 0
const LIMIT = 1
const EXCESS = 2
const PASSED = 3
const LENGTH = PASSED + THINNING_LENGTH

/** Indexes of the notes from `judge` to `learn`. */
const COUNTED = 0
const STEP = 1

/**
 * How far a step from one sample to the next lies beyond the 99th percentile of the key's own
 * steps, in mean excesses over it: steps with an exponential tail are that many e-folds rare.
 */
export function createStep({ samplesMin = CALIBRATED_BY }: DetectorSettings = {}): Detector {
  return {
    name: 'step',
    stateLength: LENGTH,
    threshold: 2,
    start({ rows }, at) {
      rows.fill(0, at, at + LENGTH)
    },
    judge(history, { rows }, at, value, judgement) {
      const count = rows[at + COUNT] as number
      const { notes } = judgement
      notes[STEP] = history.size === 0 ? Number.NaN : stepTo(history, value)
      notes[COUNTED] = 0
      judgement.raw = 0
      judgement.learned = count
      if (count < CALIBRATED_BY || count < samplesMin || history.size === 0) return judgeWarming(judgement)
      const { rows: values, start, size, head } = history
      const before = values[start + (head === 0 ? size : head) - 1] as number
      const limit = rows[at + LIMIT] as number
      judgeByZone(judgement, value, before - limit, before + limit, rows[at + EXCESS] as number)
      // A step of rounding is none, and no zone is narrower.
      if (notes[STEP] === 0) judgement.score = 0
      judgement.raw = judgement.score
      judgement.score = thinned(rows, at + PASSED, judgement.raw, count + 1)
      // The first step of a flat key has the greatest score, which says nothing of the next.
      notes[COUNTED] = judgement.score < SCORE_CAP ? judgement.score : 0
    },
    learn({ rows }, at, value, { notes }) {
      const step = notes[STEP] as number
      if (Number.isNaN(step)) return
      const count = (rows[at + COUNT] as number) + 1
      rows[at + COUNT] = count
      notePassed(rows, at + PASSED, notes[COUNTED] as number, count)
      if (count <= CALIBRATED_BY) {
        rows[at + LIMIT] = Math.max(rows[at + LIMIT] as number, step)
        rows[at + EXCESS] = (rows[at + EXCESS] as number) + step / CALIBRATED_BY
        if (count === CALIBRATED_BY) calibrate(rows, at, rows[at + LIMIT] as number, rows[at + EXCESS] as number)
      } else if (rows[at + LIMIT] === 0) {
        // The first step of a key that was flat.
        if (step > 0) calibrate(rows, at, step, 0)
      } else {
        follow(rows, at, step, roundingAt(Math.abs(value)))
      }
    },
  }
}

function calibrate(rows: Float64Array, at: number, greatest: number, mean: number): void {
  rows[at + LIMIT] = FIRST_LIMIT * greatest
  const excess = (greatest - mean) / 4
  // Where all steps are equal there is no tail yet.
  rows[at + EXCESS] = excess > 0.01 * greatest ? excess : (1 - FIRST_LIMIT) * greatest
}

function follow(rows: Float64Array, at: number, step: number, rounding: number): void {
  const limit = rows[at + LIMIT] as number
  const moved = limit * (1 + RATE * (step > limit ? QUANTILE : QUANTILE - 1))
  rows[at + LIMIT] = Math.min(Number.MAX_VALUE, Math.max(rounding, moved))
  if (step <= moved) return
  const excess = rows[at + EXCESS] as number
  const counted = Math.min(step - moved, EXCESS_MAX * excess)
  rows[at + EXCESS] = excess + EXCESS_WEIGHT * (counted - excess)
}
