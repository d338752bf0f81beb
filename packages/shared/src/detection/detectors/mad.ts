import { type Detector, type DetectorSettings, judgeByZone, judgeWarming } from './detector.ts'
import { takeMedian } from './median.ts'
import { type Summary, summarize } from './summary.ts'

/** The deviation of normal values divided by their median absolute deviation (MAD). */
const DEVIATIONS_PER_MAD = 1.4826
/** Most quantised values are equal, so their MAD alone may be 0. */
const SPREAD_MIN_DEVIATIONS = 0.5
const SAMPLES_MIN = 30
const WINDOW_MAX = 500

const MEDIAN = 0
const MAD = 1

/** |value - median| / (1.4826 MAD) of the window. The state only speeds up the next search. */
export function createMad({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  const summary: Summary = { mean: 0, rest: 0, deviation: 0 }
  const numbers = new Float64Array(WINDOW_MAX)
  return {
    name: 'mad',
    stateLength: 2,
    threshold: 6,
    start({ rows: states }, at) {
      states.fill(0, at, at + 2)
    },
    judge(history, { rows: states }, at, value, judgement) {
      const { rows, start, size } = history
      if (size < samplesMin || size === 0) return judgeWarming(judgement)
      // The median does not depend on the order, so the ring is copied as it stands.
      for (let i = 0; i < size; i++) numbers[i] = rows[start + i] as number
      const median = takeMedian(numbers, size, states[at + MEDIAN] as number)
      for (let i = 0; i < size; i++) numbers[i] = Math.abs((numbers[i] as number) - median)
      const mad = takeMedian(numbers, size, states[at + MAD] as number)
      judgement.notes[MEDIAN] = median
      judgement.notes[MAD] = mad
      summarize(history, summary)
      const spread = Math.max(DEVIATIONS_PER_MAD * mad, SPREAD_MIN_DEVIATIONS * summary.deviation)
      judgeByZone(judgement, value, median, median, spread)
    },
    learn({ rows: states }, at, _value, judgement) {
      if (Number.isNaN(judgement.score)) return
      states[at + MEDIAN] = judgement.notes[MEDIAN] as number
      states[at + MAD] = judgement.notes[MAD] as number
    },
  }
}
