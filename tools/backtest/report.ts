import { formatCount, formatDuration, formatNumber, formatShare } from '../lib/format.ts'
import { type Cell, formatTable } from '../lib/table.ts'
import type { AlertResult, Result, WindowResult } from './result.ts'
import { alertsPerKeyDay, costNs, type Hits, meanDelayMs, precision, recall, type Tally } from './tally.ts'

/** Rows of a list; JSON has all. */
const LISTED_MAX = 1000

interface Line {
  readonly name: string
  readonly tally: Tally
}

/** Returns the tables, a row per variant in each, and notes on samples that were not scored. */
export function renderReport(lines: readonly Line[]): string {
  const isLabelled = lines.some(({ tally }) => tally.isLabelled)
  const table = (head: readonly string[], hitHead: readonly string[], row: (line: Line) => readonly Cell[]): string => {
    const titles = isLabelled ? [...head, ...hitHead] : head
    return formatTable(titles, lines.map(row), { align: 'right' })
  }
  const hits = (found: Hits): string[] => (isLabelled ? hitCells(found) : [])
  const samples = table(
    ['samples', 'scored', 'warming', 'flagged', 'share', 'cost'],
    ['precision', 'recall', 'delay'],
    ({ name, tally }) => {
      const { samples, warming, flagged } = tally
      const share = formatShare(flagged.count, samples - warming)
      return [name, samples, warming, flagged.count, share, costOf(tally), ...hits(flagged)]
    },
  )
  const alerts = table(
    ['alerts', 'opened', 'per key and day'],
    ['right', 'precision', 'found', 'recall', 'delay'],
    ({ name, tally }) => {
      const perDay = alertsPerKeyDay(tally)
      const [right, ...found] = hits(tally.alerts)
      const { inside, found: windows } = tally.alerts
      const labelled = right === undefined ? [] : [inside, right, windows, ...found]
      return [name, tally.alerts.count, Number.isFinite(perDay) ? formatNumber(perDay) : '-', ...labelled]
    },
  )
  const windows = lines[0]?.tally.alerts.windows ?? 0
  const note =
    `${formatCount(windows)} labelled windows. An alert is right if it opens inside one, and a window is found if one ` +
    'opens inside it. The delay is the mean from the start of the found windows.'
  return [samples, '', alerts, ...(isLabelled ? ['', note] : []), ...lines.flatMap(notScored)].join('\n')
}

/** Returns a row for each window, with the delay of each variant. */
export function renderWindows({ windows, variants }: Result): string {
  const row = ({ file, start, end, firstAlerts }: WindowResult): string[] => {
    const found = firstAlerts.map(at => (Number.isFinite(at) ? `after ${formatDuration(at - start)}` : 'missed'))
    return [file, timeOf(start), timeOf(end), ...found]
  }
  return listOf(['window in', 'from', 'to', ...variants.map(({ name }) => name)], windows, row)
}

/** Returns a row for each alert. */
export function renderAlerts({ alerts, variants }: Result): string {
  const isLabelled = variants.some(({ tally }) => tally.isLabelled)
  const row = ({ variant, file, key, openedAt, resolvedAt, value, score, by, isInside }: AlertResult): string[] => {
    const lasted = resolvedAt === null ? 'to the end' : formatDuration(resolvedAt - openedAt)
    const cells = [variant, file, key, timeOf(openedAt), lasted, formatNumber(value), formatNumber(score), by]
    return isLabelled ? [...cells, isInside ? 'right' : 'false'] : cells
  }
  const head = ['alert of', 'file', 'key', 'opened', 'lasted', 'value', 'score', 'by']
  return listOf(isLabelled ? [...head, ''] : head, alerts, row)
}

function listOf<T>(head: readonly string[], items: readonly T[], row: (item: T) => string[]): string {
  const table = formatTable(head, items.slice(0, LISTED_MAX).map(row))
  const more = items.length - LISTED_MAX
  return more > 0 ? `${table}\n... ${formatCount(more)} more; --json has all` : table
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ')
}

function costOf(tally: Tally): string {
  const cost = costNs(tally)
  return Number.isNaN(cost) ? '-' : `${formatCount(Math.round(cost))} ns`
}

function hitCells(hits: Hits): string[] {
  const delayMs = meanDelayMs(hits)
  return [percent(precision(hits)), percent(recall(hits)), Number.isNaN(delayMs) ? '-' : formatDuration(delayMs)]
}

/** Returns a sentence about rows that were not scored like the others, if there are any. */
function notScored({ name, tally }: Line): string[] {
  const { rejected, late, duplicates, ignored, levelShifts, silences } = tally
  const parts = [
    [rejected, 'invalid rows'],
    [late, 'late samples rejected'],
    [duplicates, 'duplicates dropped'],
    [ignored, 'values ignored'],
    [levelShifts, 'new levels accepted'],
    [silences, 'silences'],
  ] as const
  const notes = parts.filter(([count]) => count > 0).map(([count, what]) => `${formatCount(count)} ${what}`)
  return notes.length > 0 ? [`${name}: ${notes.join(', ')}.`] : []
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(share * 100).toFixed(1)} %`
}
