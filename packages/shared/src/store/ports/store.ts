import type { StoredWindow } from '../../detection/window-row.ts'
import type { Entry } from '../../sample/entry.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { EntryFindings, EntryVerdicts } from '../../verdict/kept-verdicts.ts'
import type { AlertChanges, AlertStore } from './alerts.ts'
import type { RuleStore } from './rules.ts'

/**
 * What gateway and analyzer need of a store. Two stores implement it: Redis (store/redis) and memory (store/memory.ts), and
 * one contract suite (testing/store-contract.ts) holds both to the same behaviour.
 *
 * Every method may reject with a `StoreError`: nothing is known then but what its kind says.
 */
export interface Store extends AsyncDisposable {
  readonly partitions: number
  /** What becomes of a sample that was answered with success when something breaks: docs/decisions/0011. */
  readonly durability: DurabilityLevel
  readonly gateway: GatewayStore
  readonly analyzer: AnalyzerStore
  readonly rules: RuleStore
  readonly alerts: AlertStore
}

/** `memory` ends with the process of the store. */
export const DURABILITY_LEVELS = ['memory', 'local', 'disk', 'replicated'] as const
export type DurabilityLevel = (typeof DURABILITY_LEVELS)[number]

export interface GatewayStore {
  /**
   * Appends each batch as one entry, in order, and counts its samples as accepted, both or neither. Resolves when the store
   * has answered for all: one outcome a batch. Does not reject.
   */
  append(batches: readonly AppendBatch[]): Promise<AppendOutcome[]>
  /**
   * Remembers what a client's request asks for, so that the same name with another content is found out. What the request
   * brings is appended after that, each batch marked `once`.
   */
  claimRequest(claim: RequestClaim): Promise<ClaimOutcome>
  /** How far each partition came, in the order asked. */
  progress(partitions: readonly number[]): Promise<Progress[]>
  /** The newest analysis of each key, as JSON; null where there is none. */
  lastAnalyses(keys: readonly KeyInPartition[]): Promise<(string | null)[]>
  /** Some keys of a partition with their newest analyses. Every key that stays is seen by a scan from '0' until `next` is '0'. */
  scanAnalyses(partition: number, cursor: string): Promise<AnalysesScan>
  /** The window of a key, as window-row.ts describes it; null when the key was never analysed. */
  window(at: KeyInPartition): Promise<StoredWindow | null>
  /** The verdicts on an entry's samples; null when they are not kept any more, or not there yet. */
  verdicts(partition: number, id: EntryId): Promise<EntryVerdicts | null>
  /** Entries that could not be read, newest first, from `upTo` (with it) back; at most `count`. */
  deadLetters(partition: number, range: { upTo?: EntryId | undefined; count: number }): Promise<DeadLetter[]>
  /** Forgets a dead entry; false when there is none of that id. */
  discardDeadLetter(partition: number, id: EntryId): Promise<boolean>
  /** Analyses that rules which are tried out would have flagged, as JSON, newest first, at most `count`; those of one rule. */
  shadowed(partition: number, rule: string, count: number): Promise<string[]>
  /** As `AnalyzerStore.ruleCounts`. */
  ruleCounts(partition: number): Promise<ReadonlyMap<string, number>>
  /** Round-trip time in milliseconds of a question that touches no data. */
  ping(): Promise<number>
}

export interface KeyInPartition {
  readonly partition: number
  readonly key: string
}

export interface AppendBatch {
  readonly partition: number
  /** From packSamples. */
  readonly samples: string
  readonly count: number
  /** Of a request that its client may repeat: a partition takes one batch of it, however often it comes. */
  readonly once?: Once | undefined
  /** From packTraces. An entry without is the same byte for byte as if there were no tracing. */
  readonly traces?: string | undefined
}

export interface Once {
  /** The same for each repeat of the request, and for no other request. */
  readonly request: string
  /** How long after its last use the store remembers it, by the store's clock. */
  readonly ttlMs: number
}

export type AppendOutcome =
  | { readonly kind: 'stored'; readonly id: EntryId }
  /** The request's batch was stored before, as this entry; nothing was stored now. */
  | { readonly kind: 'known'; readonly id: EntryId }
  /** So many requests are remembered that there is no room for one more; nothing was stored. */
  | LimitReached
  /** The partition's backlog is at its limit; nothing was stored. */
  | { readonly kind: 'full'; readonly backlog: number }
  | NoMemory
  | { readonly kind: 'failed'; readonly error: StoreError }

/** The store's memory is at its limit; nothing was stored. Draining a backlog frees some. */
export interface NoMemory {
  readonly kind: 'no-memory'
}

export interface LimitReached {
  readonly kind: 'limit-reached'
  /** Until the next one is forgotten. */
  readonly roomInMs: number
}

export interface RequestClaim {
  /** Where the name is remembered: always the same for a name. */
  readonly partition: number
  /** What the client calls the request. */
  readonly name: string
  /** What it asks for: compared as a whole. */
  readonly content: string
  /** How long after its last use the store remembers it, by the store's clock. */
  readonly ttlMs: number
}

export type ClaimOutcome =
  | { readonly kind: 'new' }
  /** The same name came with the same content before. */
  | { readonly kind: 'repeat' }
  /** The same name came with another content before. */
  | { readonly kind: 'conflict' }
  /** So many requests are remembered that there is no room for one more. */
  | LimitReached
  | NoMemory

/** Counts are of samples, ever. accepted = analysed + dead + lost + backlog, always; lost is 0 unless Redis lost data. */
export interface Progress {
  readonly checkpoint: EntryId
  readonly accepted: number
  readonly analysed: number
  readonly dead: number
  readonly lost: number
  readonly backlog: number
}

export interface AnalysesScan {
  readonly analyses: readonly { readonly key: string; readonly analysis: string }[]
  /** '0' at the end. */
  readonly next: string
}

export interface AnalyzerStore {
  /** Says that `member` lives, forgets members that said nothing for `ttlMs`, and tells who is left, in order of name. */
  heartbeat(member: string, ttlMs: number): Promise<string[]>
  leave(member: string): Promise<void>

  /** Takes a free lease. False when somebody holds it, even with the same token. */
  acquireLease(partition: number, token: string, ttlMs: number): Promise<boolean>
  /** One answer a lease: false when it is not ours any more. */
  renewLeases(leases: readonly Lease[], ttlMs: number): Promise<boolean[]>
  /** False when it was not ours any more. */
  releaseLease(lease: Lease): Promise<boolean>

  /**
   * Where the partition's work stands. Sees to it that every entry after that is pending or will be delivered: makes the
   * group when there is none, and moves it back when somebody moved it or acknowledged by hand.
   */
  loadCheckpoint(partition: number): Promise<LoadedCheckpoint>
  /**
   * Notes that the lease's owner is about to work on a pending entry; the next commit forgets it. What is noted when another
   * owner loads the checkpoint ended its owner. False when the lease is not ours.
   */
  noteAttempt(lease: Lease, attempt: Attempt): Promise<boolean>
  /** Takes one from the count of a noted attempt, if it is still the one that is noted: it failed and did not end its owner. */
  withdrawAttempt(partition: number, attempt: Attempt): Promise<void>
  /** Entries that were delivered to the partition's owner and not acknowledged, after `after`, at most `count`. */
  readPending(partition: number, after: EntryId, count: number): Promise<Entry[]>
  /** Acknowledges pending entries up to the checkpoint: applied already, so nothing else is to be done with them. */
  acknowledge(partition: number, ids: readonly EntryId[]): Promise<void>
  /**
   * Entries never delivered before, of any of `partitions`, at most `count` of each; waits up to `blockMs` (or less) for the
   * first, or for an interruption when there are no partitions.
   * One call at a time. An entry that is returned is pending until a commit acknowledges it.
   */
  read(partitions: readonly number[], options: { count: number; blockMs: number }): Promise<PartitionEntries[]>
  /** Makes a waiting `read` return soon, with what it has. */
  interruptRead(): void
  /** The windows of `keys`, null for a new key, as window-row.ts describes them. */
  loadWindows(partition: number, keys: readonly string[]): Promise<(StoredWindow | null)[]>
  /** The entries that are applied and still kept for their verdicts, oldest first. */
  keptEntries(partition: number): Promise<KeptEntry[]>

  /** Keys with something due by now (see `Commit.due`), the longest due first, at most `count`; and the store's clock, Unix ms. */
  expiredTimers(partition: number, count: number): Promise<{ readonly now: number; readonly keys: readonly string[] }>
  /** All that was counted by `Commit.counts`, ever. */
  ruleCounts(partition: number): Promise<ReadonlyMap<string, number>>
  /** Forgets what was counted under these names. */
  dropRuleCounts(partition: number, names: readonly string[]): Promise<void>

  /** All of the commit or nothing. A rejection leaves open which; sending the same commit again settles it. */
  commit(lease: Lease, commit: Commit): Promise<CommitOutcome>
  /** What waits in each partition, in the order asked. */
  backlogs(partitions: readonly number[]): Promise<Backlog[]>
}

export interface Lease {
  readonly partition: number
  /** `owner:uuid`, compared as a whole. */
  readonly token: string
}

export interface Checkpoint {
  /** The last entry whose effects are in the windows. */
  readonly id: EntryId
  /** Samples of the partition up to and with that entry. */
  readonly offset: number
}

export interface LoadedCheckpoint extends Checkpoint {
  /** The attempt that was under way when the partition was last worked on. */
  readonly attempt?: Attempt
  /** The version of the rules that the partition's samples were last judged by; 0 at first. */
  readonly rulesVersion: number
}

/** Work on pending entries that began with `id`, for the `count`-th time. */
export interface Attempt {
  readonly id: EntryId
  readonly count: number
}

export interface PartitionEntries {
  readonly partition: number
  readonly entries: readonly Entry[]
  /** Reading this partition failed, and others did not. What was delivered of it is pending. */
  readonly error?: StoreError
}

/** All of it at one moment. */
export interface Backlog {
  /** Accepted and not applied. */
  readonly samples: number
  /** The same as the stream has it, by the offsets of the oldest and the newest entry: another number when Redis lost entries. */
  readonly found: number
  /** Null when nothing waits. */
  readonly oldest: EntryId | null
  /** How long the oldest has waited, by the store's clock, which also made its id; 0 when nothing waits. */
  readonly oldestAgeMs: number
  /** Samples, ever. */
  readonly accepted: number
  readonly analysed: number
  readonly dead: number
}

/**
 * The effects of a run of entries without a gap; or, with no entries, of time going by: then `to` is `from`, and the commit is
 * fenced and checked against the checkpoint all the same. Such a one sent twice does twice the same.
 */
export interface Commit {
  /** The checkpoint that it starts from. */
  readonly from: Checkpoint
  /** The checkpoint that it leads to: `id` is the last of `entries`. */
  readonly to: Checkpoint
  /** Ids of the run, in order. */
  readonly entries: readonly EntryId[]
  /** The commit is a `gap` if any entry stands after `to`. Only without entries. */
  readonly requiresDrained?: boolean
  /**
   * An entry of the run as it was read, the last one that was not deleted. When another stands under its id by now, or none,
   * the store has lost what was read: the commit is stale.
   */
  readonly witness: { readonly id: EntryId; readonly nonce: string } | undefined
  readonly analysed: number
  /** Samples in dead entries. */
  readonly dead: number
  /** The version of the rules that judged: kept with the checkpoint. */
  readonly rulesVersion: number
  /** One for each key that the run touched. */
  readonly keys: readonly KeyUpdate[]
  /** Analyses that are anomalies, as JSON. */
  readonly anomalies: readonly string[]
  readonly deadLetters: readonly DeadLetter[]
  readonly verdicts: readonly EntryFindings[]
  /** Entries before this one are kept no longer, and neither are their verdicts. Undefined keeps none of those applied. */
  readonly keepFrom: EntryId | undefined
  readonly alerts: AlertChanges
  /** When to look at a key though no sample comes, Unix ms, in the place of the time before; null for never. */
  readonly due: readonly { readonly key: string; readonly at: number | null }[]
  /** What is added to the counts of rules, under which name; integers. */
  readonly counts: readonly { readonly name: string; readonly by: number }[]
  /** Analyses that rules which are tried out would have flagged, each with its rule. */
  readonly shadowed: readonly { readonly rule: string; readonly analysis: string }[]
}

/** What a commit does beyond judging by the default policy, when that is nothing. */
export const NO_RULE_EFFECTS = {
  alerts: { opened: [], ended: [] },
  due: [],
  counts: [],
  shadowed: [],
} as const satisfies Partial<Commit>

export interface KeyUpdate {
  readonly key: string
  readonly window: WindowUpdate
  /** As JSON; null leaves the one before: the key's samples were refused, or there were none. */
  readonly analysis: string | null
}

/** A row takes the place of the one before, a tail that of the tail before. */
export interface WindowUpdate {
  readonly kind: 'row' | 'tail'
  readonly bytes: Uint8Array
}

/** An entry whose effects are applied. */
export interface KeptEntry {
  readonly id: EntryId
  readonly samples: number
}

export interface DeadLetter {
  readonly id: EntryId
  readonly reason: string
  /** What could be read of it. */
  readonly samples: string
}

export type CommitOutcome =
  /** Done; `at` is the store's clock then, Unix milliseconds, the clock that also made the entries' ids. */
  | { readonly kind: 'ok'; readonly at: number }
  /** It was done before: the answer to an earlier send was lost. */
  | { readonly kind: 'already' }
  /** The store stands elsewhere than the commit starts: the owner's memory is wrong. */
  | { readonly kind: 'stale'; readonly checkpoint: EntryId }
  /** An entry stands between the checkpoint and the run. */
  | { readonly kind: 'gap'; readonly id: EntryId }
  /** The lease is not ours. */
  | { readonly kind: 'fenced' }

/** `refused`: the store did not do it. `unknown`: it may have done it. `fatal`: trying again cannot help. */
export type StoreErrorKind = 'refused' | 'unknown' | 'fatal'

export class StoreError extends Error {
  readonly kind: StoreErrorKind

  constructor(message: string, options: ErrorOptions & { kind: StoreErrorKind }) {
    super(message, options)
    this.name = 'StoreError'
    this.kind = options.kind
  }
}

/** The store holds another deployment's layout. Its message is for the operator. */
export class LayoutMismatch extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'LayoutMismatch'
  }
}

/** The store does not give the durability that was asked for. Its message is for the operator. */
export class DurabilityMismatch extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DurabilityMismatch'
  }
}
