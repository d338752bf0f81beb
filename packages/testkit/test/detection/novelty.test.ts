import { createNovelty } from '@tidemark/shared/detection/detectors/novelty'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oracleMemory, wavering } from '../../src/memory-oracle.ts'
import { oracleDiscount, zScores } from '../../src/places-oracle.ts'
import { anySeries, scoresOf } from '../../src/series.ts'

/** Keeps all discounted scores. A score passes if it exceeds the greatest of the last 50, or 1. */
function oracle(values: readonly number[]): number[] {
  const memory = oracleMemory({ capacity: 64, newAbove: 0.02 })
  const raws: number[] = []
  const zs = zScores(values, 10)
  return values.map((value, n) => {
    const { nearest, active, inWidths } = memory.look(value)
    let raw = 0
    if (nearest !== undefined) {
      const gaps = active.filter(other => other !== nearest).map(other => Math.abs(other.value - nearest.value))
      const discount = gaps.length === 0 ? 0 : 0.2 * Math.min(...gaps)
      raw = inWidths(Math.max(0, Math.abs(value - nearest.value) - discount)) * oracleDiscount(zs[n])
    }
    memory.visit(value)
    const before = raws.slice(-50)
    raws.push(raw)
    if (n < 50) return Number.NaN
    return raw > Math.min(1, Math.max(0, ...before)) ? raw : 0
  })
}

describe('novelty', () => {
  test('equals its formula, bit for bit', () => {
    fc.assert(
      fc.property(anySeries, values => {
        expect(scoresOf(createNovelty(), values)).toEqual(oracle(values))
      }),
    )
  })

  test('equals its formula beyond its memory of 4,000 samples', () => {
    const values = wavering(14_000)
    expect(scoresOf(createNovelty(), values)).toEqual(oracle(values))
  })

  test('forgets a value if no sample was near it for 4,000 samples', () => {
    const scoreAfter = (samples: number): number => {
      const calm = Array.from({ length: samples }, (_, n) => Math.sin(n))
      // The value first comes when the key has warmed up, and is new each time that it has been
      // forgotten.
      return scoresOf(createNovelty(), [...wave(100), 10, ...calm, 10]).at(-1) ?? 0
    }
    expect(scoreAfter(3999)).toBe(0)
    expect(scoreAfter(4000)).toBeGreaterThan(0.5)
  })

  test('reports a lasting deviation once', () => {
    const scores = scoresOf(createNovelty(), [...wave(500), ...Array.from({ length: 100 }, () => 10)])
    expect(scores.slice(500).filter(score => score > 0.023)).toHaveLength(1)
  })
})

function wave(length: number): number[] {
  return Array.from({ length }, (_, n) => Math.sin(n))
}
