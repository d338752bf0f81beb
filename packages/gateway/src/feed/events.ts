import { type AlertRecord, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { FeedEntry, FeedKind } from '@tidemark/shared/store/ports/feed'
import type { Store } from '@tidemark/shared/store/ports/store'
import { parseAnalysis } from '@tidemark/shared/verdict/analysis'
import { samplesIn } from '@tidemark/shared/verdict/kept-verdicts'
import { alertView } from '../alerts/view.ts'
import { ALL, type Place, placeOf } from './position.ts'

/** One event of a stream, in no form of a subscriber yet. */
export interface FeedEvent extends Place {
  readonly kind: FeedKind
  /** Null if it belongs to no key. */
  readonly key: string | null
  /** The state of the analysis or alert. */
  readonly state: string
  /** JSON. */
  readonly body: string
}

/** Most samples concern no subscriber, so that their analyses are derived when they are needed. */
class AnalysisEvent implements FeedEvent {
  readonly kind = 'analysis'
  readonly key: string
  readonly ms: number
  readonly seq: number
  readonly count: number
  readonly #analysis: () => { readonly state: string }
  #state: string | undefined
  #body: string | undefined

  constructor(key: string, { ms, seq }: Place, count: number, analysis: () => { readonly state: string }) {
    this.key = key
    this.ms = ms
    this.seq = seq
    this.count = count
    this.#analysis = analysis
  }

  get state(): string {
    this.#derive()
    return this.#state ?? ''
  }

  get body(): string {
    this.#derive()
    return this.#body ?? ''
  }

  #derive(): void {
    if (this.#body !== undefined) return
    const analysis = this.#analysis()
    this.#state = analysis.state
    this.#body = JSON.stringify(analysis)
  }
}

/** Returns the events of a partition's entries, in order. What is corrupt is left out. */
export async function eventsOf(
  { alerts }: Pick<Store, 'alerts'>,
  partition: number,
  entries: readonly FeedEntry[],
): Promise<FeedEvent[]> {
  const ids = entries.flatMap(entry => (entry.kind === 'alert' ? [entry.alert] : []))
  const records = new Map<string, AlertRecord>()
  for (const parts of ids.length === 0 ? [] : await alerts.read(partition, [...new Set(ids)])) {
    if (parts !== null) records.set(parts.opening.id, assembleAlert(parts))
  }
  return entries.flatMap(entry => {
    if (entry.kind === 'verdicts') return analysisEvents(entry, partition)
    return entry.kind === 'anomaly' ? anomalyEvents(entry) : [alertEvent(entry, records.get(entry.alert))]
  })
}

function analysisEvents({ id, verdicts }: FeedEntry & { kind: 'verdicts' }, partition: number): FeedEvent[] {
  const { keys, analysisAt } = samplesIn(verdicts, partition)
  const place = placeOf(id)
  return keys.map((key, i) => new AnalysisEvent(key, place, i === keys.length - 1 ? ALL : i + 1, () => analysisAt(i)))
}

function anomalyEvents({ id, analysis: text }: FeedEntry & { kind: 'anomaly' }): FeedEvent[] {
  const analysis = parseAnalysis(text)
  if (analysis === undefined) return []
  return [{ kind: 'anomaly', ...placeOf(id), key: analysis.key, state: analysis.state, body: text }]
}

/** The alert is shown as it is now: an operator may have acted since. */
function alertEvent({ id, alert, change }: FeedEntry & { kind: 'alert' }, record: AlertRecord | undefined): FeedEvent {
  const key = record?.key ?? null
  const view = record === undefined ? null : alertView(record)
  const body = JSON.stringify({ change, at: entryTimeMs(id), id: alert, key, alert: view })
  return { kind: 'alert', ...placeOf(id), key, state: change === 'resolved' ? 'resolved' : 'firing', body }
}
