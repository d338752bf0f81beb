import { ROW_HEADER } from '@tidemark/shared/window-row'

/** Mean and population deviation of a window. */
export interface Summary {
  mean: number
  deviation: number
}

/** Scales values whose squares overflow; a power of two, so that scaling rounds nothing. */
const SCALE = 2 ** -600

/**
 * Writes mean and population deviation of the window in `rows[start..]` (laid out as window-row.ts says) to `summary`.
 * `size` pairs of a ring, at least 1, the oldest of which is number `head`.
 *
 * Values are shifted by the oldest one and summed from the oldest to the newest, in two passes; the second sums the
 * residuals too, and they correct mean and variance for the rounding of the first (the corrected two-pass algorithm: Chan,
 * Golub, LeVeque, "Algorithms for computing the sample variance", 1983, eq. 1.7). The result depends on nothing but the
 * window's content in its order, so anybody can recompute it bit for bit, and a value that has left is forgotten.
 */
export function summarize(rows: Float64Array, start: number, size: number, head: number, summary: Summary): void {
  const first = start + ROW_HEADER
  const oldest = first + 2 * head
  const end = first + 2 * size
  const shift = at(rows, oldest)

  let sum = 0
  for (let i = oldest; i < end; i += 2) sum += at(rows, i) - shift
  for (let i = first; i < oldest; i += 2) sum += at(rows, i) - shift
  const shiftedMean = sum / size

  let squares = 0
  let residual = 0
  for (let i = oldest; i < end; i += 2) {
    const difference = at(rows, i) - shift - shiftedMean
    squares += difference * difference
    residual += difference
  }
  for (let i = first; i < oldest; i += 2) {
    const difference = at(rows, i) - shift - shiftedMean
    squares += difference * difference
    residual += difference
  }

  summary.mean = shift + (shiftedMean + residual / size)
  summary.deviation =
    squares < Number.POSITIVE_INFINITY
      ? Math.sqrt(Math.max(0, (squares - (residual * residual) / size) / size))
      : scaledDeviation(rows, start, size, head, shiftedMean)
}

/** The deviation of values so far apart that their squares overflow (beyond about 1e154). */
function scaledDeviation(rows: Float64Array, start: number, size: number, head: number, shiftedMean: number): number {
  const first = start + ROW_HEADER
  const shift = at(rows, first + 2 * head)
  let squares = 0
  for (let n = 0; n < size; n++) {
    const difference = (at(rows, first + 2 * ((head + n) % size)) - shift - shiftedMean) * SCALE
    squares += difference * difference
  }
  return Math.sqrt(squares / size) / SCALE
}

/** An element that is known to be there: the compiler cannot know, and a check would cost as much as the addition. */
function at(rows: Float64Array, index: number): number {
  return rows[index] as number
}
