import { expect, test } from 'vitest'
import { replaceSection, table } from './page.ts'

test('a section is replaced between its marks, and nothing else is', () => {
  const page = 'before\n<!-- a -->\nold\n<!-- /a -->\nafter\n'
  expect(replaceSection(page, 'a', 'new')).toBe('before\n<!-- a -->\n\nnew\n\n<!-- /a -->\nafter\n')
  expect(replaceSection(replaceSection(page, 'a', 'new'), 'a', 'new')).toBe(replaceSection(page, 'a', 'new'))
})

test('a page without the place says which marks it needs', () => {
  expect(() => replaceSection('text', 'figures', '')).toThrow(
    /it needs the lines <!-- figures --> and <!-- \/figures -->/,
  )
})

test('a table has its numbers on the right', () => {
  expect(table(['what', 'how many'], [['samples', 1234]])).toBe(
    '| what | how many |\n| --- | ---: |\n| samples | 1,234 |',
  )
})
