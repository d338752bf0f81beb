import { expect, test } from 'vitest'
import { formatDuration, formatValue, formatZ } from './format.ts'

test.each<[number | null, string]>([
  [null, '–'],
  [-0, '0'],
  [421.25, '421.3'],
  [6.2e9, '6.2B'],
  [-1e100, '-1E100'],
  [1e15, '1E15'],
  [1e-300, '1E-300'],
  [3.21e-7, '3.21E-7'],
])('the value %j is written as %s, however large or small', (value, text) => {
  expect(formatValue(value)).toBe(text)
})

test.each<[number, string]>([
  [-0.02, '0.0'],
  [-9.34, '-9.3'],
  [1234.5, '1,235'],
  [1e6, '1,000,000'],
])('%d deviations are written as %s', (z, text) => {
  expect(formatZ(z)).toBe(text)
})

test.each([
  [0, '0 seconds'],
  [1000, '1 second'],
  [90_000, '2 minutes'],
  [86_400_000, '1 day'],
  [4e13, '1,268 years'],
])('%i ms are written as %s, in English in every locale', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})
