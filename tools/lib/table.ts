import { formatCount, pad, widthOf } from './format.ts'

/** A number is written with separators between thousands. */
export type Cell = string | number
type Rows = readonly (readonly Cell[])[]

export interface TableOptions {
  readonly align?: 'left' | 'right'
}

/** Returns a table for a terminal: aligned columns, two blanks apart. */
export function formatTable(head: readonly string[], rows: Rows, options?: TableOptions): string {
  const lines = toColumns(head, rows, options).map(cells => cells.join('  ').trimEnd())
  return lines.join('\n')
}

/** Returns a table in Markdown, with aligned columns to be readable in a terminal. */
export function formatMarkdownTable(head: readonly string[], rows: Rows, options: TableOptions = {}): string {
  const escaped = rows.map(cells => cells.map(escapeCell))
  const [titles = [], ...lines] = toColumns(head, escaped, options)
  const rule = titles.map((title, i) => {
    const width = Math.max(3, widthOf(title))
    return i > 0 && options.align === 'right' ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)
  })
  return [titles, rule, ...lines].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** Replaces the section of a page between `<!-- name: begin -->` and `<!-- name: end -->`. */
export function replaceSection(page: string, name: string, section: string): string {
  const begin = `<!-- ${name}: begin -->`
  const end = `<!-- ${name}: end -->`
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the page needs the lines ${begin} and ${end}`)
  return `${page.slice(0, from + begin.length)}\n\n${section}\n\n${page.slice(to)}`
}

/** Returns the head and all rows, each cell padded to its column's width. */
function toColumns(head: readonly string[], rows: Rows, { align = 'left' }: TableOptions = {}): string[][] {
  const lines = [head, ...rows.map(cells => cells.map(toText))]
  const widths = head.map((_, i) => Math.max(...lines.map(cells => widthOf(cells[i] ?? ''))))
  return lines.map(cells => widths.map((width, i) => pad(cells[i] ?? '', width, i === 0 ? 'left' : align)))
}

function toText(cell: Cell): string {
  return typeof cell === 'number' ? formatCount(cell) : cell
}

/** A bar or a line break would end the cell. */
function escapeCell(cell: Cell): string {
  return toText(cell).replaceAll('|', '\\|').replaceAll('\n', ' ')
}
