import { type Detector, type DetectorSettings, inSpreads, judgeWarming } from './detector.ts'
import { discountFor } from './discount.ts'
import { Memory, type Nearest } from './memory.ts'

/** The share of the gap between the two nearest remembered values that is not new. */
const DISCOUNT = 0.2
/** A score must exceed this many raw scores before it: a lasting deviation is reported once. */
const PRECEDING = 50
const SAMPLES_MIN = 50

const COUNT = 0
const SCORES = 1
const MEMORY = SCORES + PRECEDING

/** Indexes of the notes from `judge` to `learn`. */
const DISCOUNTED = 0
const NEAREST = 1

/**
 * Has this key been near this value in its last 4,000 samples? The raw score is the distance to the
 * nearest of 64 values, in widths of the range. What is usual for a spike is discounted. The score
 * passes if it exceeds those of 50 samples before.
 */
export function createNovelty({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  const memory = new Memory({ capacity: 64, newAbove: 0.02 })
  const nearest: Nearest = { index: -1, value: 0, distance: 0 }
  const neighbour: Nearest = { index: -1, value: 0, distance: 0 }
  const stateLength = MEMORY + memory.length

  return {
    name: 'novelty',
    stateLength,
    threshold: 0.023,
    start({ rows: states }, at) {
      states.fill(0, at, at + MEMORY)
      memory.start(states, at + MEMORY)
    },
    judge(history, { rows: states }, at, value, judgement) {
      memory.findNearest(states, at + MEMORY, value, -1, nearest)
      judgement.notes[NEAREST] = nearest.index
      judgement.notes[DISCOUNTED] = 0
      judgement.raw = 0
      const count = states[at + COUNT] as number
      judgement.learned = count
      if (count === 0) return judgeWarming(judgement)

      // Near a gap values are sparse anyway, so a share of it is not new.
      memory.findNearest(states, at + MEMORY, nearest.value, nearest.index, neighbour)
      const known = neighbour.index < 0 ? 0 : DISCOUNT * neighbour.distance
      const width = memory.width(states, at + MEMORY)
      const raw = inSpreads(Math.max(0, nearest.distance - known), width, Math.abs(value))
      const discounted = raw > 0 ? raw * discountFor(history, value) : 0
      judgement.raw = raw
      judgement.notes[DISCOUNTED] = discounted
      if (count < samplesMin) return judgeWarming(judgement)
      judgement.low = nearest.value - known
      judgement.high = nearest.value + known
      judgement.spread = width
      judgement.score = exceedsPreceding(states, at + SCORES, discounted) ? discounted : 0
    },
    learn({ rows: states }, at, value, { notes }) {
      const number = (states[at + COUNT] as number) + 1
      states[at + COUNT] = number
      states[at + SCORES + (number % PRECEDING)] = notes[DISCOUNTED] as number
      memory.visit(states, at + MEMORY, value, notes[NEAREST] as number, number)
    },
  }
}

/** A greater one was in widths of a range that it has widened: at most 1 of the present one. */
function exceedsPreceding(states: Float64Array, first: number, score: number): boolean {
  if (score > 1) return true
  for (let i = first; i < first + PRECEDING; i++) if ((states[i] as number) >= score) return false
  return true
}
