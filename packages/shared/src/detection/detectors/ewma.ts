import { type Detector, type DetectorSettings, judgeByZone, judgeWarming } from './detector.ts'

const MEAN_WEIGHT = 0.1
const VARIANCE_WEIGHT = 0.001
const SAMPLES_MIN = 30

const COUNT = 0
const MEAN = 1
const VARIANCE = 2

/**
 * The distance from the exponentially weighted mean, in exponentially weighted deviations. Weights
 * start at 1/n: otherwise the deviation would still be growing for the first thousand samples.
 */
export function createEwma({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  return {
    name: 'ewma',
    stateLength: 3,
    threshold: 6,
    start({ rows: states }, at) {
      states.fill(0, at, at + 3)
    },
    judge(_history, { rows: states }, at, value, judgement) {
      const count = states[at + COUNT] as number
      if (count < samplesMin || count < 2) return judgeWarming(judgement)
      const mean = states[at + MEAN] as number
      judgeByZone(judgement, value, mean, mean, Math.sqrt(states[at + VARIANCE] as number))
    },
    learn({ rows: states }, at, value) {
      const count = (states[at + COUNT] as number) + 1
      const mean = states[at + MEAN] as number
      const variance = states[at + VARIANCE] as number
      const difference = value - mean
      states[at + COUNT] = count
      states[at + MEAN] = mean + Math.max(MEAN_WEIGHT, 1 / count) * difference
      if (count === 1) return
      // The first value has no mean before it. Squares above 1e308 stay finite.
      const square = Math.min(difference * difference, Number.MAX_VALUE)
      states[at + VARIANCE] = variance + Math.max(VARIANCE_WEIGHT, 1 / (count - 1)) * (square - variance)
    },
  }
}
