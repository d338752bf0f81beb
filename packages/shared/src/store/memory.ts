import assert from 'node:assert/strict'
import { ENTRY_FIELDS, type Entry, newNonce } from '../entry.ts'
import { PARTITIONS_DEFAULT } from '../partition.ts'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId, entryTimeMs } from '../receipt.ts'
import type { EntryFindings, EntryVerdicts } from '../verdicts.ts'
import type { StoredWindow } from '../window-row.ts'
import {
  type AnalysesScan,
  type AnalyzerStore,
  type AppendBatch,
  type AppendOutcome,
  type Backlog,
  type ClaimOutcome,
  type Commit,
  type CommitOutcome,
  type Crowded,
  type DeadEntry,
  type GatewayStore,
  type LoadedCheckpoint,
  type PartitionEntries,
  type Progress,
  type RequestClaim,
  type Store,
  StoreError,
} from './ports.ts'

const SCAN_PAGE = 100

export interface MemoryStoreOptions {
  readonly partitions?: number
  /** Samples that may wait in a partition before `append` says that it is full. */
  readonly backlogMax?: number
  /** Anomalies and dead entries kept for each partition, the newest. */
  readonly anomaliesMax?: number
  readonly deadMax?: number
  /** Requests that each partition remembers, so that they may be repeated. */
  readonly requestsMax?: number
  /** Unix milliseconds. Ids, leases and members go by it; how long a read waits does not. */
  readonly now?: () => number
}

/**
 * The store in this process's memory: the double of the Redis store in unit tests, and what `npm start` falls back to
 * where there is no Redis. It does what Redis does, stream ids, consumer group and all, and forgets everything at the end.
 */
export interface MemoryStore extends Store {
  /** The same data as another process sees it: a store has one waiting read, so two analyzers need two. */
  connect(): Store
  readonly inspect: MemoryInspection
}

/** What redis-cli is to the Redis store: a way past the ports, for tests. */
export interface MemoryInspection {
  /** An XADD by hand: counts nothing as accepted. */
  appendRaw(partition: number, fields: Readonly<Record<string, string>>): EntryId
  deleteEntry(partition: number, id: EntryId): void
  /** Another entry under the same id, as a fail-over can leave it. */
  replaceEntry(partition: number, id: EntryId, fields: Readonly<Record<string, string>>): void
  destroyGroup(partition: number): void
  streamIds(partition: number): EntryId[]
  pendingIds(partition: number): EntryId[]
  verdictIds(partition: number): EntryId[]
  anomalies(partition: number): string[]
  deadEntries(partition: number): DeadEntry[]
}

interface StreamEntry {
  readonly id: EntryId
  readonly fields: ReadonlyMap<string, string>
}

interface Group {
  lastDelivered: EntryId
  readonly pending: Set<EntryId>
}

interface KeyRow {
  row: Uint8Array | null
  tail: Uint8Array | null
  analysis: string
}

interface Partition {
  /** Oldest first. */
  readonly stream: StreamEntry[]
  lastId: EntryId
  group: Group | undefined
  accepted: number
  checkpoint: LoadedCheckpoint
  analysed: number
  dead: number
  lease: { readonly token: string; readonly expiresAt: number } | undefined
  readonly rows: Map<string, KeyRow>
  /** The keys of `rows` as they came: a place in this list is a scan's cursor. */
  readonly keys: string[]
  readonly verdicts: Map<EntryId, EntryFindings>
  readonly anomalies: string[]
  readonly deadEntries: DeadEntry[]
  readonly requests: Map<string, KnownRequest>
}

interface KnownRequest {
  /** A claim's content, or the id of the entry that was appended. */
  readonly value: string
  readonly forgetAt: number
}

interface Data {
  readonly partitions: readonly Partition[]
  /** Name and when it was last heard. */
  readonly members: Map<string, number>
  /** Woken by each entry that is added. */
  readonly readers: Set<() => void>
  readonly backlogMax: number
  readonly anomaliesMax: number
  readonly deadMax: number
  readonly requestsMax: number
  readonly now: () => number
}

export function createMemoryStore({
  partitions = PARTITIONS_DEFAULT,
  backlogMax = 1_000_000,
  anomaliesMax = 10_000,
  deadMax = 10_000,
  requestsMax = 20_000,
  now = Date.now,
}: MemoryStoreOptions = {}): MemoryStore {
  const data: Data = {
    partitions: Array.from({ length: partitions }, newPartition),
    members: new Map(),
    readers: new Set(),
    backlogMax,
    anomaliesMax,
    deadMax,
    requestsMax,
    now,
  }
  return { ...storeOn(data), connect: () => storeOn(data), inspect: inspectionOf(data) }
}

function newPartition(): Partition {
  return {
    stream: [],
    lastId: ENTRY_ID_ZERO,
    group: undefined,
    accepted: 0,
    checkpoint: { id: ENTRY_ID_ZERO, offset: 0 },
    analysed: 0,
    dead: 0,
    lease: undefined,
    rows: new Map(),
    keys: [],
    verdicts: new Map(),
    anomalies: [],
    deadEntries: [],
    requests: new Map(),
  }
}

function storeOn(data: Data): Store {
  const analyzer = analyzerOn(data)
  return {
    partitions: data.partitions.length,
    durability: 'memory',
    gateway: gatewayOn(data),
    analyzer,
    async [Symbol.asyncDispose]() {
      analyzer.interruptRead()
    },
  }
}

function gatewayOn(data: Data): GatewayStore {
  return {
    append: async batches => batches.map(batch => append(data, batch)),
    claimRequest: async one => claim(data, one),
    progress: async numbers => numbers.map(number => progressOf(partitionAt(data, number))),
    lastAnalyses: async keys =>
      keys.map(({ partition, key }) => partitionAt(data, partition).rows.get(key)?.analysis ?? null),
    scanAnalyses: async (number, cursor) => scan(partitionAt(data, number), cursor),
    window: async ({ partition, key }) => storedWindow(partitionAt(data, partition).rows.get(key)),
    verdicts: async (number, id) => verdictsOf(partitionAt(data, number), id),
    deadEntries: async (number, { upTo, count }) =>
      partitionAt(data, number)
        .deadEntries.filter(({ id }) => upTo === undefined || compareEntryIds(id, upTo) <= 0)
        .reverse()
        .slice(0, count),
    discardDead: async (number, id) => {
      const { deadEntries } = partitionAt(data, number)
      const index = deadEntries.findIndex(entry => entry.id === id)
      if (index >= 0) deadEntries.splice(index, 1)
      return index >= 0
    },
    ping: async () => 0,
  }
}

function analyzerOn(data: Data): AnalyzerStore {
  return {
    ...readerOn(data),
    heartbeat: async (member, ttlMs) => heartbeat(data, member, ttlMs),
    leave: async member => {
      data.members.delete(member)
    },

    acquireLease: async (number, token, ttlMs) => {
      const partition = partitionAt(data, number)
      if (heldLease(data, partition) !== undefined) return false
      partition.lease = { token, expiresAt: data.now() + ttlMs }
      return true
    },
    renewLeases: async (leases, ttlMs) =>
      leases.map(({ partition: number, token }) => {
        const partition = partitionAt(data, number)
        if (heldLease(data, partition) !== token) return false
        partition.lease = { token, expiresAt: data.now() + ttlMs }
        return true
      }),
    releaseLease: async ({ partition: number, token }) => {
      const partition = partitionAt(data, number)
      if (heldLease(data, partition) !== token) return false
      partition.lease = undefined
      return true
    },

    loadCheckpoint: async number => loadCheckpoint(partitionAt(data, number)),
    noteAttempt: async ({ partition: number, token }, attempt) => {
      const partition = partitionAt(data, number)
      if (heldLease(data, partition) !== token) return false
      partition.checkpoint = { ...partition.checkpoint, attempt }
      return true
    },
    withdrawAttempt: async (number, { id, count }) => {
      const partition = partitionAt(data, number)
      const { attempt, ...checkpoint } = partition.checkpoint
      if (attempt?.id !== id || attempt.count !== count) return
      partition.checkpoint = count > 1 ? { ...checkpoint, attempt: { id, count: count - 1 } } : checkpoint
    },
    readPending: async (number, after, count) => readPending(partitionAt(data, number), after, count),
    acknowledge: async (number, ids) => {
      acknowledge(partitionAt(data, number), ids)
    },
    loadWindows: async (number, keys) => {
      const { rows } = partitionAt(data, number)
      return keys.map(key => storedWindow(rows.get(key)))
    },
    keptEntries: async number => {
      const { stream, checkpoint } = partitionAt(data, number)
      return stream.slice(0, indexAfter(stream, checkpoint.id)).map(entry => {
        const { id, count = 0 } = toEntry(entry)
        return { id, samples: count }
      })
    },
    commit: async (lease, commit) => applyCommit(data, lease, commit),
    backlogs: async numbers => numbers.map(number => backlogOf(partitionAt(data, number), data.now())),
  }
}

function partitionAt(data: Data, number: number): Partition {
  const partition = data.partitions[number]
  assert(partition !== undefined, `there is no partition ${number}`)
  return partition
}

// Appending

function append(data: Data, { partition: number, samples, count, once, traces }: AppendBatch): AppendOutcome {
  const partition = partitionAt(data, number)
  const name = `batch:${once?.request}`
  if (once !== undefined) {
    const id = recall(data, partition, name)
    if (id !== undefined) {
      remember(data, partition, { name, value: id, ttlMs: once.ttlMs })
      return { kind: 'known', id }
    }
    const crowded = crowdedness(data, partition)
    if (crowded !== undefined) return crowded
  }
  const backlog = partition.accepted - partition.checkpoint.offset
  if (backlog >= data.backlogMax) return { kind: 'full', backlog }
  const id = addEntry(data, partition, {
    [ENTRY_FIELDS.samples]: samples,
    [ENTRY_FIELDS.count]: String(count),
    [ENTRY_FIELDS.offset]: String(partition.accepted),
    [ENTRY_FIELDS.nonce]: newNonce(),
    ...(traces === undefined ? {} : { [ENTRY_FIELDS.traces]: traces }),
  })
  partition.accepted += count
  if (once !== undefined) remember(data, partition, { name, value: id, ttlMs: once.ttlMs })
  return { kind: 'stored', id }
}

function claim(data: Data, { partition: number, name, content, ttlMs }: RequestClaim): ClaimOutcome {
  const partition = partitionAt(data, number)
  const known = recall(data, partition, `name:${name}`)
  if (known !== undefined && known !== content) return { kind: 'conflict' }
  const crowded = known === undefined ? crowdedness(data, partition) : undefined
  if (crowded !== undefined) return crowded
  remember(data, partition, { name: `name:${name}`, value: content, ttlMs })
  return { kind: known === undefined ? 'new' : 'repeat' }
}

function recall({ now }: Data, { requests }: Partition, name: string): string | undefined {
  const known = requests.get(name)
  return known !== undefined && known.forgetAt > now() ? known.value : undefined
}

function remember(
  { now }: Data,
  { requests }: Partition,
  { name, value, ttlMs }: { name: string; value: string; ttlMs: number },
): void {
  requests.set(name, { value, forgetAt: now() + ttlMs })
}

/** Forgets what may be forgotten; tells when that leaves no room for one more. */
function crowdedness({ now, requestsMax }: Data, { requests }: Partition): Crowded | undefined {
  if (requests.size < requestsMax) return undefined
  let roomInMs = Number.POSITIVE_INFINITY
  for (const [name, { forgetAt }] of requests) {
    if (forgetAt <= now()) requests.delete(name)
    else roomInMs = Math.min(roomInMs, forgetAt - now())
  }
  return requests.size < requestsMax ? undefined : { kind: 'crowded', roomInMs }
}

function addEntry(data: Data, partition: Partition, fields: Readonly<Record<string, string>>): EntryId {
  const id = idAfter(partition.lastId, data.now())
  partition.lastId = id
  partition.stream.push({ id, fields: new Map(Object.entries(fields)) })
  for (const wake of data.readers) wake()
  return id
}

/** As Redis makes ids: the clock's milliseconds, or the last id's while the clock is not past them. */
function idAfter(lastId: EntryId, now: number): EntryId {
  const [lastMs = 0, lastSequence = 0] = lastId.split('-').map(Number)
  const ms = Math.floor(now)
  return ms > lastMs ? `${ms}-0` : `${lastMs}-${lastSequence + 1}`
}

// Questions

function progressOf({ checkpoint, accepted, analysed, dead }: Partition): Progress {
  const lost = checkpoint.offset - analysed - dead
  return { checkpoint: checkpoint.id, accepted, analysed, dead, lost, backlog: accepted - checkpoint.offset }
}

function backlogOf({ stream, accepted, analysed, dead, checkpoint }: Partition, now: number): Backlog {
  const first = stream[indexAfter(stream, checkpoint.id)]
  const oldest = first?.id ?? null
  return {
    samples: accepted - checkpoint.offset,
    found:
      first === undefined
        ? 0
        : (extentOf(stream.at(-1))?.end ?? accepted) - (extentOf(first)?.begin ?? checkpoint.offset),
    oldest,
    oldestAgeMs: oldest === null ? 0 : Math.max(0, now - entryTimeMs(oldest)),
    ...{ accepted, analysed, dead },
  }
}

/** Which of the partition's samples an entry has; undefined for one that somebody added by hand. */
function extentOf(entry: StreamEntry | undefined): { begin: number; end: number } | undefined {
  if (entry === undefined) return undefined
  const { offset, count } = toEntry(entry)
  return offset === undefined || count === undefined ? undefined : { begin: offset, end: offset + count }
}

function scan({ rows, keys }: Partition, cursor: string): AnalysesScan {
  const start = Number(cursor)
  const end = Math.min(start + SCAN_PAGE, keys.length)
  const analyses = keys.slice(start, end).map(key => ({ key, analysis: rows.get(key)?.analysis ?? '' }))
  return { analyses, next: end < keys.length ? String(end) : '0' }
}

function heartbeat({ members, now }: Data, member: string, ttlMs: number): string[] {
  const at = now()
  members.set(member, at)
  for (const [name, heardAt] of members) if (at - heardAt > ttlMs) members.delete(name)
  return [...members.keys()].sort()
}

function heldLease({ now }: Data, { lease }: Partition): string | undefined {
  return lease !== undefined && now() < lease.expiresAt ? lease.token : undefined
}

// Reading

function readerOn(data: Data): Pick<AnalyzerStore, 'read' | 'interruptRead'> {
  let isReading = false
  let end = (): void => {}
  return {
    async read(numbers, { count, blockMs }) {
      assert(!isReading, 'one read at a time')
      isReading = true
      let isOver = blockMs <= 0
      let wake = (): void => {}
      const onAppend = (): void => wake()
      end = () => {
        isOver = true
        wake()
      }
      const timer = setTimeout(end, blockMs)
      data.readers.add(onAppend)
      try {
        for (;;) {
          const found = deliver(data, numbers, count)
          if (found.length > 0 || isOver) return found
          await new Promise<void>(resolve => {
            wake = resolve
          })
        }
      } finally {
        clearTimeout(timer)
        data.readers.delete(onAppend)
        isReading = false
      }
    },
    interruptRead: () => end(),
  }
}

/**
 * Every entry after the checkpoint must be pending or not delivered yet. It is neither when somebody acknowledged it by
 * hand; then the group goes back to the checkpoint, and what is pending is forgotten, for it is delivered again.
 */
function loadCheckpoint(partition: Partition): LoadedCheckpoint {
  const { stream, checkpoint } = partition
  partition.group ??= { lastDelivered: checkpoint.id, pending: new Set() }
  const { group } = partition
  const first = stream[indexAfter(stream, checkpoint.id)]?.id
  const isMissed = first !== undefined && compareEntryIds(first, group.lastDelivered) <= 0 && !group.pending.has(first)
  if (isMissed) {
    group.lastDelivered = checkpoint.id
    group.pending.clear()
  }
  return checkpoint
}

/** What XREADGROUP with `>` does. */
function deliver(data: Data, numbers: readonly number[], count: number): PartitionEntries[] {
  const asked = numbers.map(number => {
    const partition = partitionAt(data, number)
    return { number, stream: partition.stream, group: groupOf(partition) }
  })
  return asked.flatMap(({ number, stream, group }) => {
    const start = indexAfter(stream, group.lastDelivered)
    const entries = stream.slice(start, start + count).map(toEntry)
    for (const { id } of entries) {
      group.pending.add(id)
      group.lastDelivered = id
    }
    return entries.length > 0 ? [{ partition: number, entries }] : []
  })
}

function readPending(partition: Partition, after: EntryId, count: number): Entry[] {
  const { stream } = partition
  return pendingIds(groupOf(partition))
    .filter(id => compareEntryIds(id, after) > 0)
    .slice(0, count)
    .map(id => {
      const entry = stream[indexAfter(stream, id) - 1]
      if (entry?.id === id) return toEntry(entry)
      return { id, samples: undefined, count: undefined, offset: undefined, isDeleted: true }
    })
}

/** How many there were. As with Redis' XACK, it is no error when they, or the group, are not there. */
function acknowledge({ group }: Partition, ids: readonly EntryId[]): number {
  return ids.filter(id => group?.pending.delete(id)).length
}

function pendingIds(group: Group | undefined): EntryId[] {
  return [...(group?.pending ?? [])].sort(compareEntryIds)
}

function groupOf({ group }: Partition): Group {
  if (group === undefined) throw new StoreError('the partition has no group', { kind: 'refused' })
  return group
}

function toEntry({ id, fields }: StreamEntry): Entry {
  const nonce = fields.get(ENTRY_FIELDS.nonce)
  const traces = fields.get(ENTRY_FIELDS.traces)
  return {
    id,
    samples: fields.get(ENTRY_FIELDS.samples),
    count: toCount(fields.get(ENTRY_FIELDS.count)),
    offset: toCount(fields.get(ENTRY_FIELDS.offset)),
    ...(nonce === undefined ? {} : { nonce }),
    ...(traces === undefined ? {} : { traces }),
  }
}

function toCount(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** The place of the first entry after `id`: streams are in order of id, so by halves. */
function indexAfter(stream: readonly StreamEntry[], id: EntryId): number {
  let low = 0
  let high = stream.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const entry = stream[middle]
    if (entry !== undefined && compareEntryIds(entry.id, id) <= 0) low = middle + 1
    else high = middle
  }
  return low
}

// Committing

function applyCommit(data: Data, lease: { partition: number; token: string }, commit: Commit): CommitOutcome {
  assert.equal(commit.entries.at(-1), commit.to.id, 'a commit leads to its last entry')
  assert(compareEntryIds(commit.keepFrom ?? '0-0', commit.to.id) <= 0, 'a commit keeps what it does not apply')
  const partition = partitionAt(data, lease.partition)
  const hindrance = hindranceOf(partition, commit, heldLease(data, partition) === lease.token)
  if (hindrance !== undefined) return hindrance

  for (const { key, window, analysis } of commit.keys) {
    if (!partition.rows.has(key)) partition.keys.push(key)
    const { row = null, tail = null } = partition.rows.get(key) ?? {}
    const bytes = new Uint8Array(window.bytes)
    partition.rows.set(key, window.kind === 'row' ? { row: bytes, tail, analysis } : { row, tail: bytes, analysis })
  }
  partition.anomalies.push(...commit.anomalies)
  keepNewest(partition.anomalies, data.anomaliesMax)
  partition.deadEntries.push(...commit.deadEntries)
  keepNewest(partition.deadEntries, data.deadMax)
  keepVerdicts(partition.verdicts, commit)
  const { group } = partition
  const acknowledged = acknowledge(partition, commit.entries)
  // The group was sent back after they had been read: it must not deliver again what is applied now.
  if (
    group !== undefined &&
    acknowledged < commit.entries.length &&
    compareEntryIds(group.lastDelivered, commit.to.id) < 0
  ) {
    group.lastDelivered = commit.to.id
  }
  partition.checkpoint = { id: commit.to.id, offset: commit.to.offset }
  partition.analysed += commit.analysed
  partition.dead += commit.dead
  const { stream } = partition
  const kept = stream.findIndex(({ id }) => commit.keepFrom !== undefined && compareEntryIds(id, commit.keepFrom) >= 0)
  stream.splice(0, kept === -1 ? indexAfter(stream, commit.to.id) : kept)
  return { kind: 'ok', at: data.now() }
}

function hindranceOf(
  { checkpoint, stream, group }: Partition,
  { from, to, entries, witness }: Commit,
  isOurs: boolean,
): CommitOutcome | undefined {
  if (!isOurs) return { kind: 'fenced' }
  if (checkpoint.id === to.id) return { kind: 'already' }
  // Applied entries are kept for a while, and may be delivered again when somebody moves the group.
  const isAgain = compareEntryIds(entries[0] ?? to.id, from.id) <= 0
  if (checkpoint.id !== from.id || isAgain) return { kind: 'stale', checkpoint: checkpoint.id }
  if (witness !== undefined) {
    const found = stream[indexAfter(stream, witness.id) - 1]
    const isThere = found?.id === witness.id && (found.fields.get(ENTRY_FIELDS.nonce) ?? '') === witness.nonce
    if (!isThere) return { kind: 'stale', checkpoint: checkpoint.id }
  }
  const next = stream[indexAfter(stream, from.id)]
  const [first = to.id] = entries
  if (next !== undefined && compareEntryIds(next.id, first) < 0) return { kind: 'gap', id: next.id }
  // What a former owner read in the meantime is pending and not in the run.
  const run = new Set(entries)
  const unseen = pendingIds(group).find(
    id => compareEntryIds(id, from.id) > 0 && compareEntryIds(id, to.id) <= 0 && !run.has(id),
  )
  return unseen === undefined ? undefined : { kind: 'gap', id: unseen }
}

function keepNewest(items: unknown[], max: number): void {
  items.splice(0, Math.max(0, items.length - max))
}

function keepVerdicts(kept: Map<EntryId, EntryFindings>, { verdicts, keepFrom, to }: Commit): void {
  for (const one of verdicts) kept.set(one.id, { ...one, findings: new Uint8Array(one.findings) })
  for (const id of kept.keys()) {
    if (compareEntryIds(id, keepFrom ?? to.id) >= (keepFrom === undefined ? 1 : 0)) break
    kept.delete(id)
  }
}

function verdictsOf({ verdicts, stream }: Partition, id: EntryId): EntryVerdicts | null {
  const found = verdicts.get(id)
  const entry = stream[indexAfter(stream, id) - 1]
  if (found === undefined || entry?.id !== id) return null
  return { ...found, findings: new Uint8Array(found.findings), samples: toEntry(entry).samples ?? '' }
}

function storedWindow(found: KeyRow | undefined): StoredWindow | null {
  const row = copyBytes(found?.row)
  return row === null ? null : { row, tail: copyBytes(found?.tail) }
}

/** Not slice(): that of a Buffer shares the memory. */
function copyBytes(bytes: Uint8Array | null | undefined): Uint8Array | null {
  return bytes === undefined || bytes === null ? null : new Uint8Array(bytes)
}

function inspectionOf(data: Data): MemoryInspection {
  return {
    appendRaw: (number, fields) => addEntry(data, partitionAt(data, number), fields),
    deleteEntry: (number, id) => {
      const { stream } = partitionAt(data, number)
      const index = stream.findIndex(entry => entry.id === id)
      if (index >= 0) stream.splice(index, 1)
    },
    replaceEntry: (number, id, fields) => {
      const { stream } = partitionAt(data, number)
      const index = stream.findIndex(entry => entry.id === id)
      if (index >= 0) stream[index] = { id, fields: new Map(Object.entries(fields)) }
    },
    destroyGroup: number => {
      partitionAt(data, number).group = undefined
    },
    streamIds: number => partitionAt(data, number).stream.map(({ id }) => id),
    pendingIds: number => pendingIds(groupOf(partitionAt(data, number))),
    verdictIds: number => [...partitionAt(data, number).verdicts.keys()],
    anomalies: number => [...partitionAt(data, number).anomalies],
    deadEntries: number => [...partitionAt(data, number).deadEntries],
  }
}
