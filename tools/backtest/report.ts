import { formatCount, formatDuration, formatNumber, formatShare, pad, widthOf } from '../lib/format.ts'
import { type Hits, meanDelayMs, perDay, precision, recall, type Tally } from './tally.ts'

export interface Line {
  readonly name: string
  readonly tally: Tally
}

interface Column {
  readonly title: string
  readonly isLeft?: boolean
  cell(tally: Tally, name: string): string
}

const COLUMNS: readonly Column[] = [
  { title: 'judged by', isLeft: true, cell: (_, name) => name },
  { title: 'samples', cell: ({ samples }) => formatCount(samples) },
  { title: 'warming', cell: ({ warming }) => formatCount(warming) },
  { title: 'flagged', cell: ({ flagged }) => formatCount(flagged.count) },
  { title: 'share', cell: ({ flagged, samples, warming }) => formatShare(flagged.count, samples - warming) },
  { title: 'alerts', cell: ({ alerts }) => formatCount(alerts.count) },
  { title: 'a day', cell: ({ alerts, spanMs }) => number(perDay(alerts.count, spanMs)) },
]

const hitColumns = (title: string, hitsOf: (tally: Tally) => Hits): Column[] => [
  { title: `${title}: precision`, cell: tally => percent(precision(hitsOf(tally))) },
  { title: 'recall', cell: tally => percent(recall(hitsOf(tally))) },
  { title: 'delay', cell: tally => delay(meanDelayMs(hitsOf(tally))) },
]

const HIT_COLUMNS = [
  ...hitColumns('flagged', ({ flagged }) => flagged),
  ...hitColumns('alerts', ({ alerts }) => alerts),
]

/** One row for each way of judging, and below what was left out. */
export function renderReport(lines: readonly Line[]): string {
  const isLabelled = lines.some(({ tally }) => tally.isLabelled)
  const columns = isLabelled ? [...COLUMNS, ...HIT_COLUMNS] : COLUMNS
  const rows = [
    columns.map(({ title }) => title),
    ...lines.map(({ tally, name }) => columns.map(({ cell }) => cell(tally, name))),
  ]
  const widths = columns.map((_, column) => Math.max(...rows.map(row => widthOf(row[column] ?? ''))))
  const text = rows.map(row =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0, columns[column]?.isLeft === true ? 'left' : 'right'))
      .join('  ')
      .trimEnd(),
  )
  const windows = lines[0]?.tally.flagged.windows ?? 0
  const notes = isLabelled ? [`${formatCount(windows)} labelled windows; the delay is that of the windows found.`] : []
  return [...text, ...notes, ...lines.flatMap(leftOut)].join('\n')
}

/** What was not judged like everything else, where there is any. */
function leftOut({ name, tally }: Line): string[] {
  const { refused, late, duplicates, levelShifts } = tally
  const parts = [
    [refused, 'rows are no samples'],
    [late, 'late samples refused'],
    [duplicates, 'duplicates dropped'],
    [levelShifts, 'levels accepted as new'],
  ] as const
  const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${formatCount(count)} ${what}`)
  return said.length > 0 ? [`${name}: ${said.join(', ')}.`] : []
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(share * 100).toFixed(1)} %`
}

function delay(ms: number): string {
  return Number.isNaN(ms) ? '-' : formatDuration(ms)
}

function number(value: number): string {
  return Number.isFinite(value) ? formatNumber(value) : '-'
}
