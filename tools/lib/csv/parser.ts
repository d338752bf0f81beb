import { devicePrefix } from '@tidemark/shared/sample/device-key'
import { keyFault, type Sample } from '@tidemark/shared/sample/sample'
import type { Columns } from './columns.ts'
import { delimiterOf, detectDelimiter, isSampleRow, splitLine, splitRecords } from './delimiter.ts'
import { Decoder, detectEncoding, type Encoding } from './encoding.ts'
import { type Line, LineSplitter, RecordAssembler } from './lines.ts'
import { isMissing, type NumberFormat, parseNumber, quote } from './number-format.ts'
import { CsvProblem } from './problem.ts'
import { Profile } from './profile.ts'
import {
  isAnnotation,
  isComment,
  isDecoration,
  isHeaderRow,
  openTable,
  type Table,
  type TableOptions,
  timeText,
} from './table.ts'
import { unitOfUnix } from './time-format.ts'
import { TimeZone } from './time-zone.ts'

export interface CsvOptions extends TableOptions {
  readonly delimiter?: string | undefined
  readonly encoding?: string | undefined
}

/** A value of a row, as it stands in the file, and the sample that was made of it. */
export type CsvItem = {
  readonly line: number
  /** Empty for a line that could not be split. */
  readonly time: string
  readonly value: string
  /** Undefined if all samples have the default key. */
  readonly key: string | undefined
} & (
  | { readonly kind: 'sample'; readonly sample: Sample }
  | { readonly kind: 'refused'; readonly reason: string }
  /** A cell without a value, in a table with a key per column. */
  | { readonly kind: 'missing' }
)

/** The gateway's default. With another setting, the gateway rejects longer keys itself. */
const KEY_BYTES_MAX = 200

const ANY_NUMBER: NumberFormat = { decimal: 'either', hasGroups: false, unit: '' }

/** Bytes from which the encoding follows. */
const HEAD_BYTES = 65_536
/** Lines, and their characters, from which delimiter, columns and formats follow. */
const HEAD_LINES = 2000
const HEAD_CHARACTERS = 4_000_000
/** Lines that are split into cells together. */
const BLOCK_LINES = 512
/** Tables whose columns are kept for the report. */
const TABLES_KEPT = 100

/**
 * Reads the samples of a CSV file, in the order of the file, from chunks of its bytes. Memory grows
 * with the number of keys, not with the file. Throws a CsvProblem if the file has no samples at
 * all; damage costs the lines that it touches.
 */
export class CsvParser {
  readonly profile = new Profile()
  /** Tables with different columns, in the order of the file. */
  readonly tables: Table[] = []
  readonly #options: CsvOptions
  readonly #defaultKey: string
  readonly #zone: TimeZone | undefined
  readonly #splitter = new LineSplitter()
  #headBytes: Uint8Array[] = []
  #headSize = 0
  #decoder: Decoder | undefined
  #delimiter: string | undefined
  #isDelimiterGiven = false
  #assembler: RecordAssembler | undefined
  /** Lines of which nothing is known yet; records, as soon as the delimiter is known. */
  #head: Line[] = []
  #headCharacters = 0
  #table: Table | undefined
  #block: Line[] = []
  #items: CsvItem[] = []
  /** The latest time of each key, to resolve the hours that come twice. */
  readonly #latest = new Map<string, number>()
  /** Lines that are neither rows nor headers. */
  comments = 0
  repeatedHeaders = 0
  #hasTable = false
  /** Whether items have keys of their own; then those of refused lines are empty. */
  #hasKeys = false

  constructor(options: CsvOptions, defaultKey: string) {
    this.#options = options
    this.#defaultKey = defaultKey
    this.#zone = options.zone === undefined ? undefined : new TimeZone(options.zone)
    this.#delimiter = options.delimiter
    this.#isDelimiterGiven = options.delimiter !== undefined
  }

  get encoding(): Encoding | undefined {
    return this.#decoder?.encoding
  }

  get delimiter(): string | undefined {
    return this.#delimiter
  }

  get isDelimiterGiven(): boolean {
    return this.#isDelimiterGiven
  }

  get zone(): string | undefined {
    return this.#zone?.name
  }

  /** Returns the items that are complete. */
  push(chunk: Uint8Array): CsvItem[] {
    if (this.#decoder !== undefined) return this.#readText(this.#decoder.decode(chunk))
    this.#headBytes.push(chunk)
    this.#headSize += chunk.length
    return this.#headSize < HEAD_BYTES ? [] : this.#readText(this.#decodeHead().text)
  }

  /** Returns the last items. */
  end(): CsvItem[] {
    const head = this.#decoder === undefined ? this.#decodeHead() : { decoder: this.#decoder, text: '' }
    const text = head.text + head.decoder.end()
    this.#readLines([...this.#splitter.push(text), ...this.#splitter.end()])
    if (this.#assembler === undefined) this.#chooseDelimiter()
    for (const record of this.#assembler?.end() ?? []) this.#readRecord(record)
    while (this.#table === undefined && this.#head.length > 0) this.#openTable()
    this.#flush()
    if (!this.#hasTable) throw new CsvProblem('it is empty')
    return this.#take()
  }

  #decodeHead(): { decoder: Decoder; text: string } {
    const head = new Uint8Array(this.#headSize)
    let at = 0
    for (const chunk of this.#headBytes) {
      head.set(chunk, at)
      at += chunk.length
    }
    this.#headBytes = []
    this.#decoder = new Decoder(detectEncoding(head, this.#options.encoding))
    return { decoder: this.#decoder, text: this.#decoder.decode(head) }
  }

  #readText(text: string): CsvItem[] {
    this.#readLines(this.#splitter.push(text))
    return this.#take()
  }

  #take(): CsvItem[] {
    const items = this.#items
    this.#items = []
    return items
  }

  #readLines(lines: readonly Line[]): void {
    for (const line of lines) {
      if (this.#assembler !== undefined) {
        for (const record of this.#assembler.push(line)) this.#readRecord(record)
      } else {
        this.#addToHead(line)
        if (this.#isHeadFull()) this.#chooseDelimiter()
      }
    }
  }

  #addToHead(line: Line): void {
    this.#head.push(line)
    this.#headCharacters += line.text.length
  }

  #isHeadFull(): boolean {
    return this.#head.length >= HEAD_LINES || this.#headCharacters >= HEAD_CHARACTERS
  }

  #chooseDelimiter(): void {
    const lines = this.#takeHead()
    const given = /^sep=(.|\\t)\s*$/i.exec(lines[0]?.text ?? '')?.[1]
    if (this.#delimiter === undefined && given !== undefined) {
      this.#delimiter = delimiterOf(given)
      this.#isDelimiterGiven = true
    }
    const delimiter = this.#delimiter ?? detectDelimiterOf(lines)
    this.#delimiter = delimiter
    this.#assembler = new RecordAssembler(delimiter, text => isSampleRow(splitLine(text, delimiter)))
    this.#readLines(lines)
  }

  #takeHead(): Line[] {
    const lines = this.#head
    this.#head = []
    this.#headCharacters = 0
    return lines
  }

  #readRecord(record: Line): void {
    if (this.#beginsTable(record)) {
      if (this.#table === undefined) this.#openTable()
      this.#flush()
      this.#table = undefined
    }
    if (this.#table === undefined) {
      this.#addToHead(record)
      if (this.#isHeadFull()) this.#openTable()
      return
    }
    this.#block.push(record)
    if (this.#block.length >= BLOCK_LINES) this.#flush()
  }

  /** Whether another table begins: with annotations, or with a header after an empty line. */
  #beginsTable(record: Line): boolean {
    const last = this.#table === undefined ? this.#head.at(-1) : (this.#block.at(-1) ?? this.#table.rows.at(-1))
    if (last === undefined || record.damage !== undefined) return false
    if (isAnnotation(record)) return !isComment(last)
    if (!record.isAfterBlank) return false
    const cells = this.#split(record.text)
    const before = this.#table === undefined ? this.#head : [last]
    return isHeaderRow(cells) && before.some(line => isSampleRow(this.#split(line.text)))
  }

  #split(text: string): string[] {
    return splitLine(text, this.#delimiter ?? ',')
  }

  #openTable(): void {
    const lines = this.#takeHead()
    this.comments += lines.filter(line => isComment(line) || isDecoration(line)).length
    try {
      const table = openTable(lines, this.#delimiter ?? ',', this.#options)
      this.#table = table
      this.#hasKeys ||= table.columns.isWide || table.columns.key.length > 0
      if (this.tables.length < TABLES_KEPT) this.tables.push(table)
      const damaged = lines.filter(line => line.damage !== undefined && !table.rows.includes(line))
      for (const line of damaged) this.#refuseLine(line, line.damage ?? '')
      this.#readRows(
        table.rows.filter(line => !isComment(line) && !isDecoration(line)),
        table,
      )
      this.#hasTable = true
    } catch (error) {
      if (!(error instanceof CsvProblem) || !this.#hasTable) throw error
      // What follows the first table may be a footer: it costs its own lines.
      for (const line of lines) this.#refuseLine(line, error.message)
    }
  }

  #flush(): void {
    const block = this.#block
    this.#block = []
    if (this.#table === undefined || block.length === 0) return
    const rows = block.filter(line => !isComment(line))
    this.comments += block.length - rows.length
    this.#readRows(rows, this.#table)
  }

  #readRows(lines: readonly Line[], table: Table): void {
    const sound = lines.filter(line => line.damage === undefined)
    const split = splitRecords(
      sound.map(line => line.text),
      this.#delimiter ?? ',',
    )
    let at = 0
    for (const line of lines) {
      if (line.damage === undefined) this.#readRow(line, split[at++] ?? [], table)
      else this.#refuseLine(line, line.damage)
    }
  }

  #readRow(record: Line, cells: readonly string[], table: Table): void {
    const { columns, width } = table
    if (isRepeatedHeader(cells, table)) {
      this.repeatedHeaders++
      return
    }
    if (isDecoration(record)) {
      this.comments++
      return
    }
    const line = record.number
    const time = timeText(cells, columns)
    const key = keyText(cells, columns)
    const timestamp = shapeFault(cells, width) ?? this.#timestampOf(time, key ?? '', table)
    if (typeof timestamp === 'string') {
      const [first] = columns.value
      this.#refuse(
        { line, time, value: first === undefined ? '' : (cells[first.index] ?? ''), key: key ?? this.#noKey },
        timestamp,
      )
      return
    }
    const isLocal = table.time.isLocal(time)
    if (isLocal) this.profile.local++
    const isOfUnknownZone = isLocal && (this.#zone ?? table.zone) === undefined && table.offset === undefined
    for (const [at, column] of columns.value.entries()) {
      const name = columns.isWide && key !== '' ? `${key ?? ''}${column.name}` : key
      const item = { line, time, value: cells[column.index] ?? '', key: name }
      if (columns.isWide && isMissing(item.value)) {
        this.profile.missing++
        this.#items.push({ ...item, kind: 'missing' })
        continue
      }
      const value = parseNumber(item.value, table.numbers[at] ?? ANY_NUMBER)
      const fault = typeof value === 'string' ? `${columns.isWide ? column.name : 'the value'} ${value}` : undefined
      const reason = fault ?? keyReason(name ?? this.#defaultKey)
      if (typeof value === 'string' || reason !== undefined) {
        this.#refuse(item, reason ?? '')
        continue
      }
      const sample = { key: name ?? this.#defaultKey, value, timestamp }
      this.profile.add(sample, line, isOfUnknownZone)
      this.#items.push({ ...item, kind: 'sample', sample })
    }
  }

  /** Returns the time of a row in Unix milliseconds, or why there is none. */
  #timestampOf(text: string, key: string, table: Table): number | string {
    if (isMissing(text)) return `the time is missing: ${quote(text)}`
    const parsed = table.time.parse(text)
    const time = typeof parsed === 'number' && table.time.isLocal(text) ? this.#toInstant(parsed, key, table) : parsed
    if (typeof time === 'string') return `the time ${time.includes('"') ? time : `${time}: ${quote(text)}`}`
    if (table.time.isByMagnitude === true && `unix-${unitOfUnix(text)}` !== table.time.name) this.profile.otherUnits++
    return time
  }

  /** Converts a local time, given as if it was UTC. */
  #toInstant(local: number, key: string, { offset, zone = this.#zone }: Table): number | string {
    if (zone === undefined) return offset === undefined ? local : local - offset.ms
    const [first, second] = zone.instantsOf(local)
    if (first === undefined) return `does not exist in ${zone.name}, whose clocks are set forward then`
    const latest = this.#latest.get(key) ?? Number.NEGATIVE_INFINITY
    if (second !== undefined) this.profile.folded++
    // In a file sorted by time, the second pass through the hour follows the first one.
    const instant = second !== undefined && first <= latest ? second : first
    if (instant > latest) this.#latest.set(key, instant)
    return instant
  }

  get #noKey(): string | undefined {
    return this.#hasKeys ? '' : undefined
  }

  #refuseLine({ number }: Line, reason: string): void {
    this.#refuse({ line: number, time: '', value: '', key: this.#noKey }, reason)
  }

  #refuse(place: Pick<CsvItem, 'line' | 'time' | 'value' | 'key'>, reason: string): void {
    this.profile.refused++
    this.#items.push({ ...place, kind: 'refused', reason })
  }
}

/** Concatenated files repeat their header. */
function isRepeatedHeader(cells: readonly string[], { header, columns }: Table): boolean {
  const [time] = columns.time
  if (header === undefined || time === undefined || cells[time.index] !== header[time.index]) return false
  return cells.every((cell, index) => cell === header[index])
}

/**
 * Returns the key of a row; undefined without a key column. A slash within a part is written as in
 * the keys of devices, unless the part is the end of the key.
 */
function keyText(cells: readonly string[], { key, isWide }: Columns): string | undefined {
  const [first, second] = key
  if (first === undefined) return undefined
  if (second === undefined && !isWide) return cells[first.index] ?? ''
  // Tables of tags have empty cells for the tags that a series does not have.
  const parts = key.map(({ index }) => cells[index] ?? '').filter(part => part !== '')
  const end = isWide ? undefined : parts.pop()
  const prefix = parts.map(devicePrefix).join('')
  return isWide ? prefix : `${prefix}${end ?? ''}`
}

function detectDelimiterOf(lines: readonly Line[]): string {
  const sound = lines.filter(line => !isComment(line) && !isDecoration(line))
  if (sound.length === 0) throw new CsvProblem(lines.length > 0 ? 'it has comments and no rows' : 'it is empty')
  return detectDelimiter(sound)
}

function shapeFault(cells: readonly string[], width: number): string | undefined {
  if (cells.length === 1 && width > 1)
    return `it has one cell, and there are ${width} columns: ${quote(cells[0] ?? '')}`
  if (cells.length <= width || cells.slice(width).every(cell => cell === '')) return undefined
  return `it has ${cells.length} cells, and there are ${width} columns: a decimal comma, or a delimiter in a text without quotes?`
}

function keyReason(key: string): string | undefined {
  if (key.includes('\ufffd')) return `the key has characters that are not in the encoding of the file: ${quote(key)}`
  const fault = keyFault(key, KEY_BYTES_MAX)
  return fault === undefined ? undefined : `the key ${fault}`
}
