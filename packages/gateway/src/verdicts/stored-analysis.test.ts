import { toAnalysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { describe, expect, test } from 'vitest'
import { readAnalysis } from './stored-analysis.ts'

const context = { partition: 0, id: '1-0', analyzedAt: 5, ...VERDICT_DEFAULTS } as const
const finding = { key: 'a', value: 1, timestamp: 2, mean: 3, deviation: 4, count: 51, window: 50, judged: null }
const judged = { rule: 'r', detector: 'novelty', score: Number.NaN, threshold: 1, low: 0, high: 2 }

describe('a stored analysis', () => {
  test.each([
    ['of the default policy', toAnalysis(finding, context)],
    ['without a window', toAnalysis({ ...finding, count: 1, window: 0 }, context)],
    ['of a rule', toAnalysis({ ...finding, judged: { ...judged, order: 'late', isRefused: true } }, context)],
    [
      'of a duplicate',
      toAnalysis({ ...finding, judged: { ...judged, order: 'duplicate', isRefused: false } }, context),
    ],
  ])('%s is read as it was written', (_, analysis) => {
    expect(readAnalysis(JSON.stringify(analysis))).toEqual(analysis)
  })

  const valid = toAnalysis(finding, context)
  test.each([
    ['', 'null', '7', '"a"', '[]', '{}', '{"key":"a"', JSON.stringify(valid).slice(0, -1)],
    Object.keys(valid).map(name => JSON.stringify({ ...valid, [name]: undefined })),
    Object.keys(valid).map(name => JSON.stringify({ ...valid, [name]: { nested: true } })),
    ['rule', 'detector', 'score', 'late', 'duplicate'].map(name => JSON.stringify({ ...valid, [name]: false })),
    [JSON.stringify({ ...valid, state: 'odd' })],
  ])('that is corrupt is not read: %#', (...texts) => {
    expect(texts.filter(text => readAnalysis(text) !== undefined)).toEqual([])
  })
})
