import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import type { EntryVerdicts } from '../../verdict/kept-verdicts.ts'
import type { AnalysesScan, GatewayStore, Progress } from '../ports/gateway.ts'
import { append, claim } from './appending.ts'
import { copyFindings } from './committing.ts'
import { type Data, type Partition, partitionAt } from './data.ts'
import { indexAfter } from './log.ts'
import { toEntry } from './stream.ts'
import { storedWindow } from './windows.ts'

const SCAN_PAGE = 100

export function gatewayOn(data: Data): GatewayStore {
  return {
    append: async batches => batches.map(batch => append(data, batch)),
    claimRequest: async one => claim(data, one),
    progress: async numbers => numbers.map(number => progressOf(partitionAt(data, number))),
    lastAnalyses: async keys =>
      keys.map(({ partition, key }) => partitionAt(data, partition).analyses.get(key) ?? null),
    scanAnalyses: async (number, cursor) => scan(partitionAt(data, number), cursor),
    window: async ({ partition, key }) => storedWindow(partitionAt(data, partition).rows.get(key)),
    verdicts: async (number, id) => verdictsOf(partitionAt(data, number), id),
    deadLetters: async (number, { upTo, count }) =>
      partitionAt(data, number)
        .deadLetters.filter(({ id }) => upTo === undefined || compareEntryIds(id, upTo) <= 0)
        .reverse()
        .slice(0, count),
    discardDeadLetter: async (number, id) => {
      const { deadLetters } = partitionAt(data, number)
      const index = deadLetters.findIndex(entry => entry.id === id)
      if (index >= 0) deadLetters.splice(index, 1)
      return index >= 0
    },
    shadowed: async (number, rule, count) =>
      partitionAt(data, number)
        .shadowed.filter(one => one.rule === rule)
        .map(({ analysis }) => analysis)
        .reverse()
        .slice(0, count),
    ruleCounts: async number => new Map(partitionAt(data, number).ruleCounts),
    ping: async () => 0,
  }
}

function progressOf({ checkpoint, accepted, analysed, dead }: Partition): Progress {
  const lost = checkpoint.offset - analysed - dead
  return { checkpoint: checkpoint.id, accepted, analysed, dead, lost, backlog: accepted - checkpoint.offset }
}

function scan({ analyses: kept, keys }: Partition, cursor: string): AnalysesScan {
  const start = Number(cursor)
  const end = Math.min(start + SCAN_PAGE, keys.length)
  const analyses = keys.slice(start, end).map(key => ({ key, analysis: kept.get(key) ?? '' }))
  return { analyses, next: end < keys.length ? String(end) : '0' }
}

function verdictsOf({ verdicts, stream }: Partition, id: EntryId): EntryVerdicts | null {
  const found = verdicts.get(id)
  const entry = stream[indexAfter(stream, id) - 1]
  if (found === undefined || entry?.id !== id) return null
  return { ...copyFindings(found), samples: toEntry(entry).samples ?? '' }
}
