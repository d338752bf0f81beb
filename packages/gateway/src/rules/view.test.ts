import { duration } from '@tidemark/shared/detection/rules/fields'
import { expect, test } from 'vitest'
import { durationText } from './view.ts'

test.each([
  [0, '0s'],
  [1, '1ms'],
  [0.5, '0.5ms'],
  [1500, '1500ms'],
  [90_000, '90s'],
  [600_000, '10m'],
  [5_400_000, '90m'],
  [7_200_000, '2h'],
  [86_400_000, '1d'],
  [30 * 86_400_000, '30d'],
])('%d ms are written as %s, which is read as the same duration', (ms, text) => {
  expect(durationText(ms)).toBe(text)
  expect(duration.parse(text)).toBe(ms)
})
