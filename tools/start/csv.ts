import type { Readable } from 'node:stream'
import { keyFault, type Sample, toMilliseconds } from '@tidemark/shared/sample/sample'
import { parse } from 'csv-parse'

/** As the gateway has it unless it is set otherwise; what the file breaks beyond that, the gateway says. */
const KEY_BYTES_MAX = 200

/** A longer line is no sample: most likely a quote that is never closed. */
const LINE_BYTES_MAX = 65_536

/** What columns are called in the wild; other names go by their place. */
const TIMESTAMP_NAMES = new Set(['timestamp', 'time', 'ts', 'date', 'datetime', 'date_time', 'at'])
const VALUE_NAMES = new Set(['value', 'val', 'v', 'y'])
const KEY_NAMES = new Set(['key', 'metric', 'series', 'name', 'device', 'id'])

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/

/** Where the parts of a sample stand in a row. */
export interface Columns {
  readonly timestamp: number
  readonly value: number
  /** Undefined: every sample has the default key. */
  readonly key: number | undefined
}

export type CsvRow = {
  /** The line of the file that it ends on, from 1. */
  readonly line: number
  /** Bytes of the file up to its end. */
  readonly bytes: number
} & RowContent

export type RowContent =
  | { readonly kind: 'sample'; readonly sample: Sample }
  | { readonly kind: 'refused'; readonly reason: string }

/** The samples of a CSV file in its order, and the lines that are none. Reads no faster than it is asked. */
export async function* readCsv(file: Readable, defaultKey: string): AsyncGenerator<CsvRow> {
  const parser = file.pipe(
    parse({
      bom: true,
      delimiter: [',', ';', '\t'],
      info: true,
      max_record_size: LINE_BYTES_MAX,
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
      trim: true,
    }),
  )
  // pipe() does not hand errors on, and without one the loop below would wait for ever.
  file.on('error', error => parser.destroy(error))
  let columns: Columns | undefined
  for await (const { record, info } of parser as AsyncIterable<{
    record: string[]
    info: { lines: number; bytes: number }
  }>) {
    if (columns === undefined) {
      columns = readHeader(record)
      if (columns !== undefined) continue
      columns = { timestamp: 0, value: 1, key: record.length > 2 ? 2 : undefined }
    }
    yield { line: info.lines, bytes: info.bytes, ...readRow(record, columns, defaultKey) }
  }
}

/**
 * The columns that a header row names, in any order. Names that say nothing go by their place, timestamp before value; a
 * third column is a key only when it is called so, since it may as well be a label. Undefined when the row is a sample.
 */
export function readHeader(row: readonly string[]): Columns | undefined {
  if (row.some(cell => NUMBER.test(cell) || parseTimestamp(cell) !== undefined)) return undefined
  const named = (names: ReadonlySet<string>): number | undefined => {
    const index = row.findIndex(cell => names.has(cell.toLowerCase()))
    return index < 0 ? undefined : index
  }
  const key = named(KEY_NAMES)
  const namedValue = named(VALUE_NAMES)
  const firstFree = (...taken: (number | undefined)[]): number => row.findIndex((_, index) => !taken.includes(index))
  const timestamp = named(TIMESTAMP_NAMES) ?? firstFree(key, namedValue)
  const value = namedValue ?? firstFree(key, timestamp)
  return timestamp < 0 || value < 0 ? undefined : { timestamp, value, key }
}

/** The sample of a row, or why it is none. */
export function readRow(row: readonly string[], columns: Columns, defaultKey: string): RowContent {
  const timestampText = row[columns.timestamp] ?? ''
  const valueText = row[columns.value] ?? ''
  const key = columns.key === undefined ? defaultKey : (row[columns.key] ?? '')
  if (row.length < 2) return refused('it has no second column; a line is timestamp,value or timestamp,value,key')
  const timestamp = parseTimestamp(timestampText)
  if (timestamp === undefined) {
    return refused(`the timestamp is neither Unix time nor ISO 8601: ${quote(timestampText)}`)
  }
  const value = NUMBER.test(valueText) ? Number(valueText) : Number.NaN
  if (!Number.isFinite(value)) return refused(`the value is not a finite number: ${quote(valueText)}`)
  const fault = keyFault(key, KEY_BYTES_MAX)
  if (fault !== undefined) return refused(`the key ${fault}`)
  return { kind: 'sample', sample: { key, value, timestamp } }
}

/** Unix seconds, Unix milliseconds or ISO 8601, as milliseconds. */
function parseTimestamp(text: string): number | undefined {
  return toMilliseconds(NUMBER.test(text) ? Number(text) : text)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text)
}

function refused(reason: string): RowContent {
  return { kind: 'refused', reason }
}
