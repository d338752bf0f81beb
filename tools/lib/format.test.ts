import { expect, test } from 'vitest'
import {
  formatDuration,
  formatNumber,
  formatShare,
  formatValue,
  formatZ,
  pad,
  paragraph,
  sparkline,
  truncate,
} from './format.ts'

test.each([
  [0, '0'],
  [12.3456, '12.35'],
  [1234.5, '1235'],
  [-0.5, '-0.5'],
  [123_456_789, '1.23e8'],
  [1e100, '1.00e100'],
  [0.000123, '1.23e-4'],
])('the number %d is written %s', (value, text) => {
  expect(formatNumber(value)).toBe(text)
})

test.each([
  [97.46, 'percent', '97.5 %'],
  [1536, 'bytes', '1.50 KiB'],
  [900, 'bytes_per_second', '900 B/s'],
  [5.3 * 1024 ** 3, 'bytes', '5.30 GiB'],
  [0.04, 'milliseconds', '0.0 ms'],
] as const)('%d in %s is %s', (value, unit, text) => {
  expect(formatValue(value, unit)).toBe(text)
})

test.each([
  [null, '-'],
  [0, '0.0'],
  [-0.01, '0.0'],
  [2.34, '+2.3'],
  [-15.66, '-15.7'],
  [123.4, '+123'],
  [1e6, '+1e6'],
  [-12_345, '-1.2e4'],
])('z %d is %s', (z, text) => {
  expect(formatZ(z)).toBe(text)
})

test.each([
  [250, '0.3 s'],
  [12_345, '12 s'],
  [59_900, '60 s'],
  [61_000, '1 min 1 s'],
  [3_723_000, '1 h 2 min 3 s'],
])('%d ms are %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test('a small share does not show as zero', () => {
  expect(formatShare(0, 100)).toBe('0 %')
  expect(formatShare(1, 1_000_000)).toBe('< 0.01 %')
  expect(formatShare(1, 3)).toBe('33.3 %')
  expect(formatShare(0, 0)).toBe('0 %')
})

test('a text is cut to a number of columns', () => {
  expect(truncate('温度センサー', 5)).toBe('温度…')
  expect(pad('温度', 6)).toBe('温度  ')
  expect(pad('abc', 5, 'right')).toBe('  abc')
  expect(pad('abcdef', 3)).toBe('ab…')
})

test('a sparkline spans from the minimum to the maximum', () => {
  expect(sparkline([1, 2, 3])).toBe('▁▅█')
  expect(sparkline([7, 7])).toBe('▁▁')
})

test('a paragraph is wrapped at 100 columns', () => {
  const lines = paragraph('word '.repeat(30).trim(), 'end.').split('\n')
  expect(lines.map(line => line.length)).toEqual([99, 54])
  expect(lines.at(-1)).toMatch(/word end\.$/)
})
