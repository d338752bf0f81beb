/**
 * How a window is kept in Redis and in an analyzer's memory: little-endian float64s
 *
 *     count, pushed, value 0, timestamp 0, value 1, timestamp 1, ...
 *
 * `count` is the samples of the key ever analysed, `pushed` the values ever put into the window. In a row
 * (`tm:{p}:windows`) the pairs are a ring: value number n stands at n % capacity, so a window that is not full yet is simply
 * a shorter row. A tail (`tm:{p}:window_tails`) holds what came after a full row: its pairs are the newest ones, oldest
 * first, and it counts only while it follows the row. Most commits write tails: a row is ten times as long.
 */
export const ROW_HEADER = 2

/** Float64s of a full row. */
export function rowLength(capacity: number): number {
  return ROW_HEADER + 2 * capacity
}

/** A window as a store keeps it. */
export interface StoredWindow {
  readonly row: Uint8Array
  readonly tail: Uint8Array | null
}

export interface WindowContent {
  /** Samples of the key ever analysed. */
  readonly count: number
  /** Values ever put into the window. */
  readonly pushed: number
  /** The same when the row was written. */
  readonly rowPushed: number
  /** Oldest first. */
  readonly values: readonly number[]
  /** Unix milliseconds, oldest first. */
  readonly timestamps: readonly number[]
}

/** Reads a window of any capacity. Undefined when the bytes are none. */
export function decodeWindow({ row, tail }: StoredWindow): WindowContent | undefined {
  const base = decode(row)
  if (base === undefined) return undefined
  const { count, pushed } = base
  const values: number[] = []
  const timestamps: number[] = []
  for (let n = pushed - base.pairs; n < pushed; n++) {
    values.push(base.value(n % base.pairs))
    timestamps.push(base.timestamp(n % base.pairs))
  }
  const newer = tail === null ? undefined : decode(tail)
  const added = newer === undefined ? 0 : newer.pushed - pushed
  const follows = newer !== undefined && newer.count > count && added >= 0 && added <= newer.pairs
  // One that does not is left from before the key began anew, because its row could not be read.
  if (!follows) return { count, pushed, rowPushed: pushed, values, timestamps }
  for (let i = newer.pairs - added; i < newer.pairs; i++) {
    values.push(newer.value(i))
    timestamps.push(newer.timestamp(i))
  }
  // As many as came have left.
  return {
    count: newer.count,
    pushed: newer.pushed,
    rowPushed: pushed,
    values: values.slice(added),
    timestamps: timestamps.slice(added),
  }
}

interface Decoded {
  readonly count: number
  readonly pushed: number
  readonly pairs: number
  value(i: number): number
  timestamp(i: number): number
}

function decode(bytes: Uint8Array): Decoded | undefined {
  const pairs = (bytes.byteLength / 8 - ROW_HEADER) / 2
  if (!Number.isInteger(pairs) || pairs < 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = view.getFloat64(0, true)
  const pushed = view.getFloat64(8, true)
  if (!(pushed >= pairs) || !(count >= pushed)) return undefined
  const at = (i: number): number => view.getFloat64(8 * (ROW_HEADER + i), true)
  return { count, pushed, pairs, value: i => at(2 * i), timestamp: i => at(2 * i + 1) }
}
