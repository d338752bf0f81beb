import { bandOf, createJudgement, isAnomaly } from '@tidemark/shared/detection/detectors/detector'
import { createZscore } from '@tidemark/shared/detection/detectors/zscore'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oracleAnalysis } from '../../src/oracle.ts'
import { anySeries, verdictsOf } from '../../src/series.ts'

describe('zscore', () => {
  test('is the mandated verdict, bit for bit: z, band and anomaly, ties and flat windows included', () => {
    fc.assert(
      fc.property(anySeries, fc.constantFrom(10, 50, 500), (values, window) => {
        const windowMin = Math.min(30, window)
        const settings = { ...VERDICT_DEFAULTS, window, windowMin }
        const verdicts = verdictsOf(createZscore({ samplesMin: windowMin }), values, window)
        for (const [n, verdict] of verdicts.entries()) {
          const samples = values.slice(0, n + 1).map(value => ({ value, timestamp: 0 }))
          const { z, low, high, anomaly } = oracleAnalysis('k', samples, settings)
          const judgement = { ...createJudgement(), ...verdict }
          expect(verdict.score).toBe(z === null ? Number.NaN : Math.abs(z))
          expect(isAnomaly(judgement, settings.threshold)).toBe(anomaly)
          if (z !== null) expect(bandOf(judgement, settings.threshold)).toEqual({ low, high })
        }
      }),
    )
  })

  test('an exact tie with the threshold is no anomaly', () => {
    const values = [...Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? 1 : -1)), 2, -2]
    const [tie] = verdictsOf(createZscore(), values).slice(50)
    expect(tie?.score).toBe(2)
    expect(isAnomaly({ ...createJudgement(), score: 2 }, 2)).toBe(false)
  })
})
