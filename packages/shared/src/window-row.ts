/**
 * How a window is kept in Redis (`tm:{p}:windows`) and in an analyzer's memory: little-endian float64s
 *
 *     count, pushed, value 0, timestamp 0, value 1, timestamp 1, ...
 *
 * `count` is the samples of the key ever analysed, `pushed` the values ever put into the window. The pairs are a ring:
 * value number n stands at n % capacity, so a window that is not full yet is simply a shorter row.
 */
export const ROW_HEADER = 2

/** Float64s of a full row. */
export function rowLength(capacity: number): number {
  return ROW_HEADER + 2 * capacity
}

export interface WindowContent {
  /** Samples of the key ever analysed. */
  readonly count: number
  /** Oldest first. */
  readonly values: readonly number[]
  /** Unix milliseconds, oldest first. */
  readonly timestamps: readonly number[]
}

/** Reads a row of any capacity. Undefined when the bytes are not a row. */
export function decodeRow(bytes: Uint8Array): WindowContent | undefined {
  const pairs = (bytes.byteLength / 8 - ROW_HEADER) / 2
  if (!Number.isInteger(pairs) || pairs < 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = view.getFloat64(0, true)
  const pushed = view.getFloat64(8, true)
  if (!(pushed >= pairs) || !(count >= pushed)) return undefined
  const values: number[] = []
  const timestamps: number[] = []
  for (let n = pushed - pairs; n < pushed; n++) {
    const at = (ROW_HEADER + 2 * (n % pairs)) * 8
    values.push(view.getFloat64(at, true))
    timestamps.push(view.getFloat64(at + 8, true))
  }
  return { count, values, timestamps }
}
