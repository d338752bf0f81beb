import type { History } from './detector.ts'

export interface Summary {
  mean: number
  deviation: number
}

/** Scales values whose squares overflow. A power of two, so that scaling does not round. */
const SCALE = 2 ** -600

/**
 * Writes mean and population deviation of a non-empty history to `summary`.
 *
 * Values are shifted by the oldest one and summed in order. A second pass sums the residuals, which
 * correct the rounding of the first: the corrected two-pass algorithm of Chan, Golub, LeVeque,
 * "Algorithms for computing the sample variance", 1983, eq. 1.7. The result depends only on the
 * values in their order: it can be recomputed bit for bit. Elements are read in place, because a
 * helper function is sometimes not inlined, and then allocates for each element.
 */
export function summarize({ rows, start, size, head }: History, summary: Summary): void {
  const oldest = start + head
  const end = start + size
  const shift = rows[oldest] as number

  let sum = 0
  for (let i = oldest; i < end; i++) sum += (rows[i] as number) - shift
  for (let i = start; i < oldest; i++) sum += (rows[i] as number) - shift
  const shiftedMean = sum / size

  let squares = 0
  let residual = 0
  for (let i = oldest; i < end; i++) {
    const difference = (rows[i] as number) - shift - shiftedMean
    squares += difference * difference
    residual += difference
  }
  for (let i = start; i < oldest; i++) {
    const difference = (rows[i] as number) - shift - shiftedMean
    squares += difference * difference
    residual += difference
  }

  summary.mean = shift + (shiftedMean + residual / size)
  summary.deviation =
    squares < Number.POSITIVE_INFINITY
      ? Math.sqrt(Math.max(0, (squares - (residual * residual) / size) / size))
      : scaledDeviation(rows, start, size, head, shiftedMean)
}

/** Returns the deviation of values whose squares overflow (more than about 1e154 apart). */
function scaledDeviation(rows: Float64Array, start: number, size: number, head: number, shiftedMean: number): number {
  const shift = rows[start + head] as number
  let squares = 0
  for (let n = 0; n < size; n++) {
    const difference = ((rows[start + ((head + n) % size)] as number) - shift - shiftedMean) * SCALE
    squares += difference * difference
  }
  return Math.sqrt(squares / size) / SCALE
}
