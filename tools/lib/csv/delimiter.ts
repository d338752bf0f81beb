import { parse } from 'csv-parse/sync'
import type { Line } from './lines.ts'
import { isNumeric, quote, unitOf } from './number-format.ts'
import { CsvProblem } from './problem.ts'
import { mostFrequent } from './time-format.ts'
import { dateKind, isTimeOfDay } from './time-text.ts'

export const DELIMITERS = [',', ';', '\t', '|'] as const

const NAMES: Readonly<Record<string, string>> = {
  comma: ',',
  semicolon: ';',
  tab: '\t',
  '\\t': '\t',
  pipe: '|',
  space: ' ',
}

const OPTIONS = { record_delimiter: '\n', relax_column_count: true, relax_quotes: true } as const

/** Lines from which the delimiter follows. */
const LINES = 200

/** Returns the delimiter that an option names; undefined if it is not one character. */
export function delimiterOf(given: string): string | undefined {
  const named = NAMES[given.toLowerCase()] ?? given
  return named.length === 1 && !/["\n\r\w]/.test(named) ? named : undefined
}

export function delimiterName(delimiter: string): string {
  return Object.entries(NAMES).find(([, one]) => one === delimiter)?.[0] ?? `"${delimiter}"`
}

/**
 * Returns the one delimiter with which most lines are rows with a time and a number; among several,
 * the one with which most lines have as many cells.
 */
export function detectDelimiter(lines: readonly Line[]): string {
  const texts = lines
    .filter(line => line.damage === undefined)
    .slice(0, LINES)
    .map(line => line.text)
  const scored = DELIMITERS.map(delimiter => {
    const rows = texts.map(text => splitLine(text, delimiter))
    const width = mostFrequent(rows.map(row => row.length).filter(length => length > 1)) ?? 1
    const even = width > 1 ? rows.filter(row => row.length === width).length : 0
    const good = width > 1 ? rows.filter(isSampleRow).length : 0
    return { delimiter, score: good + even / (texts.length + 1) }
  })
  const best = scored.reduce((a, b) => (b.score > a.score ? b : a))
  if (best.score > 0) return best.delimiter
  const shown = quote(texts[0] ?? '')
  throw new CsvProblem(
    `no line has two cells between commas, semicolons, tabs or bars; the first one is ${shown}. Is it CSV? --delimiter names another character`,
  )
}

/** Whether a row may be a sample: two numbers, or a time and a number, in different cells. */
export function isSampleRow(cells: readonly string[]): boolean {
  const numbers = cells.filter(cell => isNumeric(cell) || unitOf(cell) !== '').length
  return numbers > 1 || (numbers === 1 && cells.some(cell => dateKind(cell) !== undefined || isTimeOfDay(cell)))
}

/** Splits one record into its cells. */
export function splitLine(text: string, delimiter: string): string[] {
  return splitRecords([text], delimiter)[0] ?? []
}

/** Splits records into cells, together, which is much faster than one by one. */
export function splitRecords(records: readonly string[], delimiter: string): string[][] {
  // A tab between cells is not a blank around one.
  const isTrimmed = delimiter.trim() !== ''
  const split = (text: string): string[][] => parse(text, { ...OPTIONS, delimiter, trim: isTrimmed })
  let rows: string[][] | undefined
  try {
    rows = split(records.join('\n'))
  } catch {
    // Found again below, in the record to which it belongs.
  }
  if (rows?.length !== records.length) rows = records.map(record => splitAlone(record, split))
  return isTrimmed ? rows : rows.map(row => row.map(cell => cell.trim()))
}

/** A record that cannot be split is one cell, of which no sample is made. */
function splitAlone(record: string, split: (text: string) => string[][]): string[] {
  try {
    const [row, more] = split(record)
    return row === undefined || more !== undefined ? [record] : row
  } catch {
    return [record]
  }
}
