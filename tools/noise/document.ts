import assert from 'node:assert/strict'

export const BEGIN = '<!-- npm run noise: begin -->'
export const END = '<!-- npm run noise: end -->'

/** The document with other tables between the markers. */
export function withTables(document: string, tables: string): string {
  const begin = document.indexOf(BEGIN)
  const end = document.indexOf(END)
  assert(begin >= 0 && end > begin, `docs/detection.md has no ${BEGIN} before ${END}`)
  return `${document.slice(0, begin + BEGIN.length)}\n\n${tables}\n\n${document.slice(end)}`
}
