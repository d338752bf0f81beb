import { expect, test } from 'vitest'
import { readOptions } from './options.ts'

test('capacities come from the file unless the command line sets them', () => {
  expect(readOptions(['--analyzer', '5000'])).toMatchObject({
    analyzerSamplesPerCore: 5000,
    source: expect.stringContaining('command line'),
  })
  expect(readOptions([])).toMatchObject({ startS: 20, slower: 100, source: expect.stringContaining('performance.md') })
})

test.each([
  [['--gateway', '0'], "--gateway must be an integer from 1 to 1000000000, not '0'"],
  [['--start', 'soon'], "--start must be an integer from 1 to 1000000000, not 'soon'"],
  [['--capacity', 'nowhere.json'], /--capacity nowhere.json: .*ENOENT/],
  [['--capacity', 'package.json'], '--capacity package.json: source: '],
  [['--speed', '1'], "Unknown option '--speed'"],
])('%j is rejected', (args, message) => {
  expect(() => readOptions(args)).toThrow(message)
})
