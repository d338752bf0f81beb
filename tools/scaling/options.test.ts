import { expect, test } from 'vitest'
import { parseCommand } from './options.ts'

test('capacities are those of the file, unless they are given', () => {
  const command = parseCommand(['--analyzer', '5000'])
  expect(command).toMatchObject({
    kind: 'run',
    options: { analyzerSamplesPerCore: 5000, source: expect.stringContaining('command line') },
  })
})

test.each([
  [['--gateway', '0'], "--gateway takes a number from 1 to 1000000000, not '0'"],
  [['--start', 'soon'], "--start takes a number from 1 to 1000000000, not 'soon'"],
  [['--capacity', 'nowhere.json'], '--capacity nowhere.json: ENOENT'],
  [['--capacity', 'package.json'], '--capacity package.json: source: '],
  [['--speed', '1'], "Unknown option '--speed'"],
])('%j is refused with a sentence', (args, reason) => {
  expect(parseCommand(args)).toEqual({ kind: 'wrong', reason: expect.stringContaining(reason) })
})
