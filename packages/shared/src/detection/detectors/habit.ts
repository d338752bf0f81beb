import { type Detector, type DetectorSettings, FLAT_ULPS, type History, inSpreads, judgeWarming } from './detector.ts'
import { Memory, type Sight } from './memory.ts'

/** Samples, the present one included, whose deviation is the variation. */
const VARIATION_SAMPLES = 20
/** For so many samples a score must exceed the last that passed: what goes on is told once. */
const HOLD = 50
const SAMPLES_MIN = 50

const COUNT = 0
const PEAK = 1
const PEAK_AT = 2
const VALUES = 3

/** Notes from `judge` to `learn`. */
const RAW = 0
const PLACE = 1
const VARIATION = 2
const VARIATION_PLACE = 3

/**
 * "Has this key been near this value, and has it varied this much, or this little, in its last 4,000 samples?" Novelty of the
 * value and of the square root of the last 20 samples' deviation, whichever is greater.
 *
 * The square root brings small deviations apart, so that a key that falls silent is seen as well as one that begins to
 * swing; unlike a logarithm it knows 0, and unlike a power it is the same on every machine.
 */
export function createHabit({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  const memory = new Memory({ places: 45, newAbove: 0.03 })
  const nearest: Sight = { place: -1, value: 0, distance: 0 }
  const variations = VALUES + memory.length
  const stateLength = variations + memory.length

  /** How new a value is to the memory at `at`, in widths of its range; leaves the remembered value in `nearest`. */
  function news(states: Float64Array, at: number, value: number): number {
    memory.look(states, at, value, -1, nearest)
    return nearest.place < 0 ? 0 : inSpreads(nearest.distance, memory.width(states, at), Math.abs(value))
  }

  return {
    name: 'habit',
    stateLength,
    threshold: 0.045,
    usesHistory: true,
    start(states, at) {
      states.fill(0, at, at + VALUES)
      memory.start(states, at + VALUES)
      memory.start(states, at + variations)
    },
    judge(history, states, at, value, _timestamp, judgement) {
      const { notes } = judgement
      const variation = variationOf(history, value)
      notes[VARIATION] = variation
      const newsOfVariation = Number.isNaN(variation) ? 0 : news(states, at + variations, variation)
      notes[VARIATION_PLACE] = nearest.place
      const raw = Math.max(news(states, at + VALUES, value), newsOfVariation)
      notes[PLACE] = nearest.place
      notes[RAW] = raw
      const count = states[at + COUNT] as number
      if (count < samplesMin || count === 0) return judgeWarming(judgement)
      judgement.low = nearest.value
      judgement.high = nearest.value
      judgement.spread = memory.width(states, at + VALUES)
      judgement.score = raw > peakBefore(states, at) ? raw : 0
    },
    learn(_history, states, at, value, _timestamp, { notes }) {
      const raw = notes[RAW] as number
      const number = (states[at + COUNT] as number) + 1
      if (raw > 0 && raw >= peakBefore(states, at)) {
        states[at + PEAK] = raw
        states[at + PEAK_AT] = number
      }
      states[at + COUNT] = number
      memory.visit(states, at + VALUES, value, notes[PLACE] as number, number)
      const variation = notes[VARIATION] as number
      if (Number.isNaN(variation)) return
      memory.visit(states, at + variations, variation, notes[VARIATION_PLACE] as number, number)
    },
  }
}

/** The greatest raw score of late, until it is long ago. */
function peakBefore(states: Float64Array, at: number): number {
  const age = (states[at + COUNT] as number) + 1 - (states[at + PEAK_AT] as number)
  return age > HOLD ? 0 : (states[at + PEAK] as number)
}

/** The square root of the deviation of the last 19 samples and `value`; NaN when the history is shorter. */
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
  // Squares beyond 1e308 stay finite.
  const deviation = Math.sqrt(Math.min(squares, Number.MAX_VALUE) / VARIATION_SAMPLES)
  return deviation <= Math.abs(value) * Number.EPSILON * FLAT_ULPS ? 0 : Math.sqrt(deviation)
}
