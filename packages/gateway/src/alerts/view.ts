import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import type { AlertRecord } from '@tidemark/shared/detection/alerts/record'
import { ratesOf } from '@tidemark/shared/detection/detectors/counter'
import type { WindowContent } from '@tidemark/shared/detection/window-row'

/** An alert in a response: its record, what each receiver took, and a sentence for people. */
export function alertView({ receivers, ...record }: AlertRecord) {
  const taken = receivers && Object.entries(receivers).map(([receiver, state]) => ({ receiver, ...state }))
  return { ...record, ...(taken && { receivers: taken }), explanation: explainAlert(record) }
}

/** The samples in the current window of a key, and how they relate to an alert of the key. */
export function windowView(
  { opened_at: openedAt }: Pick<AlertRecord, 'opened_at'>,
  { values, timestamps }: Pick<WindowContent, 'values' | 'timestamps'>,
  { isHeld, isCounter = false }: { readonly isHeld: boolean; readonly isCounter?: boolean },
) {
  const before = timestamps.filter(timestamp => timestamp <= openedAt).length
  const after = timestamps.length - before
  const note = [describeWindow(before, after), isHeld ? 'Anomalous samples are excluded from this window.' : '']
  const rates = isCounter ? { rates: ratesOf(values, timestamps) } : {}
  return { values, timestamps, ...rates, before, after, note: note.filter(part => part !== '').join(' ') }
}

/**
 * An alert opens when a sample arrives, but samples carry the time of their measurement, and the
 * clocks of devices differ.
 */
function describeWindow(before: number, after: number): string {
  const samples = before + after
  if (samples === 0) return 'The window is empty.'
  if (before === 0) {
    return `By timestamp, every sample in the window (${samples}) was measured after the alert opened: earlier ones have left it.`
  }
  if (after === 0) return `By timestamp, every sample in the window (${samples}) was measured before the alert opened.`
  return `By timestamp, ${before} of the ${samples} samples in the window were measured before the alert opened, ${after} after.`
}
