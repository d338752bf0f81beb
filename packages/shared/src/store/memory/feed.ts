import { compareEntryIds, ENTRY_ID_ZERO, type EntryId } from '../../sample/receipt.ts'
import type { FeedEntry, FeedPart, FeedPosition, FeedStore } from '../ports/feed.ts'
import { toEntry } from '../stream-entry.ts'
import { copyFindings } from './committing.ts'
import { type Data, type Partition, partitionAt } from './data.ts'

/** A stream, and how many entries it has dropped. */
interface Stream {
  readonly entries: readonly FeedEntry[]
  readonly trimmed: number
}

export function feedOn(data: Data): FeedStore {
  return {
    read: async (positions, bytesMax) =>
      positions.map(position =>
        read(streamOf(partitionAt(data, position.partition), position.stream), position, bytesMax),
      ),
  }
}

function streamOf(
  { verdicts, verdictsTrimmed, anomalies, alerts, log }: Partition,
  stream: FeedPosition['stream'],
): Stream {
  switch (stream) {
    case 'verdicts': {
      const entries = [...verdicts.values()].map(findings => {
        const entry = log.find(findings.id)
        const samples = entry === undefined ? '' : (toEntry(entry.id, entry.fields).samples ?? '')
        return { kind: 'verdicts', id: findings.id, verdicts: { ...copyFindings(findings), samples } } as const
      })
      return { entries, trimmed: verdictsTrimmed }
    }
    case 'anomalies':
      return { entries: anomalies.entries.map(one => ({ kind: 'anomaly', ...one })), trimmed: anomalies.trimmed }
    case 'alerts':
      return {
        entries: alerts.feed.entries.map(({ id, alert, kind }) => ({ kind: 'alert', id, alert, change: kind })),
        trimmed: alerts.feed.trimmed,
      }
    case 'alert_changes':
      return {
        entries: alerts.changes.entries.map(one => ({ kind: 'alert', ...one })),
        trimmed: alerts.changes.trimmed,
      }
  }
}

/** As read-feed.lua does. */
function read({ entries, trimmed }: Stream, { after, isIncluded = false }: FeedPosition, bytesMax: number): FeedPart {
  const [first, last] = [entries[0]?.id, entries.at(-1)?.id]
  if (after === null) return { entries: [], position: last ?? ENTRY_ID_ZERO, hasGap: false, hasMore: false }
  const { position, hasGap } = check(after, { first, last, trimmed, has: entries.some(({ id }) => id === after) })
  const rest = entries.filter(({ id }) => compareEntryIds(id, position) >= (isIncluded ? 0 : 1))
  let bytes = 0
  const wanted = rest.findIndex(entry => {
    const isFull = bytes >= bytesMax
    bytes += bytesOf(entry)
    return isFull
  })
  const read = wanted < 0 ? rest : rest.slice(0, wanted)
  return { entries: read, position: read.at(-1)?.id ?? position, hasGap, hasMore: wanted >= 0 }
}

interface Ends {
  readonly first: EntryId | undefined
  readonly last: EntryId | undefined
  readonly trimmed: number
  readonly has: boolean
}

function check(after: EntryId, { first, last, trimmed, has }: Ends) {
  if (has) return { position: after, hasGap: false }
  if (after === ENTRY_ID_ZERO) return { position: after, hasGap: first !== undefined && trimmed > 0 }
  if (first === undefined || last === undefined) return { position: ENTRY_ID_ZERO, hasGap: true }
  if (compareEntryIds(after, last) > 0) return { position: last, hasGap: true }
  return { position: after, hasGap: compareEntryIds(first, after) > 0 }
}

function bytesOf(entry: FeedEntry): number {
  if (entry.kind === 'verdicts') return entry.verdicts.findings.byteLength + entry.verdicts.samples.length
  return entry.kind === 'anomaly' ? entry.analysis.length : entry.alert.length
}
