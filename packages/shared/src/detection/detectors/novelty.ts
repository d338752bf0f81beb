import { type Detector, type DetectorSettings, inSpreads, judgeWarming } from './detector.ts'
import { Memory, type Sight } from './memory.ts'

/** Share of the distance between the nearest remembered value and its own nearest one that is no news. */
const DISCOUNT = 0.2
/** Raw scores that a score must exceed to pass: what goes on is told once. */
const PRECEDING = 50
const SAMPLES_MIN = 50

const COUNT = 0
const SCORES = 1
const MEMORY = SCORES + PRECEDING

/** Notes from `judge` to `learn`. */
const RAW = 0
const PLACE = 1

/**
 * "Has this key been anywhere near this value in its last 4,000 samples?" The raw score is the distance to the nearest of
 * 64 remembered values, in widths of the range; it passes when it exceeds those of the 50 samples before.
 */
export function createNovelty({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  const memory = new Memory({ places: 64, newAbove: 0.02 })
  const nearest: Sight = { place: -1, value: 0, distance: 0 }
  const neighbour: Sight = { place: -1, value: 0, distance: 0 }
  const stateLength = MEMORY + memory.length

  return {
    name: 'novelty',
    stateLength,
    threshold: 0.023,
    usesHistory: false,
    start(states, at) {
      states.fill(0, at, at + MEMORY)
      memory.start(states, at + MEMORY)
    },
    judge(_history, states, at, value, _timestamp, judgement) {
      memory.look(states, at + MEMORY, value, -1, nearest)
      judgement.notes[PLACE] = nearest.place
      judgement.notes[RAW] = 0
      const count = states[at + COUNT] as number
      if (count === 0) return judgeWarming(judgement)

      // What lies within its share of the gap beside the nearest value is no news: values are sparse there anyway.
      memory.look(states, at + MEMORY, nearest.value, nearest.place, neighbour)
      const known = neighbour.place < 0 ? 0 : DISCOUNT * neighbour.distance
      const width = memory.width(states, at + MEMORY)
      const raw = inSpreads(Math.max(0, nearest.distance - known), width, Math.abs(value))
      judgement.notes[RAW] = raw
      if (count < samplesMin) return judgeWarming(judgement)
      judgement.low = nearest.value - known
      judgement.high = nearest.value + known
      judgement.spread = width
      judgement.score = exceedsPreceding(states, at + SCORES, raw) ? raw : 0
    },
    learn(_history, states, at, value, _timestamp, { notes }) {
      const number = (states[at + COUNT] as number) + 1
      states[at + COUNT] = number
      states[at + SCORES + (number % PRECEDING)] = notes[RAW] as number
      memory.visit(states, at + MEMORY, value, notes[PLACE] as number, number)
    },
  }
}

function exceedsPreceding(states: Float64Array, first: number, raw: number): boolean {
  for (let i = first; i < first + PRECEDING; i++) if ((states[i] as number) >= raw) return false
  return true
}
