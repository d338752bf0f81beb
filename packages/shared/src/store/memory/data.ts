import assert from 'node:assert/strict'
import type { AuditIntent, AuditResult } from '../../access/audit-record.ts'
import type { RingName } from '../../aggregates/levels.ts'
import type { AlertCount } from '../../detection/alerts/alert-counts.ts'
import type { StoredAlert } from '../../detection/alerts/record.ts'
import { EMPTY_DOCUMENT, type RuleChange } from '../../detection/rules/document.ts'
import type { StoredWindow } from '../../detection/window-row.ts'
import { ENTRY_ID_ZERO, type EntryId } from '../../sample/receipt.ts'
import type { EntryFindings } from '../../verdict/kept-verdicts.ts'
import type { AlertFeedEntry, DeadNotification, OutboxEntry } from '../ports/alerts.ts'
import type { LoadedCheckpoint } from '../ports/analyzer.ts'
import type { Commit, DeadLetter } from '../ports/commit.ts'
import type { AlertChange } from '../ports/feed.ts'
import type { Deletion } from '../ports/keys.ts'
import type { Lease, OwnerChange } from '../ports/lease.ts'
import type { PointEntry } from '../ports/points.ts'
import type { ProcessReport } from '../ports/processes.ts'
import type { StoreLimits } from '../ports/store.ts'
import type { Total } from '../ports/totals.ts'
import { Log } from './log.ts'

/** Everything that a memory store holds, shared by all connections to it. */
export interface Data extends StoreLimits {
  readonly partitions: readonly Partition[]
  readonly rules: Rules
  readonly apiKeys: ApiKeys
  /** When each member was last heard of. */
  readonly members: Map<string, number>
  /** Reports of running processes by name, and when they expire. */
  readonly processes: Map<string, ProcessReport & { readonly expiresAt: number }>
  /** Buckets of rate limits that are not full, by name. */
  readonly buckets: Map<string, { readonly tokens: number; readonly at: number }>
  /** The newest points of cumulative series. */
  readonly totals: Map<string, { readonly newest: Total; readonly before: Total | undefined }>
  readonly audit: Log<{ readonly intent: AuditIntent; result: AuditResult | null }>
  readonly sessions: { secret: string | undefined; readonly ended: Map<string, number> }
  /** Called for each entry that is added. */
  readonly readers: Set<() => void>
  readonly now: () => number
}

/** API keys: records as JSON, as in Redis. */
export class ApiKeys {
  readonly records = new Map<string, string>()
  readonly uses = new Map<string, number>()
  revision = 0
}

export class Partition {
  readonly log = new Log<{ readonly fields: readonly string[] }>()
  readonly stream = this.log.entries
  group: Group | undefined
  accepted = 0
  checkpoint: LoadedCheckpoint = { id: ENTRY_ID_ZERO, offset: 0, rulesVersion: 0, timeCommits: 0 }
  analysed = 0
  dead = 0
  lease: { readonly token: string; readonly expiresAt: number } | undefined
  readonly ownerChanges = new Log<Omit<OwnerChange, 'id'>>()
  readonly rows = new Map<string, Record<'row' | 'tail' | 'memory', Uint8Array | null>>()
  readonly openBuckets = new Map<string, Uint8Array>()
  readonly rings = new Map<string, Record<RingName, Uint8Array>>()
  readonly analyses = new Map<string, string>()
  /** The keys of `analyses` in order of arrival: a scan's cursor is a number in this list. */
  readonly keys = new NumberedKeys()
  readonly registry = new Map<string, { readonly seenAt: number; readonly owner: string }>()
  /** The keys of `registry` in order of arrival. */
  readonly registered = new NumberedKeys()
  readonly births = new Map<number, number>()
  readonly deletions = new Map<string, PendingDeletion>()
  evicted = 0
  readonly verdicts = new Map<EntryId, EntryFindings>()
  /** Verdicts that are no longer kept. */
  verdictsTrimmed = 0
  readonly anomalies = new Log<{ readonly analysis: string }>()
  readonly deadLetters: DeadLetter[] = []
  /** A claim's content or the id of the entry that was appended, by the request's name. */
  readonly requests = new Map<string, { readonly value: string; readonly expiresAt: number }>()
  readonly alerts = new Alerts()
  /** When to check a key although no sample arrives. */
  readonly timers = new Map<string, number>()
  readonly ruleCounts = new Map<string, number>()
  readonly shadowed: Commit['shadowed'][number][] = []
  readonly points = new Log<Pick<PointEntry, 'count' | 'analyses'>>()
}

/** Keys by a number that rises: a scan goes on behind a number, whatever was removed meanwhile. */
export class NumberedKeys {
  readonly #numbers = new Map<string, number>()
  #next = 1

  get size(): number {
    return this.#numbers.size
  }

  add(key: string): void {
    if (!this.#numbers.has(key)) this.#numbers.set(key, this.#next++)
  }

  delete(key: string): void {
    this.#numbers.delete(key)
  }

  /** Returns the next keys of a scan. It begins and ends with '0'. */
  page(cursor: string, count: number): { readonly keys: readonly string[]; readonly next: string } {
    const rest = [...this.#numbers].filter(([, number]) => number > Number(cursor))
    const page = rest.slice(0, count)
    return { keys: page.map(([key]) => key), next: page.length < rest.length ? String(page.at(-1)?.[1] ?? 0) : '0' }
  }
}

export interface PendingDeletion extends Deletion {
  deleted: number
  /** Undefined while it is pending. */
  doneAt: number | undefined
}

export interface Group {
  lastDelivered: EntryId
  readonly pending: Set<EntryId>
}

export class Alerts {
  /** JSON, as in Redis: a read returns a copy that has lost what JSON loses. */
  readonly parts = new Map<string, StoredAlert>()
  /** When they opened. */
  readonly firing = new Map<string, number>()
  /** When they were resolved. */
  readonly resolved = new Map<string, number>()
  /** When to check whether receivers must be notified. */
  readonly notificationChecks = new Map<string, number>()
  readonly feed = new Log<Omit<AlertFeedEntry, 'id'>>()
  /** By key and by rule. */
  readonly ofKeys = new Map<string, readonly AlertCount[]>()
  readonly ofRules = new Map<string, readonly AlertCount[]>()
  readonly changes = new Log<{ readonly alert: string; readonly change: AlertChange }>()
  readonly outbox = new Log<Omit<OutboxEntry, 'id'>>()
  /** The last entry that each receiver handled. */
  readonly outboxPositions = new Map<string, EntryId>()
  /** By receiver: when to retry an alert that it refused. */
  readonly retries = new Map<string, Map<string, number>>()
  readonly deadNotifications = new Log<Omit<DeadNotification, 'id'>>()
  storm: string | null = null
}

export class Rules {
  document = EMPTY_DOCUMENT
  /** Oldest first. */
  readonly changes: RuleChange[] = []
}

export function partitionAt({ partitions }: Pick<Data, 'partitions'>, number: number): Partition {
  const partition = partitions[number]
  assert(partition !== undefined, `there is no partition ${number}`)
  return partition
}

/** Returns the token of the partition's lease; undefined when it is free. */
export function heldLease({ now }: Data, { lease }: Partition): string | undefined {
  return lease !== undefined && now() < lease.expiresAt ? lease.token : undefined
}

/** Returns the lease's partition; undefined when the lease is not held any more. */
export function ownedBy(data: Data, { partition: number, token }: Lease): Partition | undefined {
  const partition = partitionAt(data, number)
  return heldLease(data, partition) === token ? partition : undefined
}

/** Returns a copy of a key's window. Not by slice(): that of a Buffer shares the memory. */
export function storedWindow({ rows }: Partition, key: string): StoredWindow | null {
  const { row = null, tail = null, memory = null } = rows.get(key) ?? {}
  if (row === null) return null
  const window = { row: new Uint8Array(row), tail: tail && new Uint8Array(tail) }
  return memory === null ? window : { ...window, memory: new Uint8Array(memory) }
}

/** Returns a copy of a key's open buckets. */
export function storedOpenBuckets({ openBuckets }: Partition, key: string): Uint8Array | null {
  const open = openBuckets.get(key)
  return open === undefined ? null : new Uint8Array(open)
}
