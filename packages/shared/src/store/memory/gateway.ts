import { ENTRY_FIELDS, newNonce } from '../../sample/entry.ts'
import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import type { EntryVerdicts } from '../../verdict/kept-verdicts.ts'
import type {
  AnalysesScan,
  AppendBatch,
  AppendOutcome,
  ClaimOutcome,
  GatewayStore,
  LimitReached,
  Progress,
  RequestClaim,
} from '../ports/gateway.ts'
import { OWNER_CHANGES_KEPT } from '../ports/lease.ts'
import { toEntry } from '../stream-entry.ts'
import { copyFindings } from './committing.ts'
import { type Data, type Partition, partitionAt, storedOpenBuckets, storedWindow } from './data.ts'
import { addEntry } from './reading.ts'

const SCAN_PAGE = 100

const NO_RING = new Uint8Array()

export function gatewayOn(data: Data): GatewayStore {
  return {
    append: async batches => batches.map(batch => append(data, batch)),
    claimRequest: async one => claim(data, one),
    progress: async numbers => numbers.map(number => progressOf(partitionAt(data, number))),
    lastAnalyses: async keys =>
      keys.map(({ partition, key }) => partitionAt(data, partition).analyses.get(key) ?? null),
    scanAnalyses: async (number, cursor) => scan(partitionAt(data, number), cursor),
    window: async ({ partition, key }) => storedWindow(partitionAt(data, partition), key),
    aggregates: async ({ partition: number, key }) => {
      const partition = partitionAt(data, number)
      const open = storedOpenBuckets(partition, key)
      const { hours = NO_RING, days = NO_RING } = partition.rings.get(key) ?? {}
      const rings = { hours: new Uint8Array(hours), days: new Uint8Array(days) }
      return open && { open, window: storedWindow(partition, key), rings }
    },
    verdicts: async (number, id) => verdictsOf(partitionAt(data, number), id),
    keptVerdicts: async (number, { upTo, count }) => {
      const partition = partitionAt(data, number)
      const ids = [...partition.verdicts.keys()].filter(id => upTo === undefined || compareEntryIds(id, upTo) <= 0)
      return ids
        .reverse()
        .slice(0, count)
        .flatMap(id => verdictsOf(partition, id) ?? [])
    },
    anomalies: async (number, range) => partitionAt(data, number).anomalies.newest(range),
    hasEntryFrom: async (number, id) => {
      const newest = partitionAt(data, number).log.entries.at(-1)
      return newest !== undefined && compareEntryIds(newest.id, id) >= 0
    },
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
    owners: async numbers => numbers.map(number => ownerOf(partitionAt(data, number), data.now())),
    ownerChanges: async number => partitionAt(data, number).ownerChanges.newest({ count: OWNER_CHANGES_KEPT }),
    memory: async () => null,
  }
}

function progressOf({ checkpoint, accepted, analysed, dead }: Partition): Progress {
  const lost = checkpoint.offset - analysed - dead
  return { checkpoint: checkpoint.id, accepted, analysed, dead, lost, backlog: accepted - checkpoint.offset }
}

function ownerOf({ lease }: Partition, now: number): string | null {
  return lease === undefined || lease.expiresAt <= now ? null : lease.token.slice(0, lease.token.lastIndexOf(':'))
}

function scan({ analyses: kept, keys }: Partition, cursor: string): AnalysesScan {
  const { keys: page, next } = keys.page(cursor, SCAN_PAGE)
  return { analyses: page.map(key => ({ key, analysis: kept.get(key) ?? '' })), next }
}

function verdictsOf({ verdicts, log }: Partition, id: EntryId): EntryVerdicts | null {
  const found = verdicts.get(id)
  const entry = log.find(id)
  if (found === undefined || entry === undefined) return null
  return { ...copyFindings(found), samples: toEntry(id, entry.fields).samples ?? '' }
}

function append(data: Data, { partition: number, samples, count, once, traces }: AppendBatch): AppendOutcome {
  const partition = partitionAt(data, number)
  const name = `batch:${once?.request}`
  if (once !== undefined) {
    const id = recall(data, partition, name)
    if (id !== undefined) {
      remember(data, partition, name, id, once.ttlMs)
      return { kind: 'known', id }
    }
    const limit = limitReached(data, partition)
    if (limit !== undefined) return limit
  }
  const backlog = partition.accepted - partition.checkpoint.offset
  if (backlog >= data.backlogMax) return { kind: 'backlog-full', backlog }
  const id = addEntry(data, partition, {
    [ENTRY_FIELDS.samples]: samples,
    [ENTRY_FIELDS.count]: String(count),
    [ENTRY_FIELDS.offset]: String(partition.accepted),
    [ENTRY_FIELDS.nonce]: newNonce(),
    ...(traces === undefined ? {} : { [ENTRY_FIELDS.traces]: traces }),
  })
  partition.accepted += count
  if (once !== undefined) remember(data, partition, name, id, once.ttlMs)
  return { kind: 'stored', id }
}

function claim(data: Data, { partition: number, name, content, ttlMs }: RequestClaim): ClaimOutcome {
  const partition = partitionAt(data, number)
  const known = recall(data, partition, `name:${name}`)
  if (known !== undefined && known !== content) return { kind: 'conflict' }
  const limit = known === undefined ? limitReached(data, partition) : undefined
  if (limit !== undefined) return limit
  remember(data, partition, `name:${name}`, content, ttlMs)
  return { kind: known === undefined ? 'new' : 'repeat' }
}

function recall({ now }: Data, { requests }: Partition, name: string): string | undefined {
  const known = requests.get(name)
  return known !== undefined && known.expiresAt > now() ? known.value : undefined
}

function remember({ now }: Data, { requests }: Partition, name: string, value: string, ttlMs: number): void {
  requests.set(name, { value, expiresAt: now() + ttlMs })
}

/** Removes expired requests; returns an outcome when that leaves no room for one more. */
function limitReached({ now, requestsMax }: Data, { requests }: Partition): LimitReached | undefined {
  if (requests.size < requestsMax) return undefined
  let roomInMs = Number.POSITIVE_INFINITY
  for (const [name, { expiresAt }] of requests) {
    if (expiresAt <= now()) requests.delete(name)
    else roomInMs = Math.min(roomInMs, expiresAt - now())
  }
  return requests.size < requestsMax ? undefined : { kind: 'limit-reached', roomInMs }
}
