import { describe, expect, test } from 'vitest'
import { parseAnalysis, type RuleFinding, toAnalysis, VERDICT_DEFAULTS } from './analysis.ts'
import { SCORE_CAP } from './score.ts'

const FINDING = {
  key: 'k',
  value: 12,
  timestamp: 5,
  mean: 10,
  deviation: 1,
  meanRest: 0,
  count: 51,
  window: 50,
  judged: null,
}
const CONTEXT = { partition: 3, id: '7-1', analyzedAt: 9, threshold: 2, windowMin: 30 }
const JUDGED = {
  rule: 'edge-cpu',
  detector: 'ewma',
  score: 7,
  threshold: 6,
  low: 5,
  high: 11,
  order: 'late',
  excluded: null,
  rate: null,
  outside: null,
  unit: null,
} as const satisfies RuleFinding

describe('an analysis', () => {
  test('has the band, the receipt and the state of its sample', () => {
    expect(toAnalysis(FINDING, CONTEXT)).toEqual({
      key: 'k',
      value: 12,
      timestamp: 5,
      mean: 10,
      deviation: 1,
      z: 2,
      threshold: 2,
      low: 8,
      high: 12,
      anomaly: false,
      state: 'ok',
      count: 51,
      window: 50,
      id: '3:7-1',
      analyzed_at: 9,
    })
  })

  test('is anomalous beyond the threshold', () => {
    expect(toAnalysis({ ...FINDING, value: 12.1 }, CONTEXT)).toMatchObject({ anomaly: true, state: 'anomalous' })
  })

  test('gives no verdict while the key is warming', () => {
    const analysis = toAnalysis({ ...FINDING, value: 1e9, window: 29 }, CONTEXT)
    expect(analysis).toMatchObject({ state: 'warming', z: null, low: null, high: null, anomaly: false, mean: 10 })
    expect(toAnalysis({ ...FINDING, window: 0 }, CONTEXT)).toMatchObject({
      state: 'warming',
      mean: null,
      deviation: null,
    })
  })

  test('is flat at the value of a flat window and anomalous at any other', () => {
    const flat = { ...FINDING, value: 10, deviation: 0 }
    expect(toAnalysis(flat, CONTEXT)).toMatchObject({ state: 'flat', z: 0, anomaly: false, low: 10, high: 10 })
    expect(toAnalysis({ ...flat, value: 11 }, CONTEXT)).toMatchObject({
      state: 'anomalous',
      z: SCORE_CAP,
      anomaly: true,
    })
  })

  test('has the default settings: window 50, threshold 2, at least 30 samples', () => {
    expect(VERDICT_DEFAULTS).toEqual({ window: 50, threshold: 2, windowMin: 30 })
  })

  test("under a rule has threshold, band and score of the rule's detector, and z of the window", () => {
    expect(toAnalysis({ ...FINDING, judged: JUDGED }, CONTEXT)).toMatchObject({
      z: 2,
      threshold: 6,
      low: 5,
      high: 11,
      anomaly: true,
      state: 'anomalous',
      rule: 'edge-cpu',
      detector: 'ewma',
      score: 7,
      late: true,
    })
    expect(toAnalysis({ ...FINDING, judged: { ...JUDGED, score: Number.NaN } }, CONTEXT)).toMatchObject({
      z: 2,
      low: null,
      high: null,
      score: null,
      state: 'warming',
    })
    expect(toAnalysis({ ...FINDING, judged: { ...JUDGED, excluded: 'refused' } }, CONTEXT)).toMatchObject({
      z: null,
      anomaly: false,
      state: 'refused',
    })
  })

  test.each([
    toAnalysis(FINDING, CONTEXT),
    toAnalysis({ ...FINDING, window: 0 }, CONTEXT),
    toAnalysis({ ...FINDING, judged: JUDGED }, CONTEXT),
    toAnalysis({ ...FINDING, judged: { ...JUDGED, order: 'duplicate', excluded: 'refused' } }, CONTEXT),
  ])('is parsed from its JSON; members of a newer version are ignored', analysis => {
    expect(parseAnalysis(JSON.stringify({ ...analysis, mood: 'good' }))).toEqual(analysis)
  })

  test.each([
    '',
    '{',
    'null',
    '[]',
    '{}',
    JSON.stringify({ ...toAnalysis(FINDING, CONTEXT), value: '12' }),
    JSON.stringify({ ...toAnalysis(FINDING, CONTEXT), state: 'fine' }),
    ...['rule', 'detector', 'score', 'late', 'duplicate'].map(name => {
      return JSON.stringify({ ...toAnalysis(FINDING, CONTEXT), [name]: false })
    }),
    ...Object.keys(toAnalysis(FINDING, CONTEXT)).flatMap(name => [
      JSON.stringify({ ...toAnalysis(FINDING, CONTEXT), [name]: undefined }),
      JSON.stringify({ ...toAnalysis(FINDING, CONTEXT), [name]: { nested: true } }),
    ]),
  ])('is undefined for the garbled text %j', text => {
    expect(parseAnalysis(text)).toBeUndefined()
  })
})
