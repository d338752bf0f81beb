import { type Column, type Columns, chooseColumns, type GivenColumns } from './columns.ts'
import { isSampleRow, splitRecords } from './delimiter.ts'
import type { Line } from './lines.ts'
import { hasTimeWord, isNamed, normalName } from './names.ts'
import { detectNumberFormat, isMissing, isNumeric, type NumberFormat, provenDecimal } from './number-format.ts'
import { CsvProblem } from './problem.ts'
import { detectJoinedFormat, detectTimeFormat, mostFrequent, type TimeFormat, timeFormatOf } from './time-format.ts'
import { dateKind, withoutZoneName } from './time-text.ts'
import { TimeZone } from './time-zone.ts'

/** What a user can decide instead of the detection. */
export interface TableOptions extends GivenColumns {
  readonly timeFormat?: string | undefined
  readonly decimal?: '.' | ',' | undefined
  /** The zone of times without one; UTC by default. */
  readonly zone?: string | undefined
}

/** A part of a file with one header; most files have one. */
export interface Table {
  readonly header: readonly string[] | undefined
  /** The line of the header; 0 without one. */
  readonly headerLine: number
  /** Lines before the first row that are neither header nor comment. */
  readonly preamble: number
  readonly columns: Columns
  readonly width: number
  readonly time: TimeFormat
  /** What is subtracted from local times if the header names an offset, and how it is written. */
  readonly offset: { readonly ms: number; readonly name: string } | undefined
  /** The zone that a column names, unless an option does; undefined without such a column. */
  readonly zone: TimeZone | undefined
  /** Of each value column. */
  readonly numbers: readonly NumberFormat[]
  /** The rows, beginning after the header. */
  readonly rows: readonly Line[]
}

const ANNOTATION = /^#(datatype|group|default|constant|timezone|concat)\b/
const COMMENT = /^\s*(#|\/\/|%)/
/** Rules of a table drawn with characters, and the number of rows below it. */
const DECORATION = /^(?=.*[-=]{2})[-=+| ─┼│]+$|^\(\d+ rows?\)$|^\d+ rows? in set\b.*$|^sep=.{0,2}$/i

/** Lines in which a header is sought. */
const HEADER_WITHIN = 100
/** Rows of units and the like between the header and the first row. */
const UNIT_ROWS_MAX = 4
/** Rows that describe the columns, if all rows with dates follow them. */
const DESCRIPTION_ROWS_MAX = 20

export function isComment({ text }: Line): boolean {
  return COMMENT.test(text)
}

export function isDecoration({ text }: Line): boolean {
  return DECORATION.test(text.trim())
}

/** Whether a line begins the description of another table: annotated CSV has one per series. */
export function isAnnotation({ text }: Line): boolean {
  return ANNOTATION.test(text)
}

/** Whether cells name columns and none is a value. */
export function isHeaderRow(cells: readonly string[]): boolean {
  const isName = (cell: string): boolean => isNamed(normalName(cell), 'time') || hasTimeWord(normalName(cell))
  return cells.length > 1 && !cells.some(isValue) && cells.some(isName)
}

function isValue(cell: string): boolean {
  return isNumeric(cell) || dateKind(cell) !== undefined
}

interface Row {
  readonly line: Line
  readonly cells: readonly string[]
}

/** Decides how a table is read, from its first lines. Throws a CsvProblem if it cannot. */
export function openTable(lines: readonly Line[], delimiter: string, options: TableOptions): Table {
  const readable = lines.filter(line => line.damage === undefined && !isDecoration(line))
  const comments = readable.filter(isComment)
  const plain = readable.filter(line => !isComment(line))
  const split = splitRecords(
    plain.map(line => line.text),
    delimiter,
  )
  const rows = plain.map((line, index): Row => ({ line, cells: split[index] ?? [] }))
  if (rows.length === 0) throw new CsvProblem(comments.length > 0 ? 'it has comments and no rows' : 'it is empty')
  const isRow = rowTest(rows)
  const width = mostFrequent(rows.filter(isRow).map(({ cells }) => cells.length))
  if (width === undefined)
    throw new CsvProblem(withoutSamples(rows, lines.filter(line => line.damage !== undefined).length))
  const found = findHeader(rows, width, isRow) ?? findComment(comments, rows, { width, delimiter, isRow })
  const start = found === undefined ? 0 : rows.findIndex(({ line }) => line.number > found.line.number)
  const first =
    start < 0
      ? rows.length
      : start + leadingUnits(rows.slice(start), width, found !== undefined && isHeaderRow(found.cells))
  const data = rows.slice(first).filter(({ cells }) => cells.length >= Math.min(width, found?.cells.length ?? width))
  const above = found === undefined ? [] : rows.slice(0, rows.indexOf(found))
  const header = found === undefined ? undefined : shiftedHeader(filledHeader(found.cells, above), data, width)
  // Totals and notes below the rows are none.
  const samples = data.filter(row => isSampleRow(row.cells))
  const cells = (samples.length > 0 ? samples : data).map(row => row.cells)
  const given = options.timeFormat === undefined ? undefined : timeFormatOf(options.timeFormat)
  const isTime = given === undefined ? undefined : (text: string) => typeof given.parse(text) === 'number'
  const columns = chooseColumns(header, cells, { ...options, isTime })
  if (delimiter === ',' && options.value === undefined) refuseSplitNumbers(columns, header, cells)
  const times = cells.map(row => timeText(row, columns)).filter(text => !isMissing(text))
  const timeName = columns.time.map(({ name }) => `"${name}"`).join(' + ')
  const detect = columns.time.length > 1 ? detectJoinedFormat : detectTimeFormat
  const time = given ?? detect(times, timeName)
  const isTimeColumn = new Set(columns.time.map(({ index }) => index))
  const proven = provenDecimal(cells.flatMap(row => row.filter((_, index) => !isTimeColumn.has(index))))
  // Where the month is first, a comma may well stand between thousands.
  const file = proven ?? (time.name === 'MM/DD/YYYY' ? 'unknown' : undefined)
  const formatOf = (index: number): NumberFormat =>
    detectNumberFormat(
      cells.map(row => row[index] ?? ''),
      delimiter,
      { given: options.decimal, file },
    )
  const zoneColumn = columns.unused.find(({ name }) =>
    /^(tz|time_?zone|zeitzone|tz_?name)$/i.test(name.replaceAll(' ', '_')),
  )
  const isLocal = zoneColumn !== undefined && times.some(text => time.isLocal(text))
  const zone = isLocal && options.zone === undefined ? zoneOf(zoneColumn, cells) : undefined
  const firstLine = rows[first]?.line.number ?? 0
  return {
    header,
    headerLine: found?.line.number ?? 0,
    preamble: first - (found === undefined || isComment(found.line) ? 0 : 1),
    columns: zone === undefined ? columns : { ...columns, unused: columns.unused.filter(one => one !== zoneColumn) },
    zone,
    width: Math.max(header?.length ?? 0, header === undefined ? width : 0),
    time,
    offset: offsetOf(timeName),
    numbers: columns.value.map(({ index }) => formatOf(index)),
    rows: lines.filter(line => line.number >= firstLine && firstLine > 0),
  }
}

/** Returns the time of a row as one text. */
export function timeText(cells: readonly string[], { time }: Columns): string {
  const [first, second] = time
  if (first === undefined) return ''
  return second === undefined
    ? withoutZoneName((cells[first.index] ?? '').trim())
    : time
        .map(({ index }) => cells[index] ?? '')
        .join(' ')
        .trim()
}

function withoutSamples(rows: readonly Row[], damaged: number): string {
  if (damaged >= rows.length) return 'it is not text: most lines have NUL bytes or are endless'
  const [first] = rows
  const names = clip(first?.cells.join(', ') ?? '')
  if (rows.length === 1 && first !== undefined && !first.cells.some(isValue))
    return `it has a header (${names}) and no rows`
  const shown = JSON.stringify(clip(first?.line.text ?? ''))
  return `no line has a time and a number in different cells; the first one is ${shown}. Is it CSV? --delimiter names another delimiter`
}

function clip(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

type RowTest = (row: Row) => boolean

/** Returns what a row of this table has: a time and a number, or as much of it as any row has. */
function rowTest(rows: readonly Row[]): RowTest {
  const tests: readonly RowTest[] = [
    ({ cells }) => isSampleRow(cells),
    ({ cells }) => cells.length > 1 && cells.some(isValue),
  ]
  return tests.find(test => rows.some(test)) ?? (row => row.cells.length > 1 && row !== rows[0])
}

/**
 * Returns the row that names the columns: the first that has the name of a time and is followed by
 * rows. If none has, the fullest one before the first row.
 */
function findHeader(rows: readonly Row[], width: number, isRow: RowTest): Row | undefined {
  const isFull = (row: Row): boolean => row.cells.length === width && isRow(row)
  const isFollowed = (index: number): boolean => rows.slice(index + 1, index + 2 + UNIT_ROWS_MAX).some(isFull)
  const early = rows.slice(0, HEADER_WITHIN)
  const isNearWidth = ({ cells }: Row): boolean => cells.length > 1 && cells.length >= width - 1
  const named = early.find((row, index) => isNearWidth(row) && isHeaderRow(row.cells) && isFollowed(index))
  if (named !== undefined) return named
  // Names of columns may be numbers, if that of the time is not.
  const numbered = early.find(
    (row, index) => isNearWidth(row) && !isRowOf(row) && isFollowed(index) && hasNamedTime(row),
  )
  if (numbered !== undefined) return numbered
  const before = rows.slice(0, Math.max(0, rows.findIndex(isFull)))
  const texts = before.filter(row => isNearWidth(row) && !row.cells.some(isValue))
  const filled = ({ cells }: Row): number => new Set(cells.filter(cell => cell !== '')).size
  return texts.reduce<Row | undefined>(
    (best, row) => (best === undefined || filled(row) > filled(best) ? row : best),
    undefined,
  )
}

function hasNamedTime({ cells }: Row): boolean {
  return cells.some(cell => isNamed(normalName(cell), 'time') && !isValue(cell))
}

/** Whether a row has a time that is written as a date. */
function isRowOf({ cells }: Row): boolean {
  return cells.some(cell => dateKind(cell) !== undefined)
}

/** Returns a header that is written as a comment: the last one before the rows, of their width. */
function findComment(
  comments: readonly Line[],
  rows: readonly Row[],
  { width, delimiter, isRow }: { width: number; delimiter: string; isRow: RowTest },
): Row | undefined {
  const first = rows.find(isRow)?.line.number ?? 0
  const before = comments.filter(line => line.number < first && !isAnnotation(line))
  const split = splitRecords(
    before.map(({ text }) => text.replace(/^\s*(#|\/\/|%)+\s*/, '')),
    delimiter,
  )
  const headers = before.map((line, index): Row => ({ line, cells: split[index] ?? [] }))
  return headers.findLast(({ cells }) => cells.length === width && isHeaderRow(cells))
}

/** Returns how many rows of units and the like precede the first row with values. */
function leadingUnits(rows: readonly Row[], width: number, hasNamedHeader: boolean): number {
  const isFirst = ({ cells }: Row): boolean => cells.length >= Math.min(2, width) && cells.some(isValue)
  // Below a header without the name of a time there may be numbers that describe the columns.
  const firstDate = hasNamedHeader ? -1 : rows.findIndex(isRowOf)
  const dated = firstDate < 0 ? [] : rows.slice(firstDate)
  const hasDates = dated.filter(isRowOf).length * 2 > dated.length
  const first = hasDates ? firstDate : rows.findIndex(isFirst)
  const isUnits = ({ cells }: Row): boolean => cells.length > 1 || cells[0] === ''
  const most = hasDates ? DESCRIPTION_ROWS_MAX : UNIT_ROWS_MAX
  return first > 0 && first <= most && rows.slice(0, first).every(isUnits) ? first : 0
}

/** Where pandas writes several rows of names, the row of the time has no names for the others. */
function filledHeader(header: readonly string[], above: readonly Row[]): readonly string[] {
  const isNames = ({ cells }: Row): boolean => cells.length === header.length && !cells.some(isValue)
  const names = above.filter(isNames)
  return header.map(
    (name, index) =>
      name ||
      names
        .map(({ cells }) => cells[index] ?? '')
        .filter(Boolean)
        .join(' '),
  )
}

/** R writes the names of rows in a column that the header does not name. */
function shiftedHeader(header: readonly string[], rows: readonly Row[], width: number): readonly string[] {
  if (header.length !== width - 1) return header
  const isCounting =
    rows.length > 0 &&
    rows.every(({ cells }, index) => index === 0 || Number(cells[0]) === Number(rows[index - 1]?.cells[0]) + 1)
  return isCounting && /^\d+$/.test(rows[0]?.cells[0] ?? '') ? ['', ...header] : header
}

/**
 * Refuses whole numbers before a column of texts that has digits only: a decimal comma between
 * commas, whose fraction is in the place of a note or of a trailing delimiter.
 */
function refuseSplitNumbers(
  { value, unused }: Columns,
  header: readonly string[] | undefined,
  rows: readonly (readonly string[])[],
): void {
  const isText = (index: number): boolean =>
    header !== undefined &&
    /^(|units?|einheit|notes?|comments?|kommentar|remarks?|description|message)$/i.test(header[index] ?? '')
  const hasDigits = (index: number): boolean =>
    rows.some(row => row[index]) && rows.every(row => /^\d*$/.test(row[index] ?? ''))
  const fraction = [...unused, ...value].find(
    ({ index }) =>
      isText(index) && value.some(one => one.index === index - 1 && hasDigits(one.index)) && hasDigits(index),
  )
  if (fraction === undefined) return
  const whole = value.find(({ index }) => index === fraction.index - 1)?.name ?? ''
  throw new CsvProblem(
    `${whole} is followed by digits in ${fraction.name}: a decimal comma between commas? Export with quotes or another delimiter; --value ${/\s/.test(whole) ? `"${whole}"` : whole} reads whole numbers`,
  )
}

/** Returns the zone that a column names in all rows, such as Europe/Berlin; undefined for texts. */
function zoneOf({ index, name }: Column, rows: readonly (readonly string[])[]): TimeZone | undefined {
  const names = [...new Set(rows.map(row => row[index] ?? ''))].filter(text => text !== '')
  if (names.length === 0 || !names.every(text => /^[A-Z][\w+-]+(\/[\w+-]+)+$/.test(text))) return undefined
  const [first = ''] = names
  if (names.length === 1) return new TimeZone(first)
  throw new CsvProblem(
    `the times are of several zones (${names.slice(0, 3).join(', ')}) by the column ${name}: export them in UTC, or --zone names one zone for all`,
  )
}

/** Returns the offset of local times from UTC that the header of the time column names. */
function offsetOf(name: string): Table['offset'] {
  const [text, sign, hours = '', minutes = '0'] = /\b(?:GMT|UTC) ?([+-])(\d{1,2}):?(\d{2})?/.exec(name) ?? []
  if (text !== undefined)
    return { ms: (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000, name: text }
  // Windows' performance counters name the minutes from local time to UTC.
  const [pdh, zone, bias] = /\(PDH-CSV [\d.]+\) \(([^)]*)\)\((-?\d+)\)/.exec(name) ?? []
  return pdh === undefined ? undefined : { ms: -Number(bias) * 60_000, name: `${zone} (${bias} min)` }
}
