import type { Readable } from 'node:stream'
import type { Sample } from '@tidemark/shared/sample/sample'
import { parse } from 'csv-parse'
import { Failure } from '../lib/options.ts'
import { type Columns, readHeader, readRow } from '../start/csv.ts'

/** A longer line is not a sample: most likely a quote is never closed. */
const LINE_BYTES_MAX = 65_536

/** A row of a file, valid or not: scores are written for every row. */
export interface Row {
  /** The cells as in the file. */
  readonly timestampText: string
  readonly valueText: string
  readonly key: string
  readonly hasKey: boolean
  /** Undefined if the row is invalid. */
  readonly sample: Sample | undefined
  readonly line: number
  /** Why the row is invalid; empty if it is valid. */
  readonly reason: string
  /** Bytes of the file up to the end of the row. */
  readonly bytes: number
}

/** Reads the rows of a CSV file, without its header, no faster than they are consumed. */
export async function* readRows(file: Readable, name: string): AsyncGenerator<Row> {
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
  // pipe() does not forward errors, and the loop below would wait for ever.
  file.on('error', error => parser.destroy(error))
  let columns: Columns | undefined
  try {
    for await (const { record, info } of parser as AsyncIterable<{
      record: string[]
      info: { lines: number; bytes: number }
    }>) {
      if (columns === undefined) {
        columns = readHeader(record)
        if (columns !== undefined) continue
        columns = { timestamp: 0, value: 1, key: record.length > 2 ? 2 : undefined }
      }
      const content = readRow(record, columns, name)
      yield {
        timestampText: record[columns.timestamp] ?? '',
        valueText: record[columns.value] ?? '',
        key: columns.key === undefined ? name : (record[columns.key] ?? ''),
        hasKey: columns.key !== undefined,
        sample: content.kind === 'sample' ? content.sample : undefined,
        line: info.lines,
        reason: content.kind === 'sample' ? '' : content.reason,
        bytes: info.bytes,
      }
    }
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error
    throw new Failure(`cannot read ${name}: ${error.message}`, { cause: error })
  } finally {
    file.destroy()
  }
}
