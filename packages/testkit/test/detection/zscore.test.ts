import { bandOf, createJudgement } from '@tidemark/shared/detection/detectors/detector'
import { createZscore } from '@tidemark/shared/detection/detectors/zscore'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { isBeyond } from '@tidemark/shared/verdict/score'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oracleAnalysis } from '../../src/oracle.ts'
import { anySeries, verdictsOf } from '../../src/series.ts'

describe('zscore', () => {
  test('equals the oracle bit for bit: z, band and anomaly, including ties and flat windows', () => {
    fc.assert(
      fc.property(anySeries, fc.constantFrom(10, 50, 500), (values, window) => {
        const windowMin = Math.min(30, window)
        const settings = { ...VERDICT_DEFAULTS, window, windowMin }
        const verdicts = verdictsOf(createZscore({ samplesMin: windowMin }), values, window)
        for (const [n, verdict] of verdicts.entries()) {
          const samples = values.slice(0, n + 1).map(value => ({ value, timestamp: 0 }))
          const { z, low, high, anomaly } = oracleAnalysis('k', samples, settings)
          expect(verdict.score).toBe(z === null ? Number.NaN : Math.abs(z))
          expect(isBeyond(verdict.score, settings.threshold)).toBe(anomaly)
          if (z !== null)
            expect(bandOf({ ...createJudgement(), ...verdict }, settings.threshold)).toEqual({ low, high })
        }
      }),
    )
  })

  test('an exact tie with the threshold is not an anomaly', () => {
    const values = [...Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? 1 : -1)), 2, -2]
    const [tie] = verdictsOf(createZscore(), values).slice(50)
    expect(tie?.score).toBe(2)
    expect(isBeyond(2, 2)).toBe(false)
  })
})
