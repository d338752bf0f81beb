import { styleText } from 'node:util'
import { type Analysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import type { Unit } from '../lib/format.ts'
import {
  formatCount,
  formatDuration,
  formatShare,
  formatValue,
  formatZ,
  pad,
  sparkline,
  truncate,
} from '../lib/format.ts'
import type { Board, Row } from './board.ts'

/** How long a row stays marked after an anomaly: the next verdict replaces it after 250 ms. */
const RECENT_MS = 5000

/** Widths of the columns between the key and the trend: value, mean, z, anomalies and state. */
const WIDTHS = [11, 11, 7, 9, 14] as const
const TREND_WIDTH_MIN = 8
const KEY_WIDTH_MIN = 12

export interface TableSettings {
  readonly url: string
  readonly redis: string
  readonly analyzers: number
  readonly startedAt: number
  readonly unitOf: (key: string) => Unit
}

export interface TableSize {
  readonly columns: number
  /** Undefined for no limit. */
  readonly rows: number | undefined
  readonly hasColour: boolean
}

/** Returns the lines of the table, which fit into the terminal. */
export function renderTable(board: Board, settings: TableSettings, size: TableSize, now: number): string[] {
  const head = [...renderHead(board, settings, size, now), '']
  if (board.rows.length === 0) return [...head, 'waiting for the first verdict ...'].slice(0, size.rows)
  const widths = columnWidths(board.rows, size.columns)
  const title = renderCells(['key', 'value', 'mean', 'z', 'anomalies', 'state', 'trend'], widths)
  const room = size.rows === undefined ? Number.POSITIVE_INFINITY : Math.max(0, size.rows - head.length - 1)
  const isCut = board.rows.length > room
  // The line with the number of hidden keys needs a row too.
  const shown = board.rows.slice(0, isCut ? Math.max(0, room - 1) : room)
  const lines = shown.map(row => renderRow(row, widths, settings, size, now))
  const more = isCut ? [renderMore(board.rows.slice(shown.length), size.columns)] : []
  return [...head, paint('bold', truncate(`  ${title}`, size.columns), size), ...lines, ...more].slice(0, size.rows)
}

/** Returns a line about an anomaly, for output without a table. */
export function describeAnomaly(analysis: Analysis, unit: Unit, time: Date): string {
  const { key, value, z, low, high } = analysis
  const band = low === null || high === null ? '' : `, band ${formatValue(low, unit)} to ${formatValue(high, unit)}`
  return `${clock(time)}  ANOMALY  ${key}  ${formatValue(value, unit)}  (z ${formatZ(z)}${band})`
}

export function clock(time: Date): string {
  return time.toTimeString().slice(0, 8)
}

function renderHead(board: Board, settings: TableSettings, size: TableSize, now: number): string[] {
  const { sent, accepted, analysed, anomalies } = board.totals
  const analyzers = settings.analyzers === 1 ? '1 analyzer' : `${settings.analyzers} analyzers`
  const runtime = formatDuration(Math.floor((now - settings.startedAt) / 1000) * 1000)
  const counts = `${formatCount(sent)} sent, ${formatCount(accepted)} accepted, ${formatCount(analysed)} analysed`
  const lines = [
    `tidemark  ${settings.url}  ${settings.redis}, ${analyzers}, ${runtime}`,
    `samples: ${counts}; ${formatCount(anomalies)} anomalies (${formatShare(anomalies, analysed)})`,
    'Try: run "yes > /dev/null" in another terminal for a few seconds. Ctrl-C stops everything.',
  ].map(line => truncate(line, size.columns))
  if (board.failure !== undefined) {
    const { text, count } = board.failure
    lines.push(paint('red', truncate(`FAILURE${count > 1 ? ` (${count} times)` : ''}: ${text}`, size.columns), size))
  }
  return lines
}

interface Widths {
  readonly key: number
  readonly trend: number
}

/** The key column fits the longest key; the trend gets the rest, or nothing if it is too little. */
function columnWidths(rows: readonly Row[], columns: number): Widths {
  const fixed = 2 + WIDTHS.reduce((sum, width) => sum + width + 1, 0)
  const longest = Math.max(KEY_WIDTH_MIN, ...rows.map(row => row.analysis.key.length))
  const left = columns - fixed - longest
  const trend = left - 1 >= TREND_WIDTH_MIN ? Math.min(50, left - 1) : 0
  return { key: Math.max(1, Math.min(longest, columns - fixed - (trend > 0 ? trend + 1 : 0))), trend }
}

/** Joins a row's cells: key, those of WIDTHS, and the trend if there is room for it. */
function renderCells(cells: readonly [key: string, ...others: string[]], widths: Widths): string {
  const [key, ...others] = cells
  const trend = widths.trend > 0 ? [others.at(-1) ?? ''] : []
  const middle = WIDTHS.map((width, i) => pad(others[i] ?? '', width, i < WIDTHS.length - 1 ? 'right' : 'left'))
  return [pad(key, widths.key), ...middle, ...trend].join(' ').trimEnd()
}

function renderRow(row: Row, widths: Widths, settings: TableSettings, size: TableSize, now: number): string {
  const { key, value, mean, z, anomaly } = row.analysis
  const unit = settings.unitOf(key)
  const isRecent = row.anomalyAt !== undefined && now - row.anomalyAt < RECENT_MS
  const values = [formatValue(value, unit), mean === null ? '-' : formatValue(mean, unit), formatZ(z)]
  const anomalies = row.anomalies === 0 ? '' : formatCount(row.anomalies)
  const trend = sparkline(row.trend.slice(-widths.trend))
  const cells = renderCells([fromTheEnd(key, widths.key), ...values, anomalies, describeState(row), trend], widths)
  // The mark repeats what the colour shows, for terminals and readers without colours.
  const line = truncate(`${anomaly ? '!' : isRecent ? '·' : ' '} ${cells}`, size.columns)
  if (anomaly) return paint('inverse', line, size)
  return isRecent ? paint('yellow', line, size) : line
}

function describeState({ analysis: { state, window } }: Row): string {
  if (state === 'anomalous') return 'ANOMALOUS'
  return state === 'warming' ? `warming ${window}/${VERDICT_DEFAULTS.windowMin}` : state
}

function renderMore(rows: readonly Row[], columns: number): string {
  const anomalous = rows.filter(row => row.analysis.anomaly).length
  const note = anomalous > 0 ? `, ${anomalous} of them ANOMALOUS` : ''
  return truncate(`  ... ${rows.length} more keys${note} (a taller window shows them)`, columns)
}

/** Keeps the end of a long key: the beginning is the device, which is the same in every row. */
function fromTheEnd(key: string, width: number): string {
  return key.length <= width ? key : `…${key.slice(key.length - width + 1)}`
}

function paint(style: 'bold' | 'red' | 'yellow' | 'inverse', text: string, size: TableSize): string {
  return size.hasColour ? styleText(style, text, { validateStream: false }) : text
}
