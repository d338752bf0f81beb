/** Puts `text` between the marks `<!-- name -->` and `<!-- /name -->` of a page. */
export function replaceSection(page: string, name: string, text: string): string {
  const begin = `<!-- ${name} -->\n`
  const end = `<!-- /${name} -->`
  const from = page.indexOf(begin)
  const to = page.indexOf(end)
  if (from < 0 || to < from)
    throw new Error(`the page has no place for ${name}: it needs the lines ${begin.trim()} and ${end}`)
  return `${page.slice(0, from + begin.length)}\n${text}\n\n${page.slice(to)}`
}

/** A table in Markdown. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.map(format).join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

function format(cell: string | number): string {
  return typeof cell === 'string' ? cell : cell.toLocaleString('en')
}
