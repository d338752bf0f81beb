import type { Analysis, VerdictSettings } from '@tidemark/shared/verdict/analysis'

/** An analysis without the members that say where and when it was made. */
export type OracleAnalysis = Omit<Analysis, 'id' | 'analyzed_at'>

/**
 * Returns the analysis of a key's last accepted sample, computed slowly and obviously from the
 * samples alone: the reference that the pipeline must equal bit for bit. It shares no code with the
 * pipeline.
 */
export function oracleAnalysis(
  key: string,
  samples: readonly { readonly value: number; readonly timestamp: number }[],
  settings: VerdictSettings,
): OracleAnalysis {
  const last = samples.at(-1)
  if (last === undefined) throw new Error('the oracle needs a sample')
  const before = samples.slice(0, -1).slice(-settings.window)
  const values = before.map(({ value }) => value)
  const mean = oracleMean(values)
  const deviation = oracleDeviation(values)
  const common = { key, ...last, threshold: settings.threshold, count: samples.length, window: before.length }

  if (before.length < settings.windowMin) {
    const known = before.length > 0
    return {
      ...common,
      mean: known ? mean : null,
      deviation: known ? deviation : null,
      z: null,
      low: null,
      high: null,
      anomaly: false,
      state: 'warming',
    }
  }
  const rounding = 4 * 2 ** -52 * Math.abs(mean)
  const isFlat = deviation <= rounding
  const leaves = Math.abs(last.value - mean) > rounding
  let z = (last.value - mean) / deviation
  if (isFlat) z = leaves ? Math.sign(last.value - mean) * 1e6 : 0
  if (z > 1e6) z = 1e6
  if (z < -1e6) z = -1e6
  const anomaly = Math.abs(z) > settings.threshold * (1 + 1e-12)
  let state: Analysis['state'] = 'ok'
  if (isFlat) state = 'flat'
  if (anomaly) state = 'anomalous'
  const low = mean - settings.threshold * deviation
  const high = mean + settings.threshold * deviation
  return { ...common, mean, deviation, z, low, high, anomaly, state }
}

/**
 * The formula step by step: shifted by the oldest, summed oldest to newest, the first pass
 * corrected by the second.
 */
function oracleMean(values: readonly number[]): number {
  const oldest = values[0] ?? 0
  const shifted = values.map(value => value - oldest)
  const mean = sum(shifted) / shifted.length
  const residual = sum(shifted.map(value => value - mean))
  return oldest + (mean + residual / shifted.length)
}

function oracleDeviation(values: readonly number[]): number {
  const oldest = values[0] ?? 0
  const shifted = values.map(value => value - oldest)
  const mean = sum(shifted) / shifted.length
  const differences = shifted.map(value => value - mean)
  const residual = sum(differences)
  const squares = sum(differences.map(difference => difference * difference))
  if (squares === Number.POSITIVE_INFINITY) {
    const scaled = differences.map(difference => difference * 2 ** -600)
    return Math.sqrt(sum(scaled.map(difference => difference * difference)) / values.length) / 2 ** -600
  }
  return Math.sqrt(Math.max(0, (squares - (residual * residual) / values.length) / values.length))
}

function sum(values: readonly number[]): number {
  let total = 0
  for (const value of values) total += value
  return total
}
