import assert from 'node:assert/strict'
import type { RuleChange, RuleDocument } from '../../detection/rules/document.ts'
import { ENTRY_ID_ZERO, type EntryId } from '../../sample/receipt.ts'
import type { EntryFindings } from '../../verdict/kept-verdicts.ts'
import type { AlertFeedEntry, OutboxEntry } from '../ports/alerts.ts'
import type { LoadedCheckpoint } from '../ports/analyzer.ts'
import type { DeadLetter } from '../ports/commit.ts'
import type { Log, StreamEntry } from './log.ts'

/** Everything that a memory store holds, shared by all connections to it. */
export interface Data extends MemoryLimits {
  readonly partitions: readonly Partition[]
  readonly rules: Rules
  /** When each member was last heard of. */
  readonly members: Map<string, number>
  /** Called for each entry that is added. */
  readonly readers: Set<() => void>
  readonly now: () => number
}

export interface MemoryLimits {
  /** Samples that a partition's backlog may hold. */
  readonly backlogMax: number
  /** Newest anomalies and dead letters kept per partition. */
  readonly anomaliesMax: number
  readonly deadMax: number
  /** Requests remembered per partition, so that a retry stores nothing twice. */
  readonly requestsMax: number
  /** Resolved alerts kept per partition, the last resolved. */
  readonly alertsMax: number
  /** Outbox entries kept per partition for receivers that lag. */
  readonly outboxMax: number
  /** Analyses kept per partition that shadow rules would have flagged. */
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
  /** The keys of `analyses` in order of arrival: an index into this list is a scan's cursor. */
  readonly keys: string[]
  readonly verdicts: Map<EntryId, EntryFindings>
  readonly anomalies: string[]
  readonly deadLetters: DeadLetter[]
  readonly requests: Map<string, KnownRequest>
  readonly alerts: Alerts
  /** When to check a key although no sample arrives. */
  readonly timers: Map<string, number>
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
  readonly expiresAt: number
}

/** Parts are JSON, as in Redis: a read returns a copy that has lost what JSON loses. */
export interface Alerts {
  readonly openings: Map<string, string>
  readonly ends: Map<string, string>
  readonly acknowledged: Map<string, string>
  readonly snoozed: Map<string, string>
  readonly notificationStates: Map<string, string>
  /** When they opened. */
  readonly firing: Map<string, number>
  /** When they were resolved. */
  readonly resolved: Map<string, number>
  /** When to check whether receivers must be notified. */
  readonly notificationChecks: Map<string, number>
  readonly feed: Log<Omit<AlertFeedEntry, 'id'>>
  readonly outbox: Log<Omit<OutboxEntry, 'id'>>
  /** The last entry delivered to each receiver. */
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
    timers: new Map(),
    ruleCounts: new Map(),
    shadowed: [],
  }
}

function newAlerts(): Alerts {
  return {
    openings: new Map(),
    ends: new Map(),
    acknowledged: new Map(),
    snoozed: new Map(),
    notificationStates: new Map(),
    firing: new Map(),
    resolved: new Map(),
    notificationChecks: new Map(),
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

/** Returns the token of the partition's lease; undefined when it is free. */
export function heldLease({ now }: Data, { lease }: Partition): string | undefined {
  return lease !== undefined && now() < lease.expiresAt ? lease.token : undefined
}
