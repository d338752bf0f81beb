/** A longer line is not a sample: a damaged region, or no text at all. */
const LINE_LENGTH_MAX = 65_536

/** Lines that one quoted cell may continue over. */
const RECORD_LINES_MAX = 50

/** A line of the file, or the lines of a record with a line break inside quotes. */
export interface Line {
  /** Of its first line, from 1, as an editor counts. */
  readonly number: number
  readonly text: string
  /** Why it cannot be read; undefined for a line without damage. */
  readonly damage: string | undefined
  /** Whether an empty line precedes it. */
  readonly isAfterBlank: boolean
}

/** Splits text into lines, with a bound on memory. Empty lines are counted and left out. */
export class LineSplitter {
  #number = 0
  #pending = ''
  /** Length of the current line, whose text is not kept, if it is too long. */
  #skipped = 0
  /** Whether the part that is not kept has NUL bytes. */
  #hasNul = false
  #isAfterBlank = false

  push(chunk: string): Line[] {
    let text = this.#pending + chunk
    this.#pending = ''
    // A line feed may follow in the next chunk: both are one line end.
    const isCut = text.endsWith('\r')
    if (isCut) text = text.slice(0, -1)
    const parts = text.split(/\r\n|\n|\r/)
    const last = parts.pop() ?? ''
    const lines = parts.flatMap(part => this.#take(part))
    if (this.#skipped > 0 || last.length > LINE_LENGTH_MAX) {
      this.#skipped += last.length
      this.#hasNul ||= last.includes('\0')
    } else this.#pending = last
    if (isCut) this.#pending += '\r'
    return lines
  }

  end(): Line[] {
    const lines = this.push('\n')
    // The line feed that ended the last line has begun another one.
    return lines
  }

  #take(text: string): Line[] {
    this.#number++
    const damage = this.#damageOf(text)
    const isAfterBlank = this.#isAfterBlank
    this.#skipped = 0
    this.#hasNul = false
    this.#isAfterBlank = damage === undefined && text.trim() === ''
    if (this.#isAfterBlank) return []
    return [
      { number: this.#number, text: damage === undefined ? text.replace(/^\ufeff/, '') : '', damage, isAfterBlank },
    ]
  }

  #damageOf(text: string): string | undefined {
    if (this.#hasNul || text.includes('\0')) {
      return 'it has NUL bytes: this part of the file was never written, or is not text'
    }
    const isLong = this.#skipped + text.length > LINE_LENGTH_MAX
    return isLong ? `it is longer than ${LINE_LENGTH_MAX.toLocaleString('en-US')} characters` : undefined
  }
}

/**
 * Joins the lines of a record whose quoted cell has line breaks. A quote that is not closed costs
 * its own line only: the lines after it are read.
 */
export class RecordAssembler {
  readonly #delimiter: string
  /** Whether a line is a row of its own, which no cell contains. */
  readonly #isRow: (text: string) => boolean
  #open: Line[] = []

  constructor(delimiter: string, isRow: (text: string) => boolean) {
    this.#delimiter = delimiter
    this.#isRow = isRow
  }

  push(line: Line): Line[] {
    if (this.#open.length === 0 && (line.damage !== undefined || !this.#endsInQuotes(line.text))) return [line]
    const isLost = line.damage !== undefined || (this.#open.length > 0 && this.#isRow(line.text))
    this.#open.push(line)
    if (isLost || this.#open.length > RECORD_LINES_MAX) return this.#giveUp()
    const text = this.#open.map(one => one.text).join('\n')
    if (text.length > LINE_LENGTH_MAX) return this.#giveUp()
    if (this.#endsInQuotes(text)) return []
    const [first = line] = this.#open
    this.#open = []
    return [{ ...first, text }]
  }

  end(): Line[] {
    const lines: Line[] = []
    while (this.#open.length > 0) lines.push(...this.#giveUp())
    return lines
  }

  #giveUp(): Line[] {
    const [first, ...others] = this.#open
    this.#open = []
    if (first === undefined) return []
    return [
      { ...first, text: '', damage: 'a quote opens in it and is not closed' },
      ...others.flatMap(one => this.push(one)),
    ]
  }

  #endsInQuotes(text: string): boolean {
    if (!text.includes('"')) return false
    let at = 0
    for (;;) {
      while (text[at] === ' ' || (text[at] === '\t' && this.#delimiter !== '\t')) at++
      if (text[at] === '"') {
        at = text.indexOf('"', at + 1)
        while (at >= 0 && text[at + 1] === '"') at = text.indexOf('"', at + 2)
        if (at < 0) return true
      }
      at = text.indexOf(this.#delimiter, at)
      if (at < 0) return false
      at++
    }
  }
}
