import { createHabit } from '@tidemark/shared/detection/detectors/habit'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oracleMemory, wavering } from '../../src/memory-oracle.ts'
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

function oracle(values: readonly number[]): number[] {
  const ofValues = oracleMemory({ capacity: 45, newAbove: 0.03 })
  const ofVariations = oracleMemory({ capacity: 45, newAbove: 0.03 })
  let peak = { raw: 0, at: -1000 }
  return values.map((value, n) => {
    const varied = variation(values, n)
    const news = [
      { memory: ofValues, at: value },
      { memory: ofVariations, at: varied },
    ].map(({ memory, at }) => {
      if (at === undefined) return 0
      const { nearest, inWidths } = memory.look(at)
      return nearest === undefined ? 0 : inWidths(Math.abs(nearest.value - at))
    })
    ofValues.visit(value)
    ofVariations.visit(varied)
    const raw = n < 150 ? (news[0] ?? 0) : Math.max(...news)
    const held = n - peak.at > 50 ? 0 : Math.min(1, peak.raw)
    if (raw > 0 && raw >= held) peak = { raw, at: n }
    if (n < 50) return Number.NaN
    return raw > held ? raw : 0
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
    expect(Math.max(...silent.slice(500))).toBeGreaterThan(0.1)
    const swinging = scoresOf(createHabit(), [
      ...usual,
      ...Array.from({ length: 30 }, (_, n) => (n % 2 === 0 ? 1.9 : -1.9)),
    ])
    expect(Math.max(...swinging.slice(500))).toBeGreaterThan(0.1)
  })
})
