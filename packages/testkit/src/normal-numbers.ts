import type { History } from '@tidemark/shared/detection/detectors/detector'

/** Random numbers of the normal distribution, always the same for a seed: mulberry32 by the polar method of Marsaglia. */
export function normalNumbers(seed: number): () => number {
  let state = seed >>> 0
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  let spare = Number.NaN
  return () => {
    if (!Number.isNaN(spare)) {
      const number = spare
      spare = Number.NaN
      return number
    }
    for (;;) {
      const x = 2 * uniform() - 1
      const y = 2 * uniform() - 1
      const square = x * x + y * y
      if (square >= 1 || square === 0) continue
      const factor = Math.sqrt((-2 * Math.log(square)) / square)
      spare = y * factor
      return x * factor
    }
  }
}

/** A window of one key, as a detector reads it. */
export function createHistory(capacity: number): { history: History; push(value: number, timestamp: number): void } {
  const history: History = { rows: new Float64Array(2 * capacity), start: 0, times: capacity, size: 0, head: 0 }
  let pushed = 0
  return {
    history,
    push(value, timestamp) {
      const place = pushed % capacity
      history.rows[place] = value
      history.rows[place + capacity] = timestamp
      pushed++
      history.size = Math.min(pushed, capacity)
      history.head = pushed > capacity ? pushed % capacity : 0
    },
  }
}
