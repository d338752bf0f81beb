import { expect, test } from 'vitest'
import { visible } from './visible.ts'

test.each([
  ['edge-1/cpu', 'edge-1/cpu'],
  ['\u202Ecpu', '<U+202E>cpu'],
  ['a\u2028b\u200Bc', 'a<U+2028>b<U+200B>c'],
  // Joiners belong to what is seen.
  ['\u{1F469}\u200D\u{1F467}', '\u{1F469}\u200D\u{1F467}'],
  ['\u0645\u0641\u062A\u0627\u062D', '\u0645\u0641\u062A\u0627\u062D'],
])('%j is shown as %j', (text, shown) => {
  expect(visible(text)).toBe(shown)
})
