import { describe, expect, test } from 'vitest'
import {
  EMPTY_DOCUMENT,
  formatRuleDocument,
  parseRuleChange,
  parseRuleDocument,
  RULES_MAX,
  readMute,
  readStorm,
  withMute,
  withoutMute,
  withoutRule,
  withRule,
  withStorm,
} from './document.ts'
import { RuleError } from './rule.ts'

const CHANGE = { who: 'ada', why: 'too loud', at: 1 }
const MUTE = { id: 'm', pattern: 'edge-*', until: '2026-12-01T06:00:00Z', who: 'ada', why: 'new racks' }

function faultsOf(read: () => unknown): readonly string[] {
  try {
    read()
  } catch (error) {
    if (error instanceof RuleError) return error.faults
    throw error
  }
  return []
}

describe('a document of rules', () => {
  test('has a new version after each change, and records who made it', () => {
    const first = withRule(EMPTY_DOCUMENT, { id: 'a', pattern: '*' }, CHANGE)
    const second = withRule(first, { id: 'b', pattern: 'b*' }, CHANGE)
    const third = withRule(second, { id: 'a', pattern: 'a*' }, { ...CHANGE, why: 'too quiet' })
    expect(third).toMatchObject({
      version: 3,
      rules: [
        { rule: { id: 'b' }, version: 2, changed: CHANGE },
        { rule: { id: 'a', pattern: 'a*' }, version: 3, changed: { why: 'too quiet' } },
      ],
    })
    expect(withoutRule(third, 'b')).toMatchObject({ version: 4, rules: [{ rule: { id: 'a' } }] })
    expect(withoutRule(third, 'c')).toBeUndefined()
    expect(first.rules).toHaveLength(1)
  })

  test('is parsed from its text unchanged', () => {
    const rule = { id: 'a', pattern: '*', alert: { sustained: 'off', hold: '5s' } }
    const document = withMute(withRule(EMPTY_DOCUMENT, rule, CHANGE), MUTE, Date.UTC(2026, 10, 1))
    expect(parseRuleDocument(formatRuleDocument(document))).toEqual(document)
  })

  test('is stored so that 0.1.0, which refuses unknown members of rules, can read it', () => {
    const plain = { id: 'a', pattern: 'a*', threshold: 3, shadow: true }
    const newer = { id: 'b', pattern: 'b*', ignore: [-127, 85], window: 60, counter: true, min: 0, max: 9, unit: 'ms' }
    const document = withRule(withRule(EMPTY_DOCUMENT, plain, CHANGE), newer, CHANGE)
    const text = formatRuleDocument(document)
    expect(JSON.parse(text).rules).toEqual([
      { rule: { id: 'a', pattern: 'a*', threshold: 3, shadow: true }, version: 1, changed: CHANGE },
      {
        rule: { id: 'b', pattern: 'b*', window: 60 },
        added: { ignore: [-127, 85], counter: true, min: 0, max: 9, unit: 'ms' },
        version: 2,
        changed: CHANGE,
      },
    ])
    expect(parseRuleDocument(text)).toEqual(document)
    expect(formatRuleDocument(parseRuleDocument(text) ?? EMPTY_DOCUMENT)).toBe(text)
  })

  test('stores a detector that the first version does not know beside its rule', () => {
    const document = withRule(EMPTY_DOCUMENT, { id: 'a', pattern: '*', detector: 'step', threshold: 8 }, CHANGE)
    const text = formatRuleDocument(document)
    expect(JSON.parse(text).rules[0]).toMatchObject({ rule: { id: 'a', threshold: 8 }, added: { detector: 'step' } })
    expect(JSON.parse(text).rules[0].rule.detector).toBeUndefined()
    expect(parseRuleDocument(text)).toEqual(document)
  })

  test('keeps the members and settings that a newer version added', () => {
    const newer = { id: 'a', pattern: '*', tomorrow: 1 }
    const text = JSON.stringify({
      ...EMPTY_DOCUMENT,
      rules: [{ rule: newer, version: 1, changed: { ...CHANGE, from: 'x' }, tags: [] }],
      owners: [],
    })
    expect(parseRuleDocument(text)).toEqual({
      ...EMPTY_DOCUMENT,
      rules: [{ rule: newer, version: 1, changed: CHANGE, tags: [] }],
      owners: [],
    })
  })

  test.each([
    '',
    '{',
    'null',
    '[]',
    '{}',
    JSON.stringify({ ...EMPTY_DOCUMENT, version: '3' }),
    JSON.stringify({ ...EMPTY_DOCUMENT, version: -1 }),
    JSON.stringify({ ...EMPTY_DOCUMENT, rules: {} }),
    JSON.stringify({ ...EMPTY_DOCUMENT, rules: [null] }),
    JSON.stringify({ ...EMPTY_DOCUMENT, rules: [{ rule: { id: 'a' }, version: 1, changed: CHANGE }] }),
    JSON.stringify({ ...EMPTY_DOCUMENT, rules: [{ rule: { id: 'a', pattern: '*' }, version: 1 }] }),
    JSON.stringify({ ...EMPTY_DOCUMENT, mutes: [{ ...MUTE, until: 5 }] }),
    JSON.stringify({ ...EMPTY_DOCUMENT, storm: null }),
  ])('is undefined for the garbled text %j', text => {
    expect(parseRuleDocument(text)).toBeUndefined()
  })

  test('accepts no change without its author and reason', () => {
    expect(faultsOf(() => withRule(EMPTY_DOCUMENT, { id: 'a', pattern: '*' }, { ...CHANGE, who: '' }))).toEqual([
      'change: who: must not be empty',
    ])
    expect(faultsOf(() => withRule(EMPTY_DOCUMENT, { id: 'a', pattern: '*' }, { ...CHANGE, why: '' }))).toEqual([
      'change: why: must not be empty',
    ])
  })

  test('holds at most 1,000 rules', () => {
    const rules = Array.from({ length: RULES_MAX }, (_, i) => ({
      rule: { id: `r${i}`, pattern: '*' },
      version: 1,
      changed: CHANGE,
    }))
    const full = { ...EMPTY_DOCUMENT, rules }
    expect(faultsOf(() => withRule(full, { id: 'one-more', pattern: '*' }, CHANGE))).toEqual([
      'rule "one-more": there are already 1000 rules',
    ])
    expect(withRule(full, { id: 'r7', pattern: 'a' }, CHANGE).rules).toHaveLength(RULES_MAX)
  })

  test('drops expired mutes when one is added', () => {
    const document = withMute(EMPTY_DOCUMENT, MUTE, Date.UTC(2026, 10, 1))
    expect(document).toMatchObject({ version: 1, mutes: [MUTE] })
    expect(withMute(document, { ...MUTE, id: 'n' }, Date.UTC(2027, 0, 1)).mutes).toMatchObject([{ id: 'n' }])
    expect(withoutMute(document, 'm')?.mutes).toEqual([])
    expect(withoutMute(document, 'x')).toBeUndefined()
    expect(faultsOf(() => readMute({ ...MUTE, until: 5 }))).toEqual([
      'mute "m": until: must be a time with its zone, like 2026-01-31T18:00:00Z',
    ])
  })

  test('holds the storm settings', () => {
    expect(withStorm(EMPTY_DOCUMENT, { percent: 5, within: '30s', keys_min: 20 })).toMatchObject({
      version: 1,
      storm: { percent: 5 },
    })
    expect(readStorm(EMPTY_DOCUMENT.storm)).toEqual({ percent: 20, within: 60_000, keys_min: 10 })
    expect(faultsOf(() => readStorm({ percent: 0, within: '30s', keys_min: 20 }))).toEqual([
      'storm: percent: must be a number from 1 to 100',
    ])
  })
})

describe('a change of the rules', () => {
  const change = { ...CHANGE, version: 3, kind: 'rule_put', id: 'a', content: { id: 'a', pattern: '*' } }

  test('is parsed from its JSON; members of a newer version are ignored', () => {
    expect(parseRuleChange(JSON.stringify({ ...change, from: 'x' }))).toEqual(change)
    const deleted = { ...change, kind: 'storm_put', id: null, content: null }
    expect(parseRuleChange(JSON.stringify(deleted))).toEqual(deleted)
  })

  test.each([
    '',
    'null',
    JSON.stringify({ ...change, kind: 'rule_eaten' }),
    JSON.stringify({ ...change, version: null }),
    JSON.stringify({ ...change, who: 7 }),
  ])('is undefined for the garbled text %j', text => {
    expect(parseRuleChange(text)).toBeUndefined()
  })
})
