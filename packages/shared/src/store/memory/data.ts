import assert from 'node:assert/strict'
import type { RuleChange, RuleDocument } from '../../detection/rules/document.ts'
import { ENTRY_ID_ZERO, type EntryId } from '../../sample/receipt.ts'
import type { EntryFindings } from '../../verdict/kept-verdicts.ts'
import type { AlertFeedEntry, OutboxEntry } from '../ports/alerts.ts'
import type { DeadLetter, LoadedCheckpoint } from '../ports/store.ts'
import type { Log, StreamEntry } from './stream.ts'

/** All that a memory store holds, for every process that is connected to it. */
export interface Data extends MemoryLimits {
  readonly partitions: readonly Partition[]
  readonly rules: Rules
  /** Name and when it was last heard. */
  readonly members: Map<string, number>
  /** Woken by each entry that is added. */
  readonly readers: Set<() => void>
  readonly now: () => number
}

export interface MemoryLimits {
  /** Samples that may wait in a partition before `append` says that it is full. */
  readonly backlogMax: number
  /** Anomalies and dead entries kept for each partition, the newest. */
  readonly anomaliesMax: number
  readonly deadMax: number
  /** Requests that each partition remembers, so that they may be repeated. */
  readonly requestsMax: number
  /** Resolved alerts kept for each partition, the last resolved. */
  readonly alertsMax: number
  /** What is kept for receivers that are behind, for each partition. */
  readonly outboxMax: number
  /** Analyses that rules which are tried out would have flagged, kept for each partition. */
  readonly shadowedMax: number
}

export interface Partition {
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
  readonly analyses: Map<string, string>
  /** The keys of `analyses` as they came: a place in this list is a scan's cursor. */
  readonly keys: string[]
  readonly verdicts: Map<EntryId, EntryFindings>
  readonly anomalies: string[]
  readonly deadLetters: DeadLetter[]
  readonly requests: Map<string, KnownRequest>
  readonly alerts: Alerts
  /** When to look at a key though no sample comes. */
  readonly due: Map<string, number>
  readonly ruleCounts: Map<string, number>
  readonly shadowed: { readonly rule: string; readonly analysis: string }[]
}

export interface Group {
  lastDelivered: EntryId
  readonly pending: Set<EntryId>
}

export interface KeyRow {
  readonly row: Uint8Array | null
  readonly tail: Uint8Array | null
}

interface KnownRequest {
  /** A claim's content, or the id of the entry that was appended. */
  readonly value: string
  readonly forgetAt: number
}

/** Values of maps by id are JSON: what comes out is not what went in, and has lost what JSON loses. */
export interface Alerts {
  readonly openings: Map<string, string>
  readonly ends: Map<string, string>
  readonly operatorStates: Map<string, string>
  readonly notificationStates: Map<string, string>
  /** When they opened. */
  readonly firing: Map<string, number>
  /** When they were resolved. */
  readonly resolved: Map<string, number>
  /** When receivers may have to be told. */
  readonly notices: Map<string, number>
  readonly feed: Log<Omit<AlertFeedEntry, 'id'>>
  readonly outbox: Log<Omit<OutboxEntry, 'id'>>
  /** What each receiver was told last. */
  readonly outboxPositions: Map<string, EntryId>
  storm: string | null
}

export interface Rules {
  document: RuleDocument
  /** Oldest first. */
  readonly changes: RuleChange[]
}

export function newPartition(): Partition {
  return {
    stream: [],
    lastId: ENTRY_ID_ZERO,
    group: undefined,
    accepted: 0,
    checkpoint: { id: ENTRY_ID_ZERO, offset: 0, rulesVersion: 0 },
    analysed: 0,
    dead: 0,
    lease: undefined,
    rows: new Map(),
    analyses: new Map(),
    keys: [],
    verdicts: new Map(),
    anomalies: [],
    deadLetters: [],
    requests: new Map(),
    alerts: newAlerts(),
    due: new Map(),
    ruleCounts: new Map(),
    shadowed: [],
  }
}

function newAlerts(): Alerts {
  return {
    openings: new Map(),
    ends: new Map(),
    operatorStates: new Map(),
    notificationStates: new Map(),
    firing: new Map(),
    resolved: new Map(),
    notices: new Map(),
    feed: { lastId: ENTRY_ID_ZERO, entries: [] },
    outbox: { lastId: ENTRY_ID_ZERO, entries: [] },
    outboxPositions: new Map(),
    storm: null,
  }
}

export function partitionAt(data: Data, number: number): Partition {
  const partition = data.partitions[number]
  assert(partition !== undefined, `there is no partition ${number}`)
  return partition
}

/** The token of who holds the partition's lease. */
export function heldLease({ now }: Data, { lease }: Partition): string | undefined {
  return lease !== undefined && now() < lease.expiresAt ? lease.token : undefined
}

/** Leaves the last `max` of them. */
export function keepNewest(items: unknown[], max: number): void {
  items.splice(0, Math.max(0, items.length - max))
}
