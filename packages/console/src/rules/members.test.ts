import { expect, test } from 'vitest'
import { fieldText, memberAt, readField, withMember } from './fields.ts'
import { differencesOf, settingsOf } from './members.ts'

test('what is typed becomes a member, and what is no number stays for the gateway to refuse', () => {
  expect(readField('number', ' 2.5 ')).toBe(2.5)
  expect(readField('number', '1,5')).toBe('1,5')
  expect(readField('number', 'off')).toBe('off')
  expect(readField('numbers', '-127, 85 x')).toEqual([-127, 85, 'x'])
  expect(readField('text', '  ')).toBeUndefined()
  expect(fieldText([-127, 85])).toBe('-127, 85')
})

test('members of alert are set and removed without touching the others', () => {
  const rule = { id: 'a', alert: { open: 2 } }
  const more = withMember(rule, 'alert.hold', '2m')
  expect(more).toEqual({ id: 'a', alert: { open: 2, hold: '2m' } })
  expect(memberAt(more, 'alert.hold')).toBe('2m')
  expect(withMember(withMember(more, 'alert.hold', undefined), 'alert.open', undefined)).toEqual({ id: 'a' })
  expect(memberAt(rule, 'alert.open.x')).toBeUndefined()
})

test('two versions differ in what was changed, added and removed', () => {
  const before = { id: 'a', pattern: 'x', threshold: 3, ignore: [1, 2], alert: { open: 1, hold: '2m' } }
  const after = { id: 'a', pattern: 'x', threshold: 4, ignore: [1, 2], alert: { open: 1 }, unit: 'ms' }
  expect(differencesOf(before, after)).toEqual([
    { path: 'threshold', before: '3', after: '4' },
    { path: 'unit', before: undefined, after: 'ms' },
    { path: 'alert.hold', before: '2m', after: undefined },
  ])
  expect(differencesOf(before, before)).toEqual([])
  expect(settingsOf(after).map(({ path }) => path)).toEqual(['threshold', 'ignore', 'alert.open', 'unit'])
})
