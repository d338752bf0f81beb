import type { Analysis, VerdictSettings } from '@tidemark/shared/verdict/analysis'
import { ratio, sumOf, toUnits, UNITS } from './exact.ts'

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
  const { mean, rest, deviation } = oracleSummary(values, last.value)
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
  const leaves = Math.abs(last.value - mean - rest) > rounding
  let z = (last.value - mean - rest) / deviation
  if (isFlat) z = leaves ? Math.sign(last.value - mean - rest) * 1e6 : 0
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

interface OracleSummary {
  readonly mean: number
  /** What the mean lost to rounding. */
  readonly rest: number
  readonly deviation: number
}

/** The rest is that of an exact sum if the value or 0 is near the mean; 0 if it is too small. */
function oracleSummary(values: readonly number[], value: number): OracleSummary {
  const summary = twoPasses(values)
  const near = summary.deviation * 2 ** -12
  const isNear = Math.abs(value - summary.mean) < near || Math.abs(summary.mean) < near
  const { mean, rest } = isNear ? exactMean(values) : summary
  const counts = Math.abs(rest) > Math.abs(value - mean) * 2 ** -40
  return { mean, rest: counts ? rest : 0, deviation: summary.deviation }
}

/**
 * The formula step by step: shifted by the oldest, summed oldest to newest, the first pass
 * corrected by the second. Values whose squares leave the range of doubles are scaled.
 */
function twoPasses(values: readonly number[]): OracleSummary {
  const oldest = values[0] ?? 0
  const size = values.length
  if (values.every(value => value === oldest)) return { mean: oldest, rest: 0, deviation: 0 }
  const shifted = values.map(value => value - oldest)
  const mean = sum(shifted) / size
  const differences = shifted.map(value => value - mean)
  const squares = sum(differences.map(difference => difference * difference))
  if (!(squares > 2 ** -900 && squares < 2 ** 1000)) {
    const scale = squares < 1 ? 2 ** 700 : 2 ** -600
    const scaled = twoPasses(values.map(value => value * scale))
    return { mean: scaled.mean / scale, rest: scaled.rest / scale, deviation: scaled.deviation / scale }
  }
  const residual = sum(differences)
  const rounded = oldest + mean
  const correction = ratio(toUnits(oldest) + toUnits(mean) - toUnits(rounded), UNITS) + residual / size
  return {
    mean: rounded + correction,
    rest: correction - (rounded + correction - rounded),
    deviation: Math.sqrt(Math.max(0, (squares - (residual * residual) / size) / size)),
  }
}

/** The mean of the exact sum, and what it lost to rounding. */
function exactMean(values: readonly number[]): { mean: number; rest: number } {
  const total = sumOf(values)
  const size = BigInt(values.length)
  const mean = ratio(total, UNITS) / values.length
  const rest = ratio(total - size * toUnits(mean), UNITS) / values.length
  return { mean: mean + rest, rest: rest - (mean + rest - mean) }
}

function sum(values: readonly number[]): number {
  let total = 0
  for (const value of values) total += value
  return total
}
