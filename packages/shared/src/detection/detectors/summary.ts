import type { History } from './detector.ts'

/** The exact mean is mean + rest, to about 100 bits: the distance of a value from it needs both. */
export interface Summary {
  mean: number
  rest: number
  deviation: number
}

/** A sum of squares outside of this has overflowed, or lost digits to underflow. */
const SQUARES_MIN = 2 ** -900
const SQUARES_MAX = 2 ** 1000

/** Scales for values with such squares: powers of two, so that scaling does not round. */
const SCALE_UP = 2 ** 700
const SCALE_DOWN = 2 ** -600

/** A value nearer to the mean than this many deviations needs the exact mean for its distance. */
const NEAR = 2 ** -12

/** A smaller share of the distance changes none of its first twelve digits. */
const REST_SHARE = 2 ** -40

/** For sums of at most 500 values near the greatest double. */
const SUM_SCALE = 2 ** -10
const SUM_SCALED_FROM = 2 ** 1000

/** The parts of an exact sum: no two overlap, so all exponents of a double fit into 40 of them. */
const parts = new Float64Array(64)

/**
 * Writes mean and population deviation of a non-empty history to `summary`.
 *
 * Values are shifted by the oldest one and summed in order. A second pass sums the residuals, which
 * correct the rounding of the first: the corrected two-pass algorithm of Chan, Golub, LeVeque,
 * "Algorithms for computing the sample variance", 1983, eq. 1.7. The result depends only on the
 * values in their order: it can be recomputed bit for bit. Elements are read in place, because a
 * helper function is sometimes not inlined, and then allocates for each element.
 */
export function summarize(history: History, summary: Summary): void {
  const { rows, start, size, head } = history
  const oldest = start + head
  const end = start + size
  const shift = rows[oldest] as number

  let sum = 0
  for (let i = oldest; i < end; i++) sum += (rows[i] as number) - shift
  for (let i = start; i < oldest; i++) sum += (rows[i] as number) - shift
  if (sum === 0 && isConstant(history)) {
    summary.mean = shift
    summary.rest = 0
    summary.deviation = 0
    return
  }
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
  // Also for NaN.
  if (!(squares > SQUARES_MIN && squares < SQUARES_MAX)) {
    summarizeScaled(history, squares < 1 ? SCALE_UP : SCALE_DOWN, summary)
    return
  }

  // What the sum of the two loses to rounding (Knuth's TwoSum) is part of the rest.
  const rounded = shift + shiftedMean
  const added = rounded - shift
  const lost = shift - (rounded - added) + (shiftedMean - added)
  const correction = lost + residual / size
  summary.mean = rounded + correction
  summary.rest = correction - (summary.mean - rounded)
  summary.deviation = Math.sqrt(Math.max(0, (squares - (residual * residual) / size) / size))
}

/**
 * Summarizes a history for scoring `value`. Where the first digits of the mean or of the value's
 * distance from it cancel out, the mean is computed exactly. The rest is 0 unless the distance
 * needs it, so that few verdicts have to store one.
 */
export function summarizeFor(value: number, history: History, summary: Summary): void {
  summarize(history, summary)
  const near = NEAR * summary.deviation
  if (Math.abs(value - summary.mean) < near || Math.abs(summary.mean) < near) writeExactMean(history, summary)
  if (Math.abs(summary.rest) <= REST_SHARE * Math.abs(value - summary.mean)) summary.rest = 0
}

function isConstant({ rows, start, size }: History): boolean {
  const first = rows[start] as number
  for (let i = start + 1; i < start + size; i++) if (rows[i] !== first) return false
  return true
}

function summarizeScaled({ rows, start, size, head }: History, scale: number, summary: Summary): void {
  const scaled = Float64Array.from({ length: size }, (_, n) => (rows[start + ((head + n) % size)] as number) * scale)
  summarize({ rows: scaled, start: 0, times: 0, size, head: 0 }, summary)
  summary.mean /= scale
  summary.rest /= scale
  // The greatest deviation is that of the greatest doubles of both signs.
  summary.deviation = Math.min(Number.MAX_VALUE, summary.deviation / scale)
}

/** Replaces mean and rest by those of the exact sum. Rare, because it costs ten times as much. */
function writeExactMean({ rows, start, size }: History, summary: Summary): void {
  const isHuge = Math.abs(summary.mean) > SUM_SCALED_FROM || summary.deviation > SUM_SCALED_FROM
  const scale = isHuge ? SUM_SCALE : 1
  let count = 0
  for (let i = start; i < start + size; i++) count = addPart((rows[i] as number) * scale, count)
  const mean = totalOf(count) / size
  for (let i = 0; i < size; i++) count = addPart(-mean, count)
  const rest = totalOf(count) / size
  const nearest = mean + rest
  summary.mean = nearest / scale
  summary.rest = (rest - (nearest - mean)) / scale
}

/** Adds a number to the exact sum (Shewchuk 1997). Returns the number of its parts. */
function addPart(number: number, count: number): number {
  let rest = number
  let kept = 0
  for (let i = 0; i < count; i++) {
    const part = parts[i] as number
    const isSmaller = Math.abs(rest) < Math.abs(part)
    const larger = isSmaller ? part : rest
    const smaller = isSmaller ? rest : part
    const sum = larger + smaller
    const lost = smaller - (sum - larger)
    if (lost !== 0) parts[kept++] = lost
    rest = sum
  }
  parts[kept] = rest
  return kept + 1
}

/** Returns the exact sum, rounded once: from the greatest part down, as Python's math.fsum does. */
function totalOf(count: number): number {
  let total = 0
  let lost = 0
  let i = count - 1
  for (; i >= 0 && lost === 0; i--) {
    const before = total
    const part = parts[i] as number
    total = before + part
    lost = part - (total - before)
  }
  // Half of the last digit is a tie only if nothing follows it.
  if (i >= 0 && lost !== 0 && Math.sign(lost) === Math.sign(parts[i] as number)) {
    const twice = 2 * lost
    const next = total + twice
    if (next - total === twice) return next
  }
  return total
}
