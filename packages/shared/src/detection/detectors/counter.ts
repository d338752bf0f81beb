import { createHistory, type History } from './detector.ts'

/** The longest window of a rule. */
const WINDOW_MAX = 500

/** Where counters of 32 and 64 bits start again at 0. */
const WRAPS = [2 ** 32, 2 ** 64]

/** A counter that wraps goes on about as fast as before; a reset looks like a leap. */
const WRAPPED_RATE_MAX = 2

/**
 * The rates per second of a counter, computed for each sample from the counts in its window: a
 * rate needs no state of its own. A count that is less than the one before was wrapped if the
 * counter has then gone on about as fast as before; otherwise it was reset, how far is unknown.
 */
export class CounterRates {
  /** The rates in the window, oldest first, each with the time of its later count. */
  readonly history: History = createHistory()

  constructor() {
    this.history.rows = new Float64Array(2 * WINDOW_MAX)
    this.history.times = WINDOW_MAX
  }

  /** Reads the rates of a window of counts. Returns that of the next count; NaN if unknown. */
  read(counts: History, value: number, timestamp: number): number {
    const { history } = this
    const { rows, start, times, size, head } = counts
    let place = head
    let before = Number.NaN
    let beforeAt = Number.NaN
    let fastest = 0
    for (let n = 0; n < size; n++) {
      const count = rows[start + place] as number
      const at = rows[times + place] as number
      if (count >= before && at > beforeAt) fastest = Math.max(fastest, (count - before) / (at - beforeAt))
      before = count
      beforeAt = at
      place = place + 1 === size ? 0 : place + 1
    }
    history.size = 0
    before = beforeAt = Number.NaN
    for (let n = 0; n < size; n++) {
      const count = rows[start + place] as number
      const at = rows[times + place] as number
      const rate = rateBetween(before, count, at - beforeAt, fastest)
      if (!Number.isNaN(rate)) {
        history.rows[history.size] = rate
        history.rows[history.times + history.size] = at
        history.size++
      }
      before = count
      beforeAt = at
      place = place + 1 === size ? 0 : place + 1
    }
    return rateBetween(before, value, timestamp - beforeAt, fastest)
  }
}

function rateBetween(before: number, count: number, ms: number, fastest: number): number {
  if (!(ms > 0)) return Number.NaN
  let growth = count - before
  if (growth < 0) {
    const wrap = WRAPS.find(size => before < size) ?? Number.NaN
    growth = wrap - before + count
    if (!(growth / ms <= WRAPPED_RATE_MAX * fastest)) return Number.NaN
  }
  return (growth / ms) * 1000
}
