import { expect, test } from 'vitest'
import { formatMarkdownTable, formatTable, replaceSection } from './table.ts'

test('a table for a terminal has aligned columns', () => {
  const text = formatTable(
    ['key', 'samples', ''],
    [
      ['温度', 1234, ''],
      ['pressure', 7, 'x'],
    ],
    { align: 'right' },
  )
  expect(text).toBe(['key       samples', '温度        1,234', 'pressure        7  x'].join('\n'))
})

test('a table in Markdown states its alignment and escapes bars in cells', () => {
  expect(formatMarkdownTable(['key', 'samples'], [['a|b', 1234]], { align: 'right' })).toBe(
    ['| key  | samples |', '| ---- | ------: |', '| a\\|b |   1,234 |'].join('\n'),
  )
})

test('a section of a page is replaced between its marks', () => {
  const page = 'a\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nb'
  expect(replaceSection(page, 'figures', 'new')).toBe('a\n<!-- figures: begin -->\n\nnew\n\n<!-- figures: end -->\nb')
  expect(() => replaceSection(page, 'other', '')).toThrow('<!-- other: begin -->')
})
