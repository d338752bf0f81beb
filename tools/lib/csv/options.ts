import { commaSeparated, custom, flag, text } from '../options.ts'
import { delimiterOf } from './delimiter.ts'
import { labelOf } from './encoding.ts'
import type { CsvOptions } from './parser.ts'
import { timeFormatOf } from './time-format.ts'
import { TimeZone } from './time-zone.ts'

/** Returns a value whose parser throws for what it does not know. */
function checked(check: (given: string) => unknown): (given: string) => string | undefined {
  return given => {
    try {
      check(given)
      return given
    } catch {
      return undefined
    }
  }
}

const columns = (help: string) => commaSeparated(text({ placeholder: 'COLUMNS', help }))

/** What every program that reads CSV files accepts; each option replaces a decision. */
export const CSV_OPTIONS = {
  time: columns(
    'the time column, by its name or its number from 1; DATE,TIME joins two columns, and more with --time-format',
  ),
  value: columns('the value column; several columns are series of their own, whose keys end with the column name'),
  key: columns(
    'the key column; several columns are joined by slashes, such as device,metric. none: the name of the file',
  ),
  delimiter: custom({
    placeholder: 'CHAR',
    form: 'one character, or comma, semicolon, tab, pipe or space',
    help: 'what separates cells: a character, or comma, semicolon, tab, pipe or space',
    parse: delimiterOf,
  }),
  'time-format': custom({
    placeholder: 'FORMAT',
    form: 'iso, unix, unix-s, unix-ms, unix-us, unix-ns, excel, or a pattern such as "DD.MM.YYYY HH:mm:ss"',
    help: 'how times are written: iso, unix (-s, -ms, -us, -ns), excel, or a pattern such as "DD.MM.YYYY HH:mm:ss" or "%d.%m.%Y %H:%M"',
    parse: checked(timeFormatOf),
  }),
  zone: custom({
    placeholder: 'ZONE',
    form: 'a time zone such as Europe/Berlin',
    help: 'the time zone of times without one, such as Europe/Berlin (default UTC)',
    parse: checked(given => new TimeZone(given)),
  }),
  encoding: custom({
    placeholder: 'NAME',
    form: 'an encoding such as utf-8, utf-16le or windows-1252',
    help: 'the encoding of the file, such as utf-8, utf-16le or windows-1252',
    parse: checked(labelOf),
  }),
  decimal: custom({
    placeholder: 'CHAR',
    form: 'a comma or a point',
    help: 'the decimal mark of values: "," or "."',
    parse: given => (given === ',' || given === '.' ? given : undefined),
  }),
  'dry-run': flag('show how the file is read and its first ten samples; nothing is sent or scored'),
} as const

interface CsvValues {
  readonly time: readonly string[]
  readonly value: readonly string[]
  readonly key: readonly string[]
  readonly delimiter: string | undefined
  readonly 'time-format': string | undefined
  readonly zone: string | undefined
  readonly encoding: string | undefined
  readonly decimal: '.' | ',' | undefined
}

/** Returns what the command line says about a CSV file. */
export function csvOptionsOf(values: CsvValues): CsvOptions {
  const given = (list: readonly string[]): readonly string[] | undefined => (list.length > 0 ? list : undefined)
  return {
    time: given(values.time),
    value: given(values.value),
    key: given(values.key),
    delimiter: values.delimiter,
    timeFormat: values['time-format'],
    zone: values.zone,
    encoding: values.encoding,
    decimal: values.decimal,
  }
}
