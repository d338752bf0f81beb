import { createHabit } from '@tidemark/shared/detection/detectors/habit'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wavering } from '../../src/memory-oracle.ts'
import { oracleDiscount, oracleNews, oraclePlaces, zScores } from '../../src/places-oracle.ts'
import { anySeries, scoresOf } from '../../src/series.ts'

function variation(values: readonly number[], n: number): number | undefined {
  if (n < 19) return undefined
  const last = values[n] ?? 0
  const differences = values.slice(n - 19, n).map(value => value - last)
  const mean = differences.reduce((sum, difference) => sum + difference, 0) / 20
  // The difference of the value from itself is 0; its square comes first.
  const squares = differences.reduce((sum, difference) => sum + (difference - mean) * (difference - mean), mean * mean)
  const deviation = Math.sqrt(Math.min(squares, Number.MAX_VALUE) / 20)
  return deviation <= 4 * 2 ** -52 * Math.abs(last) ? 0 : Math.sqrt(deviation)
}

function trend(values: readonly number[], n: number): number | undefined {
  if (n < 49) return undefined
  const last = values[n] ?? 0
  const sum = (from: number, to: number): number =>
    values.slice(from, to).reduce((total, value) => total + (value - last), 0)
  const older = sum(n - 49, n - 9)
  const newer = sum(n - 9, n)
  const result = newer / 10 - (older + newer) / 50
  return Number.isFinite(result) ? result : undefined
}

/** The recipe, line by line: everything is kept, and searched from end to end. */
function oracle(values: readonly number[]): number[] {
  const ofValues = oraclePlaces({ capacity: 64, newAbove: 0.02 })
  const ofVariations = oraclePlaces({ capacity: 40, newAbove: 0.03 })
  const ofTrends = oraclePlaces({ capacity: 40, newAbove: 0.03 })
  const zs = zScores(values, 10)
  const passed: number[] = []
  let record = 0
  return values.map((value, n) => {
    const size = Math.abs(value)
    const x = ofValues.look(value, n)
    const a = oracleNews(x.d - 0.2 * x.g, x.w, size)
    const varied = variation(values, n)
    const moved = trend(values, n)
    const y = varied === undefined ? undefined : ofVariations.look(varied, n)
    const b = y === undefined || varied === undefined ? 0 : oracleNews(y.d, y.w, varied)
    const t = moved === undefined ? undefined : ofTrends.look(moved, n)
    const c = t === undefined ? 0 : oracleNews(t.d, t.w, size)
    const difference = n === 0 ? 0 : Math.min(Number.MAX_VALUE, Math.abs(value - (values[n - 1] ?? 0)))
    const step = difference <= 4 * 2 ** -52 * size ? 0 : difference
    const s = step === 0 ? 0 : record > 0 ? Math.max(0, step / record - 1) : 2
    record = Math.max(record, step) * (1 - 1e-4)
    ofValues.visit(value, n)
    if (varied !== undefined) ofVariations.visit(varied, n)
    if (moved !== undefined) ofTrends.visit(moved, n)

    const isLater = n >= 150
    const cappedAt = (most: number): number =>
      Math.max(
        Math.min(most, a) * (oracleDiscount(zs[n]) / 0.023),
        Math.min(most, s) * (1 / 0.2),
        isLater ? Math.min(most, b) * (1 / 0.09) : 0,
        isLater ? Math.min(most, c) * 13.04 : 0,
      )
    const raw = cappedAt(2)
    const bar = Math.max(0, ...passed.slice(-50))
    const score = raw > bar ? raw : 0
    // What is capped counts as 1 after it, or as what it exceeded.
    passed.push(n >= 50 && score > 0 ? Math.max(bar, cappedAt(1)) : 0)
    return n < 50 ? Number.NaN : score
  })
}

describe('habit', () => {
  test('equals its formula, bit for bit', () => {
    fc.assert(
      fc.property(anySeries, values => {
        expect(scoresOf(createHabit(), values)).toEqual(oracle(values))
      }),
    )
  })

  test('equals its formula beyond its memory of 4,000 samples', () => {
    const values = wavering(14_000)
    expect(scoresOf(createHabit(), values)).toEqual(oracle(values))
  })

  test('detects a key that stops varying at a usual value, and one that starts to swing', () => {
    const usual = Array.from({ length: 500 }, (_, n) => Math.sin(n) + Math.sin(n * 1.7))
    const silent = scoresOf(createHabit(), [...usual, ...Array.from({ length: 30 }, () => 0.1)])
    expect(Math.max(...silent.slice(500))).toBeGreaterThan(1)
    const swinging = scoresOf(createHabit(), [
      ...usual,
      ...Array.from({ length: 30 }, (_, n) => (n % 2 === 0 ? 1.9 : -1.9)),
    ])
    expect(Math.max(...swinging.slice(500))).toBeGreaterThan(1)
  })
})
