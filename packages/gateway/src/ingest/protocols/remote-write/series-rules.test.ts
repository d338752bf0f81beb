import type { Labels } from '@tidemark/shared/sample/key-template'
import { describe, expect, test } from 'vitest'
import { parseSeriesRules } from './series-rules.ts'

const LABELS: Labels = [
  ['__name__', 'go_gc_total'],
  ['job', 'api'],
  ['replica', 'a'],
]

const apply = (...rules: object[]) => parseSeriesRules(JSON.stringify(rules)).apply(LABELS)
const NAME = { source_labels: ['__name__'] }

describe('rules', () => {
  test('without any take all labels', () => {
    expect(apply()).toEqual({ labels: LABELS, isCounter: undefined })
  })

  test.each([
    ['drop what matches', { action: 'drop', ...NAME, regex: 'go_.*' }, false],
    ['do not drop what matches in part', { action: 'drop', ...NAME, regex: 'go_' }, true],
    ['do not drop what matches one of two', { action: 'drop', ...NAME, regex: 'x|go_' }, true],
    ['keep what matches', { action: 'keep', ...NAME, regex: 'go_.*' }, true],
    ['do not keep the rest', { action: 'keep', ...NAME, regex: 'node_.*' }, false],
    ['join values', { action: 'keep', source_labels: ['job', 'replica'], regex: 'api;a' }, true],
    [
      'join by another separator',
      { action: 'keep', source_labels: ['job', 'replica'], separator: '/', regex: 'api/a' },
      true,
    ],
    ['take absent labels as empty', { action: 'keep', source_labels: ['zone', 'job'], regex: ';api' }, true],
    ['take flags of RE2', { action: 'keep', ...NAME, regex: '(?i)GO_.*' }, true],
  ])('%s', (_, rule, isTaken) => {
    expect(apply(rule) !== undefined).toBe(isTaken)
  })

  test('drop and keep labels by name', () => {
    expect(apply({ action: 'labeldrop', regex: 'rep.*' })?.labels).toEqual(LABELS.slice(0, 2))
    expect(apply({ action: 'labelkeep', regex: '__name__|job' })?.labels).toEqual(LABELS.slice(0, 2))
    expect(
      apply({ action: 'labeldrop', regex: 'job' }, { action: 'drop', source_labels: ['job'], regex: 'api' }),
    ).toBeDefined()
  })

  test('say what is a counter: the last one that matches', () => {
    expect(apply({ action: 'gauge', ...NAME, regex: '.*_total' })?.isCounter).toBe(false)
    expect(
      apply({ action: 'gauge', ...NAME, regex: '.*' }, { action: 'counter', ...NAME, regex: '.*_total' })?.isCounter,
    ).toBe(true)
    expect(apply({ action: 'counter', ...NAME, regex: 'x' })?.isCounter).toBeUndefined()
  })
})

test.each([
  ['{', 'is not JSON'],
  ['{}', 'must be an array of rules'],
  ['[1]', 'rule 0: '],
  ['[{"action":"replace","regex":"x"}]', 'rule 0: action: must be one of keep, drop'],
  ['[{"action":"drop","source_labels":["a"],"regex":"("}]', 'rule 0: regex: must be a regular expression'],
  ['[{"action":"drop","source_labels":["a"]}]', 'rule 0: regex: '],
  ['[{"action":"drop","regex":"x"}]', 'rule 0: source_labels: must name the labels of drop'],
  [
    '[{"action":"labeldrop","regex":"x"},{"action":"labeldrop","source_labels":["a"],"regex":"x"}]',
    'rule 1: source_labels: is not for labeldrop',
  ],
  ['[{"action":"drop","source_labels":["a"],"regex":"x","target":"b"}]', 'rule 0: '],
])('%s is refused: %s', (text, message) => {
  expect(() => parseSeriesRules(text)).toThrow(message)
})
