import { explainAlert } from '@tidemark/shared/detection/alerts/explain'
import type { AlertRecord } from '@tidemark/shared/detection/alerts/record'
import type { WindowContent } from '@tidemark/shared/detection/window-row'

/** An alert as it is shown: its record, and a sentence for people. */
export function alertWords(record: AlertRecord) {
  return { ...record, explanation: explainAlert(record) }
}

/** The samples in a key's window as it is now, and what they have to do with an alert of the key. */
export function samplesWords(
  { opened_at: openedAt }: Pick<AlertRecord, 'opened_at'>,
  { values, timestamps }: Pick<WindowContent, 'values' | 'timestamps'>,
  { isHeld }: { readonly isHeld: boolean },
) {
  const before = timestamps.filter(timestamp => timestamp <= openedAt).length
  const after = timestamps.length - before
  const note = [describeWindow(before, after), isHeld ? 'Anomalous samples are kept out of this window.' : '']
  return { values, timestamps, before, after, note: note.filter(part => part !== '').join(' ') }
}

/** An alert opens when a sample arrives, and samples have the time at which they were measured: devices' clocks may differ. */
function describeWindow(before: number, after: number): string {
  const samples = before + after
  if (samples === 0) return 'The window is empty.'
  if (before === 0) {
    return `The samples from before the opening have left the window: by their timestamps all in it (${samples}) were measured since.`
  }
  if (after === 0) return `By their timestamps all samples of the window (${samples}) were measured up to the opening.`
  return `By their timestamps ${before} of the ${samples} samples in the window were measured up to the opening, and ${after} since.`
}
