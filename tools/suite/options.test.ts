import { expect, test } from 'vitest'
import { readGroups } from './options.ts'
import { GROUPS } from './step.ts'

test('without options every group runs', () => {
  expect(readGroups([])).toEqual(new Set(GROUPS))
})

test('--only takes some groups', () => {
  expect(readGroups(['--only', 'check, unit'])).toEqual(new Set(['check', 'unit']))
})

test.each([
  [['--only', 'unti'], 'unti'],
  [['--only', ''], '--only'],
  [['--fast'], "'--fast'"],
])('%j is rejected with a message that names it', (args, part) => {
  expect(() => readGroups(args)).toThrow(part)
})
