import { type Detector, type DetectorSettings, inSpreads, judgeWarming } from '../detector.ts'
import { Memory, type Sight } from './memory.ts'

/** Share of the distance between the nearest remembered value and its own nearest one that is no news. */
const DISCOUNT = 0.2
/** Raw scores that a score must exceed to pass: what goes on is told once. */
const PRECEDING = 50
const SAMPLES_MIN = 50

const COUNT = 0
const SCORES = 1
const MEMORY = SCORES + PRECEDING

/**
 * "Has this key been anywhere near this value in its last 4,000 samples?" The raw score is the distance to the nearest of
 * 64 remembered values, in widths of the range; it passes when it exceeds those of the 50 samples before.
 */
export function createNovelty({ samplesMin = SAMPLES_MIN }: DetectorSettings = {}): Detector {
  const memory = new Memory({ places: 64, newAbove: 0.02 })
  const nearest: Sight = { place: -1, value: 0, distance: 0 }
  const neighbour: Sight = { place: -1, value: 0, distance: 0 }
  const stateLength = MEMORY + memory.length

  /** Distance from the nearest value that is no news, where remembered values are sparse anyway. */
  function look(states: Float64Array, at: number, value: number): number {
    memory.look(states, at + MEMORY, value, -1, nearest)
    if (nearest.distance === 0) return 0
    memory.look(states, at + MEMORY, nearest.value, nearest.place, neighbour)
    return neighbour.place < 0 ? 0 : DISCOUNT * neighbour.distance
  }

  function rawScore(states: Float64Array, at: number, value: number, known: number): number {
    return inSpreads(Math.max(0, nearest.distance - known), memory.width(states, at + MEMORY), Math.abs(value))
  }

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
      const count = states[at + COUNT] as number
      if (count < samplesMin || count === 0) return judgeWarming(judgement)
      const known = look(states, at, value)
      const raw = rawScore(states, at, value, known)
      judgement.low = nearest.value - known
      judgement.high = nearest.value + known
      judgement.spread = memory.width(states, at + MEMORY)
      judgement.score = raw > greatestScore(states, at) ? raw : 0
    },
    learn(_history, states, at, value) {
      const count = (states[at + COUNT] as number) + 1
      if (count > 1) {
        const known = look(states, at, value)
        states[at + SCORES + (count % PRECEDING)] = rawScore(states, at, value, known)
      }
      memory.visit(states, at + MEMORY, value, count)
      states[at + COUNT] = count
    },
  }
}

function greatestScore(states: Float64Array, at: number): number {
  let greatest = 0
  for (let i = at + SCORES; i < at + MEMORY; i++) if ((states[i] as number) > greatest) greatest = states[i] as number
  return greatest
}
