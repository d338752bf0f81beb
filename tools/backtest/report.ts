import { formatCount, formatDuration, formatNumber, formatShare } from '../lib/format.ts'
import { formatTable } from '../lib/table.ts'
import { type Hits, meanDelayMs, perDay, precision, recall, type Tally } from './tally.ts'

interface Line {
  readonly name: string
  readonly tally: Tally
}

const HEAD = ['variant', 'samples', 'warming', 'flagged', 'share', 'alerts', 'per day']
const HIT_HEAD = ['flagged: precision', 'recall', 'delay', 'alerts: precision', 'recall', 'delay']

/** Returns the table, a row per variant, and notes on samples that were not scored. */
export function renderReport(lines: readonly Line[]): string {
  const isLabelled = lines.some(({ tally }) => tally.isLabelled)
  const rows = lines.map(({ name, tally }) => {
    const { samples, warming, flagged, alerts, spanMs } = tally
    const share = formatShare(flagged.count, samples - warming)
    const rate = perDay(alerts.count, spanMs)
    const shown = Number.isFinite(rate) ? formatNumber(rate) : '-'
    const cells = [name, samples, warming, flagged.count, share, alerts.count, shown]
    return isLabelled ? [...cells, ...hitCells(flagged), ...hitCells(alerts)] : cells
  })
  const windows = lines[0]?.tally.flagged.windows ?? 0
  const note = `${formatCount(windows)} labelled windows. The delay is the mean over the found windows.`
  const table = formatTable(isLabelled ? [...HEAD, ...HIT_HEAD] : HEAD, rows, { align: 'right' })
  return [table, ...(isLabelled ? [note] : []), ...lines.flatMap(notScored)].join('\n')
}

function hitCells(hits: Hits): string[] {
  const delayMs = meanDelayMs(hits)
  return [percent(precision(hits)), percent(recall(hits)), Number.isNaN(delayMs) ? '-' : formatDuration(delayMs)]
}

/** Returns a sentence about rows that were not scored like the others, if there are any. */
function notScored({ name, tally }: Line): string[] {
  const { rejected, late, duplicates, levelShifts } = tally
  const parts = [
    [rejected, 'invalid rows'],
    [late, 'late samples rejected'],
    [duplicates, 'duplicates dropped'],
    [levelShifts, 'new levels accepted'],
  ] as const
  const notes = parts.filter(([count]) => count > 0).map(([count, what]) => `${formatCount(count)} ${what}`)
  return notes.length > 0 ? [`${name}: ${notes.join(', ')}.`] : []
}

function percent(share: number): string {
  return Number.isNaN(share) ? '-' : `${(share * 100).toFixed(1)} %`
}
