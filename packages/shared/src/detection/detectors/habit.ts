import { roundingAt } from '../../verdict/score.ts'
import { type Detector, type DetectorSettings, type History, inSpreads, judgeWarming } from './detector.ts'
import { Memory, type Nearest } from './memory.ts'

/** The variation is that of so many samples, including the present one. */
const VARIATION_SAMPLES = 20
/** A score must exceed those that passed in this many samples: lasting ones are reported once. */
const HOLD = 50
const SAMPLES_MIN = 50
/** The variation counts so many samples after the value: each one is that of 20 samples. */
const VARIATIONS_MIN = 100

const COUNT = 0
const PEAK = 1
const PEAK_AT = 2
const VALUES = 3

/** Indexes of the notes from `judge` to `learn`. */
const RAW = 0
const NEAREST = 1
const VARIATION = 2
const NEAREST_VARIATION = 3

/**
 * Has this key been near this value, and varied this much or little, in its last 4,000 samples? The
 * score is the novelty of the value or of the variation, whichever is greater. The variation is the
 * square root of the last 20 samples' deviation. The root spreads small deviations, so a key that
 * stops varying is detected too; it is defined at 0, and the same on every machine.
 */
export function createHabit({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  const memory = new Memory({ capacity: 45, newAbove: 0.03 })
  const nearest: Nearest = { index: -1, value: 0, distance: 0 }
  const variations = VALUES + memory.length
  const stateLength = variations + memory.length

  /** Returns how new a value is to the memory at `at`, in widths of its range. Writes `nearest`. */
  function noveltyOf(states: Float64Array, at: number, value: number): number {
    memory.findNearest(states, at, value, -1, nearest)
    return nearest.index < 0 ? 0 : inSpreads(nearest.distance, memory.width(states, at), Math.abs(value))
  }

  return {
    name: 'habit',
    stateLength,
    threshold: 0.045,
    start(states, at) {
      states.fill(0, at, at + VALUES)
      memory.start(states, at + VALUES)
      memory.start(states, at + variations)
    },
    judge(history, states, at, value, judgement) {
      const { notes } = judgement
      const variation = variationOf(history, value)
      notes[VARIATION] = variation
      const variationNovelty = Number.isNaN(variation) ? 0 : noveltyOf(states, at + variations, variation)
      notes[NEAREST_VARIATION] = nearest.index
      const count = states[at + COUNT] as number
      const valueNovelty = noveltyOf(states, at + VALUES, value)
      const raw = count < samplesMin + VARIATIONS_MIN ? valueNovelty : Math.max(valueNovelty, variationNovelty)
      notes[NEAREST] = nearest.index
      notes[RAW] = raw
      if (count < samplesMin || count === 0) return judgeWarming(judgement)
      judgement.low = nearest.value
      judgement.high = nearest.value
      judgement.spread = memory.width(states, at + VALUES)
      judgement.score = raw > peakBefore(states, at) ? raw : 0
    },
    learn(states, at, value, { notes }) {
      const raw = notes[RAW] as number
      const number = (states[at + COUNT] as number) + 1
      if (raw > 0 && raw >= peakBefore(states, at)) {
        states[at + PEAK] = raw
        states[at + PEAK_AT] = number
      }
      states[at + COUNT] = number
      memory.visit(states, at + VALUES, value, notes[NEAREST] as number, number)
      const variation = notes[VARIATION] as number
      if (Number.isNaN(variation)) return
      memory.visit(states, at + variations, variation, notes[NEAREST_VARIATION] as number, number)
    },
  }
}

/**
 * Returns the last raw score that passed; 0 when that was more than HOLD samples ago. It counts as
 * 1 at most: it was in widths of a range that it has widened, so what exceeds that is further.
 */
function peakBefore(states: Float64Array, at: number): number {
  const age = (states[at + COUNT] as number) + 1 - (states[at + PEAK_AT] as number)
  return age > HOLD ? 0 : Math.min(1, states[at + PEAK] as number)
}

/** Returns the variation of the last 19 samples and `value`; NaN when the history is shorter. */
function variationOf({ rows, start, size, head }: History, value: number): number {
  const before = VARIATION_SAMPLES - 1
  if (size < before) return Number.NaN
  const first = (head + size - before) % size
  let sum = 0
  for (let n = 0, place = first; n < before; n++) {
    sum += (rows[start + place] as number) - value
    place = place + 1 === size ? 0 : place + 1
  }
  const mean = sum / VARIATION_SAMPLES
  let squares = mean * mean
  for (let n = 0, place = first; n < before; n++) {
    const difference = (rows[start + place] as number) - value - mean
    squares += difference * difference
    place = place + 1 === size ? 0 : place + 1
  }
  // Squares above 1e308 stay finite.
  const deviation = Math.sqrt(Math.min(squares, Number.MAX_VALUE) / VARIATION_SAMPLES)
  return deviation <= roundingAt(Math.abs(value)) ? 0 : Math.sqrt(deviation)
}
