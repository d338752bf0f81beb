import { createHistory, type History } from './detector.ts'

/** The longest window of a rule. */
const WINDOW_MAX = 500

/**
 * Where counters start again at 0, or at the least signed number: registers of 16 bits, as of
 * Modbus, signed and unsigned ones of 32 bits, and those of 64 bits. A reset that is taken for a
 * wrap does no harm: its rate is a usual one.
 */
const WRAPS = [2 ** 16, 2 ** 31, 2 ** 32, 2 ** 64]

/** A counter that wraps goes on about as fast as before; a reset looks like a leap. */
const WRAPPED_RATE_MAX = 2

/**
 * The rates per second of a counter, computed for each sample from the counts in its window: a
 * rate needs no state of its own. A count that is less than the one before was wrapped if the
 * counter has then gone on about as fast as before; otherwise it was reset, how far is unknown.
 * So is a rate that is no finite number.
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
    const fastest = fastestOf(counts)
    let place = head
    let before = Number.NaN
    let beforeAt = Number.NaN
    history.size = 0
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

/** Returns the rate per second at each count of a window, oldest first; null: unknown. */
export function ratesOf(counts: readonly number[], timestamps: readonly number[]): (number | null)[] {
  const size = counts.length
  const rows = Float64Array.of(...counts, ...timestamps)
  const fastest = fastestOf({ rows, start: 0, times: size, size, head: 0 })
  return counts.map((count, n) => {
    const before = counts[n - 1] ?? Number.NaN
    const ms = (timestamps[n] as number) - (timestamps[n - 1] ?? Number.NaN)
    const rate = rateBetween(before, count, ms, fastest)
    return Number.isNaN(rate) ? null : rate
  })
}

/** Returns the rate at which the counter grew fastest in a window, per millisecond. */
function fastestOf({ rows, start, times, size, head }: History): number {
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
  return fastest
}

function rateBetween(before: number, count: number, ms: number, fastest: number): number {
  if (!(ms > 0)) return Number.NaN
  if (count < before) return wrappedRate(before, count, ms, fastest)
  return finite(((count - before) / ms) * 1000)
}

/** Returns the rate if the counter was wrapped: that of the smallest one that goes on as before. */
function wrappedRate(before: number, count: number, ms: number, fastest: number): number {
  for (const size of WRAPS) {
    const growth = size - before + count
    if (before < size && growth >= 0 && growth / ms <= WRAPPED_RATE_MAX * fastest) return finite((growth / ms) * 1000)
  }
  return Number.NaN
}

function finite(rate: number): number {
  return Number.isFinite(rate) ? rate : Number.NaN
}
