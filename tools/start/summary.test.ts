import { toAnalysis } from '@tidemark/shared/verdict/analysis'
import { describe, expect, test } from 'vitest'
import { Summary } from './summary.ts'

const CONTEXT = { partition: 1, id: '1-0', analyzedAt: 0, threshold: 2, windowMin: 30 }

interface Given {
  readonly key?: string
  readonly value?: number
  readonly count?: number
  readonly window?: number
}

function analysis({ key = 'rps', value = 100, count = 1, window = 50 }: Given = {}) {
  return toAnalysis(
    { key, value, timestamp: 1000 * count, mean: 100, deviation: 10, meanRest: 0, count, window, judged: null },
    CONTEXT,
  )
}

function summaryOf(...given: readonly Given[]): Summary {
  const summary = new Summary()
  given.forEach((one, index) => {
    summary.add(analysis({ count: index + 1, ...one }))
  })
  return summary
}

const render = (summary: Summary): string =>
  summary.render({ title: 'Replayed:', input: ['time = t'], durationMs: 2000 })

describe('the summary of a replay', () => {
  test('counts samples, keys, anomalies and samples during the warm-up', () => {
    const summary = summaryOf({ window: 3, value: 900 }, { value: 130 }, {}, {})
    expect([summary.analysed, summary.anomalies]).toEqual([4, 1])
    expect(render(summary)).toContain('Replayed:\n  time = t\n')
    expect(render(summary)).toContain('4 analysed, of 1 key\n')
    expect(render(summary)).toContain('1 (25.0 %)')
    expect(render(summary)).toContain('1 samples came before')
    expect(render(summary)).toContain('2.0 s, 2 samples/s')
  })

  test('lists the farthest anomalies first, at most twenty', () => {
    const text = render(
      summaryOf(...Array.from({ length: 30 }, (_, index) => ({ value: 130 + 10 * ((index * 7) % 30) }))),
    )
    const listed = [...text.matchAll(/^ {2}rps .*Z +(\d+) /gm)].map(([, value]) => Number(value))
    expect(listed).toEqual(Array.from({ length: 20 }, (_, index) => 420 - 10 * index))
    expect(text).toContain('The 20 farthest')
  })

  test('names the first ten rejected lines', () => {
    const summary = summaryOf({})
    for (let line = 2; line < 14; line++) summary.reject(line, 'the value is not a finite number: "x"')
    const text = render(summary)
    expect(text).toContain('Rejected lines: 12')
    expect(text).toContain('line 2: the value')
    expect(text).not.toContain('line 12:')
    expect(text).toContain('... 2 more')
  })

  test('notes that samples of earlier runs influence the verdicts', () => {
    expect(render(summaryOf({ count: 500 }))).toContain('1 key had samples in this Redis before')
    expect(render(summaryOf({ count: 1 }))).not.toContain('before,')
  })

  test('notes that other samples arrived meanwhile', () => {
    expect(render(summaryOf({ count: 1 }, { count: 3 }))).toContain('1 key got other samples meanwhile')
  })

  test('reports missing verdicts', () => {
    const summary = summaryOf({})
    summary.unknown += 7
    expect(render(summary)).toContain('7 verdicts could not be read')
  })
})
