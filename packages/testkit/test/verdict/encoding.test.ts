import { formatReceipt } from '@tidemark/shared/sample/receipt'
import { EXCLUSIONS, SIDES, toAnalysis } from '@tidemark/shared/verdict/analysis'
import { encodeAnalysis } from '@tidemark/shared/verdict/encoding'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NASTY_KEYS } from '../../src/nasty-keys.ts'

test('an encoded analysis is the JSON of the analysis, text by text', () => {
  const number = fc.oneof(
    fc.double({ noNaN: true, min: -1e100, max: 1e100 }).map(value => value + 0),
    fc.constantFrom(0, 1, -1, 0.1, 20, 1e21, 1e-7),
  )
  const judged = fc.record({
    rule: fc.constantFrom(null, 'edge-cpu', 'a.b_c'),
    detector: fc.constantFrom('zscore', 'ewma'),
    score: fc.oneof(number, fc.constant(Number.NaN)),
    threshold: fc.constantFrom(2, 6, 0.023),
    low: fc.oneof(number, fc.constant(Number.NEGATIVE_INFINITY)),
    high: number,
    order: fc.constantFrom('in_order', 'late', 'duplicate'),
    excluded: fc.constantFrom(null, ...EXCLUSIONS),
    rate: fc.oneof(fc.constant(null), fc.double()),
    outside: fc.constantFrom(null, ...SIDES),
    unit: fc.constantFrom(null, 'ms', '"%\\'),
  })
  const finding = fc.record({
    key: fc.oneof(fc.constantFrom(...NASTY_KEYS), fc.string({ unit: 'binary', minLength: 1, maxLength: 30 })),
    value: number,
    timestamp: fc.integer({ min: 0, max: 8.64e15 }),
    mean: number,
    deviation: fc.oneof(fc.constant(0), fc.double({ noNaN: true, min: 0, max: 1e100 })),
    meanRest: fc.oneof(fc.constant(0), fc.double({ noNaN: true, min: -1e-3, max: 1e-3 })),
    count: fc.integer({ min: 1 }),
    window: fc.integer({ min: 0, max: 60 }),
    judged: fc.option(judged, { nil: null }),
  })
  const context = fc.record({
    partition: fc.nat(1023),
    id: fc.constantFrom('1-0', '1700000000000-12'),
    analyzedAt: fc.integer({ min: 0, max: 2e12 }),
    threshold: fc.constantFrom(2, 2.5, 0.1 + 0.2),
    windowMin: fc.constantFrom(2, 30),
  })
  fc.assert(
    fc.property(finding, context, (finding, context) => {
      const { partition, id, ...rest } = context
      const encoded = encodeAnalysis(finding, { ...rest, receipt: formatReceipt({ partition, id }) })
      expect(encoded).toBe(JSON.stringify(toAnalysis(finding, context)))
    }),
  )
})
