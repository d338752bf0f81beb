import type { StoredWindow } from '../../detection/window-row.ts'
import type { Entry } from '../../sample/entry.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { AggregateReads } from './aggregates.ts'
import type { Checkpoint, Commit, CommitOutcome } from './commit.ts'
import type { StoreError } from './errors.ts'
import type { Lease } from './lease.ts'

export interface AnalyzerStore extends Pick<AggregateReads, 'openBuckets'> {
  /** Records that `member` is alive, removes those silent for `ttlMs`, returns the rest by name. */
  heartbeat(member: string, ttlMs: number): Promise<string[]>
  leave(member: string): Promise<void>

  /** Takes a free lease. False when it is held, even with the same token. */
  acquireLease(partition: number, token: string, ttlMs: number): Promise<boolean>
  /** Returns one result per lease: false when the caller no longer holds it. */
  renewLeases(leases: readonly Lease[], ttlMs: number): Promise<boolean[]>
  /** False when the caller no longer held it. */
  releaseLease(lease: Lease): Promise<boolean>

  /**
   * Reads the checkpoint and makes sure that every entry after it is pending or will be delivered,
   * even if the consumer group is missing, was moved, or entries were acknowledged from outside.
   */
  loadCheckpoint(partition: number): Promise<LoadedCheckpoint>

  /**
   * Records that the owner is about to work on a pending entry; the next commit clears the record.
   * A record found with the checkpoint names the work that crashed the previous owner. False when
   * the caller does not hold the lease.
   */
  noteAttempt(lease: Lease, attempt: Attempt): Promise<boolean>
  /** Subtracts one from this attempt, if still recorded: it failed without crashing its owner. */
  withdrawAttempt(partition: number, attempt: Attempt): Promise<void>
  /** Reads delivered, unacknowledged entries after `after`, at most `count`. */
  readPending(partition: number, after: EntryId, count: number): Promise<Entry[]>
  /** Acknowledges pending entries up to the checkpoint, whose effects are already applied. */
  acknowledge(partition: number, ids: readonly EntryId[]): Promise<void>

  /**
   * Reads entries never delivered, at most `count` of each partition; they stay pending until a
   * commit acknowledges them. Waits up to `blockMs` for the first; without partitions, for an
   * interruption. One call at a time.
   */
  read(partitions: readonly number[], options: { count: number; blockMs: number }): Promise<PartitionEntries[]>
  /** Makes a waiting `read` return soon, with what it has. */
  interruptRead(): void

  /** Reads the windows of `keys`, null for a new key, as window-row.ts describes them. */
  loadWindows(partition: number, keys: readonly string[]): Promise<(StoredWindow | null)[]>

  /** Reads the applied entries that are still kept for their verdicts, oldest first. */
  keptEntries(partition: number): Promise<KeptEntry[]>

  /** Reads keys with an expired timer, longest expired first. */
  expiredTimers(partition: number, count: number): Promise<ExpiredTimers>

  /** Reads the totals of everything that `Commit.counts` ever added. */
  ruleCounts(partition: number): Promise<ReadonlyMap<string, number>>
  /** Deletes the totals under these names. */
  dropRuleCounts(partition: number, names: readonly string[]): Promise<void>

  /** Applies all of the commit or nothing. After a rejection, send the same commit again. */
  commit(lease: Lease, commit: Commit): Promise<CommitOutcome>

  /** Counts what is kept of each partition within a bound, in the order given. */
  keptCounts(partitions: readonly number[]): Promise<KeptCounts[]>

  /** Measures the backlog of each partition, in the order given. */
  backlogs(partitions: readonly number[]): Promise<Backlog[]>

  /** Reads what shows that a partition at rest has work. Calls of the same moment are one read. */
  atRest(partition: number): Promise<AtRest>
}

export interface ExpiredTimers {
  /** The store's clock, Unix milliseconds. */
  readonly now: number
  readonly keys: readonly string[]
  /** When the first of all timers expires or expired; null if there is none. */
  readonly firstAt: number | null
}

export interface AtRest {
  /** The store's clock, Unix milliseconds. */
  readonly now: number
  /** Samples accepted since the partition exists. */
  readonly accepted: number
  /** Whether a deletion of keys may have been requested. */
  readonly hasDeletions: boolean
}

export interface KeptCounts {
  readonly deadLetters: number
  /** Keys that are checked at a time, although no sample arrives. */
  readonly timers: number
  /** Registered keys. */
  readonly keys: number
}

export interface LoadedCheckpoint extends Checkpoint {
  /** The attempt that was under way when the partition was last worked on. */
  readonly attempt?: Attempt
  /** The version of the rules that last judged the partition's samples; 0 at first. */
  readonly rulesVersion: number
  /** How many commits without entries the partition has had. */
  readonly timeCommits: number
}

/** Work on pending entries that began with `id`, for the `count`-th time. */
export interface Attempt {
  readonly id: EntryId
  readonly count: number
}

export interface PartitionEntries {
  readonly partition: number
  readonly entries: readonly Entry[]
  /** Reading this partition failed while others succeeded. What was delivered of it is pending. */
  readonly error?: StoreError
}

/** All of it measured at one moment. */
export interface Backlog {
  /** Samples accepted and not applied. */
  readonly samples: number
  /** The same by the stream's offsets; it differs from `samples` when Redis lost entries. */
  readonly found: number
  /** Null when the backlog is empty. */
  readonly oldest: EntryId | null
  /** Age of the oldest entry by the store's clock, which made its id; 0 without one. */
  readonly oldestAgeMs: number
  /** Samples since the partition exists. */
  readonly accepted: number
  readonly analysed: number
  readonly dead: number
}

/** An entry whose effects are applied. */
export interface KeptEntry {
  readonly id: EntryId
  readonly samples: number
}
