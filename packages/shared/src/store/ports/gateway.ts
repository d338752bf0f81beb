import type { StoredWindow } from '../../detection/window-row.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { EntryVerdicts } from '../../verdict/kept-verdicts.ts'
import type { AggregateReads } from './aggregates.ts'
import type { DeadLetter } from './commit.ts'
import type { StoreError } from './errors.ts'
import type { OwnerChange } from './lease.ts'

export interface GatewayStore extends Pick<AggregateReads, 'aggregates'> {
  /**
   * Appends each batch as one entry, in order, and counts its samples as accepted, both or neither.
   * Returns one outcome per batch. Rejects only on a bug; then no outcome is known.
   */
  append(batches: readonly AppendBatch[]): Promise<AppendOutcome[]>

  /**
   * Reserves the name of a client's request for its content, to detect other content under the same
   * name. The request's batches are appended afterwards, each with a `RequestMark`.
   */
  claimRequest(claim: RequestClaim): Promise<ClaimOutcome>

  /** Reads the progress of each partition, in the order given. */
  progress(partitions: readonly number[]): Promise<Progress[]>

  /** Reads the newest analysis of each key, as JSON; null where there is none. */
  lastAnalyses(keys: readonly KeyInPartition[]): Promise<(string | null)[]>

  /** A scan from '0' until `next` is '0' returns every key that exists throughout the scan. */
  scanAnalyses(partition: number, cursor: string): Promise<AnalysesScan>

  /** Reads a key's window, as window-row.ts describes it; null for a key never analysed. */
  window(at: KeyInPartition): Promise<StoredWindow | null>

  /** Reads the verdicts on an entry's samples; null when not there yet or no longer kept. */
  verdicts(partition: number, id: EntryId): Promise<EntryVerdicts | null>

  /** Reads the entries whose verdicts are kept, with those, newest first. */
  keptVerdicts(partition: number, range: NewestFirst): Promise<EntryVerdicts[]>

  /** Reads the analyses that are anomalies, newest first. Only the newest are kept. */
  anomalies(partition: number, range: NewestFirst): Promise<StoredAnomaly[]>

  /** Returns whether an entry with this or a later id exists. Applied entries may be trimmed. */
  hasEntryFrom(partition: number, id: EntryId): Promise<boolean>

  /** Reads dead letters, newest first. */
  deadLetters(partition: number, range: NewestFirst): Promise<DeadLetter[]>

  /** Deletes a dead letter; false when there is none with this id. */
  discardDeadLetter(partition: number, id: EntryId): Promise<boolean>

  /** Reads the analyses that `rule` would have flagged, as JSON, newest first. */
  shadowed(partition: number, rule: string, count: number): Promise<string[]>

  /** The same as `AnalyzerStore.ruleCounts`. */
  ruleCounts(partition: number): Promise<ReadonlyMap<string, number>>

  /** Returns the round-trip time in milliseconds of a request that touches no data. */
  ping(): Promise<number>

  /** Reads which analyzer owns each partition, in the order given; null for none. */
  owners(partitions: readonly number[]): Promise<(string | null)[]>

  /** Reads who took and released a partition, newest first. Only the newest are kept. */
  ownerChanges(partition: number): Promise<OwnerChange[]>

  /** Reads how much memory is in use, of the fullest node; null where that is unknown. */
  memory(): Promise<StoreMemory | null>
}

export interface StoreMemory {
  readonly usedBytes: number
  /** 0: no limit. */
  readonly maxBytes: number
}

/** Entries from `upTo`, which is included, backwards; at most `count`. */
export interface NewestFirst {
  readonly upTo?: EntryId | undefined
  readonly count: number
}

export interface StoredAnomaly {
  /** Its place among the anomalies of its partition. */
  readonly id: EntryId
  /** As JSON. */
  readonly analysis: string
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
  /** Set when the client may retry: a partition stores one batch of the request. */
  readonly once?: RequestMark | undefined
  /** From packTraces. Without it the entry is, byte for byte, the same as without tracing. */
  readonly traces?: string | undefined
}

/** Identifies the request that a batch belongs to, so that a retry of it stores nothing twice. */
export interface RequestMark {
  /** The same for each retry of the request, and for no other request. */
  readonly request: string
  /** How long the store remembers the request after its last use, by the store's clock. */
  readonly ttlMs: number
}

export type AppendOutcome =
  | { readonly kind: 'stored'; readonly id: EntryId }
  /** The request's batch was stored before, as this entry; nothing was stored now. */
  | { readonly kind: 'known'; readonly id: EntryId }
  | LimitReached
  /** The partition's backlog is at its limit; nothing was stored. */
  | { readonly kind: 'backlog-full'; readonly backlog: number }
  | NoMemory
  | { readonly kind: 'failed'; readonly error: StoreError }

/** The store's memory is at its limit; nothing was stored. Processing the backlog frees memory. */
export interface NoMemory {
  readonly kind: 'no-memory'
}

/** The store remembers as many requests as it may; nothing was stored. */
export interface LimitReached {
  readonly kind: 'limit-reached'
  /** Until the next remembered request expires. */
  readonly roomInMs: number
}

export interface RequestClaim {
  /** Where the name is remembered: always the same partition for a name. */
  readonly partition: number
  /** The client's name for the request. */
  readonly name: string
  /** What the request asks for: compared as a whole. */
  readonly content: string
  /** How long the store remembers the request after its last use, by the store's clock. */
  readonly ttlMs: number
}

export type ClaimOutcome =
  | { readonly kind: 'new' }
  /** The name was claimed before, for the same content. */
  | { readonly kind: 'repeat' }
  /** The name was claimed before, for other content. */
  | { readonly kind: 'conflict' }
  | LimitReached
  | NoMemory

/**
 * Samples since the partition exists: accepted = analysed + dead + lost + backlog, always.
 * `lost` is 0 unless Redis lost data.
 */
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
