import { type Detector, type DetectorSettings, judgeByZone, judgeWarming } from './detector.ts'

/** The share of its width by which the range shrinks per sample. */
const SHRINKING = 1e-4
const SAMPLES_MIN = 30

const COUNT = 0
const LOW = 1
const HIGH = 2

/** The distance from the range of earlier values in widths of that range, which slowly shrinks. */
export function createRange({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  return {
    name: 'range',
    stateLength: 3,
    threshold: 0.05,
    start({ rows: states }, at) {
      states.fill(0, at, at + 3)
    },
    judge(_history, { rows: states }, at, value, judgement) {
      const count = states[at + COUNT] as number
      if (count < samplesMin || count === 0) return judgeWarming(judgement)
      const low = states[at + LOW] as number
      const high = states[at + HIGH] as number
      judgeByZone(judgement, value, low, high, high - low)
    },
    learn({ rows: states }, at, value) {
      const count = states[at + COUNT] as number
      states[at + COUNT] = count + 1
      if (count === 0) states.fill(value, at + LOW, at + HIGH + 1)
      else moveRange(states, at + LOW, value)
    },
  }
}

/** Shrinks the range at `at` (low, high) towards its middle, then widens it to hold `value`. */
export function moveRange(states: Float64Array, at: number, value: number): void {
  const low = states[at] as number
  const high = states[at + 1] as number
  const step = ((high - low) * SHRINKING) / 2
  states[at] = Math.min(low + step, value)
  states[at + 1] = Math.max(high - step, value)
}
