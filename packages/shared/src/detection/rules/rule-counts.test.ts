import { describe, expect, test } from 'vitest'
import { parseRuleCountName, RULE_COUNTS, ruleCountName } from './rule-counts.ts'

describe('the name of a count', () => {
  test.each([
    ['edge-cpu', 12, 'edge-cpu:12:judged'],
    ['', 0, ':0:judged'],
    ['__proto__', 1, '__proto__:1:judged'],
    ['a.b_c-d', 999_999_999_999_999, 'a.b_c-d:999999999999999:judged'],
  ])('of rule "%s" at version %i is %s, and is parsed', (rule, version, name) => {
    expect(ruleCountName(rule, version, 'judged')).toBe(name)
    expect(parseRuleCountName(name)).toEqual({ rule, version, what: 'judged' })
  })

  test('differs for each counted thing', () => {
    const names = RULE_COUNTS.map(what => ruleCountName('r', 3, what))
    expect(new Set(names).size).toBe(RULE_COUNTS.length)
    expect(names.map(name => parseRuleCountName(name)?.what)).toEqual([...RULE_COUNTS])
  })

  test.each(['', 'r', 'r:1', 'r:1:', 'r:1:toString', 'r:1:judged:', 'r:x:judged', 'r:-1:judged', 'a:b:1:judged'])(
    'is not "%s"',
    name => {
      expect(parseRuleCountName(name)).toBeUndefined()
    },
  )
})
