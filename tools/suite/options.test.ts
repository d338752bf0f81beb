import { expect, test } from 'vitest'
import { GROUPS, parseCommand } from './options.ts'

test('without options everything is run', () => {
  expect(parseCommand([])).toEqual({ kind: 'run', groups: new Set(GROUPS) })
})

test('--only takes some groups', () => {
  expect(parseCommand(['--only', 'check, unit'])).toEqual({ kind: 'run', groups: new Set(['check', 'unit']) })
})

test.each([
  [['--only', 'unti'], "'unti'"],
  [['--only', ''], '--only'],
  [['--fast'], "'--fast'"],
])('%j is refused with a sentence that names it', (args, part) => {
  expect(parseCommand(args)).toEqual({ kind: 'wrong', reason: expect.stringContaining(part) })
})
