import type { History } from '../detectors/detector.ts'

/** With fewer samples a trend is chance. */
const SAMPLES_MIN = 10

/** The share of the variance that the line must explain. Of noise it never explains as much. */
const EXPLAINED_MIN = 0.4

/** The share that the line explains only of a trend: of a step without noise it is 0.75. */
const EXPLAINED_SURELY = 0.76

/** With less, each half must rise by this share of the whole: a step is in one half. */
const HALF_MIN = 0.5

/** How many deviations from the line are expected. A smooth curve leaves its tangent by 2.6. */
const DEVIATIONS = 4

interface Line {
  /** At the middle of its samples, relative to the oldest sample of the window. */
  mean: number
  /** Per sample. */
  slope: number
}

const line: Line = { mean: 0, slope: 0 }

/**
 * Whether a window is a steady trend that `value` continues: a counter, a tank that fills, a slow
 * curve. The mean of such a window lags behind by 1.7 deviations for as long as the trend goes on,
 * which is no news after its beginning. The line is that of least squares over the sample numbers.
 */
export function isOnTrend(history: History, value: number): boolean {
  const { rows, start, size, head } = history
  if (size < SAMPLES_MIN) return false
  fitLine(history, 0, size, line)
  const { mean, slope } = line
  const shift = rows[start + head] as number
  const middle = (size - 1) / 2
  let squares = 0
  let unexplained = 0
  for (let n = 0; n < size; n++) {
    const y = (rows[start + ((head + n) % size)] as number) - shift - mean
    const residual = y - slope * (n - middle)
    squares += y * y
    unexplained += residual * residual
  }
  // False for a flat window, and where squares overflow.
  if (!(unexplained < (1 - EXPLAINED_MIN) * squares)) return false
  if (unexplained > (1 - EXPLAINED_SURELY) * squares && !risesInBothHalves(history, slope)) return false
  const expected = mean + slope * (size - middle)
  const spread = Math.sqrt((unexplained / size) * (1 + 4 / size))
  // One step of the trend more or less: samples that come early or late.
  return Math.abs(value - shift - expected) <= DEVIATIONS * spread + Math.abs(slope)
}

function risesInBothHalves(history: History, slope: number): boolean {
  const half = history.size >> 1
  return [0, half].every(first => {
    fitLine(history, first, half, line)
    return line.slope / slope >= HALF_MIN
  })
}

/** Fits a line to `count` samples, the first of which is number `first`. */
function fitLine({ rows, start, size, head }: History, first: number, count: number, fitted: Line): void {
  const shift = rows[start + head] as number
  const middle = (count - 1) / 2
  let sum = 0
  let product = 0
  for (let n = 0; n < count; n++) {
    const y = (rows[start + ((head + first + n) % size)] as number) - shift
    sum += y
    product += (n - middle) * y
  }
  fitted.mean = sum / count
  fitted.slope = product / ((count * (count * count - 1)) / 12)
}
