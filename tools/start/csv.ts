import { type FileHandle, open } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { keyFault, type Sample } from '@tidemark/shared/sample/sample'
import { toMilliseconds } from '@tidemark/shared/sample/timestamp'
import { parse } from 'csv-parse'
import { Failure } from '../lib/options.ts'

/** The gateway's default. With another setting, the gateway rejects longer keys itself. */
const KEY_BYTES_MAX = 200

/** A longer line is not a sample: most likely a quote is not closed. */
const LINE_BYTES_MAX = 65_536

/** Common names of columns. Columns with other names are recognised by their position. */
const TIMESTAMP_NAMES = new Set(['timestamp', 'time', 'ts', 'date', 'datetime', 'date_time', 'at'])
const VALUE_NAMES = new Set(['value', 'val', 'v', 'y'])
const KEY_NAMES = new Set(['key', 'metric', 'series', 'name', 'device', 'id'])

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/

const OPEN_FAILURES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'you have no permission to read it',
  EISDIR: 'it is a folder',
}

export interface CsvFile extends AsyncDisposable {
  readonly handle: FileHandle
  readonly name: string
  /** The key of samples without a key column: the name of the file without folder and extension. */
  readonly key: string
  /** Bytes; 0 for a pipe. */
  readonly size: number
}

/** Opens a file to replay; rejects with a Failure that states the reason. */
export async function openFile(name: string): Promise<CsvFile> {
  // npm runs scripts in the project's folder; INIT_CWD is the folder in which npm was called.
  const path = resolve(process.env.INIT_CWD ?? '.', name)
  try {
    const handle = await open(path)
    const stats = await handle.stat()
    if (!stats.isDirectory()) {
      const key = basename(path, extname(path))
      return { handle, name, key, size: stats.size, [Symbol.asyncDispose]: () => handle.close() }
    }
    await handle.close()
    throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw new Failure(`cannot read ${name}: ${OPEN_FAILURES[code] ?? code}`, { cause: error })
  }
}

export interface Columns {
  readonly timestamp: number
  readonly value: number
  /** Undefined if every sample has the default key. */
  readonly key: number | undefined
}

export type CsvRow = {
  readonly record: readonly string[]
  readonly columns: Columns
  /** The line of the file on which the row ends, from 1. */
  readonly line: number
  /** Bytes of the file up to the end of the row. */
  readonly bytes: number
} & RowContent

type RowContent =
  | { readonly kind: 'sample'; readonly sample: Sample }
  | { readonly kind: 'refused'; readonly reason: string }

/** Yields the samples of a CSV file and its invalid lines, in the order of the file. */
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
  // pipe() does not forward errors; without this the loop below would never end.
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
    yield { record, columns, line: info.lines, bytes: info.bytes, ...readRow(record, columns, defaultKey) }
  }
}

/**
 * Returns the columns that a header row names; undefined if the row is a sample. Columns with
 * unknown names are recognised by position, timestamp before value. A third column is a key only
 * if its name says so: it may as well be a label.
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

/** Returns the sample in a row, or why the row is invalid. */
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

/** Converts Unix seconds, Unix milliseconds or ISO 8601 to milliseconds. */
function parseTimestamp(text: string): number | undefined {
  return toMilliseconds(NUMBER.test(text) ? Number(text) : text)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text)
}

function refused(reason: string): RowContent {
  return { kind: 'refused', reason }
}
