import type { Board, Row } from './board.ts'
import { clock, describeAnomaly, renderTable, type TableSettings } from './table.ts'

/** How often the table is printed if the output is not a terminal. */
const SNAPSHOT_MS = 5000

/** Columns of a printed table: the width of the reader's window is unknown. */
const SNAPSHOT_COLUMNS = 120

/** The alternate screen, so that the terminal's content returns at the end, without a cursor. */
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'

/** Synchronised output: a terminal draws the whole frame at once, or ignores the sequences. */
const FRAME_BEGIN = '\x1b[?2026h\x1b[H'
const FRAME_END = '\x1b[J\x1b[?2026l'
const LINE_END = '\x1b[K'

export interface Display extends Disposable {
  /** After each round of samples. */
  update(board: Board): void
  anomaly(row: Row): void
  notice(text: string): void
}

interface DisplayOptions {
  readonly output: NodeJS.WriteStream
  readonly settings: TableSettings
  readonly isQuiet: boolean
}

/** Opens a table that is redrawn on a terminal, or prints lines elsewhere. */
export function openDisplay(options: DisplayOptions): Display {
  return options.output.isTTY && !options.isQuiet ? openScreen(options) : openLines(options)
}

function openScreen({ output, settings }: DisplayOptions): Display {
  let last: Board | undefined
  const notices: string[] = []
  const draw = (): void => {
    if (last === undefined) return
    const size = { columns: output.columns, rows: output.rows, hasColour: output.hasColors() }
    const lines = renderTable(last, settings, size, Date.now())
    // A line end after the last line would scroll the first line off the screen.
    output.write(`${FRAME_BEGIN}${lines.map(line => line + LINE_END).join('\r\n')}${FRAME_END}`)
  }
  output.write(ENTER)
  output.on('resize', draw)
  return {
    update(board) {
      last = board
      draw()
    },
    anomaly() {},
    // Written at the end: the next frame would overwrite it here.
    notice: text => void notices.push(text),
    [Symbol.dispose]() {
      output.off('resize', draw)
      output.write(LEAVE)
      for (const text of notices) output.write(`${text}\n`)
    },
  }
}

function openLines({ output, settings, isQuiet }: DisplayOptions): Display {
  let snapshotAt = Number.NEGATIVE_INFINITY
  let shownFailure: string | undefined
  const say = (text: string): void => void output.write(`${text}\n`)
  return {
    update(board) {
      const failure = board.failure?.text
      if (failure !== shownFailure) {
        say(`${clock(new Date())}  ${failure === undefined ? 'recovered' : `FAILURE  ${failure}`}`)
        shownFailure = failure
      }
      if (isQuiet || board.rows.length === 0 || Date.now() - snapshotAt < SNAPSHOT_MS) return
      snapshotAt = Date.now()
      const size = { columns: SNAPSHOT_COLUMNS, rows: undefined, hasColour: false }
      say(`\n${renderTable(board, settings, size, Date.now()).join('\n')}\n`)
    },
    anomaly(row) {
      say(describeAnomaly(row.analysis, settings.unitOf(row.analysis.key), new Date()))
    },
    notice: say,
    [Symbol.dispose]() {},
  }
}
