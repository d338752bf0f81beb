import type { KeyInPartition } from './gateway.ts'
import type { Lease } from './lease.ts'

/**
 * The registry of keys: a gateway registers a key before it stores the key's first sample, and the
 * commit that evicts the key removes it. Methods may reject with a `StoreError`.
 */
export interface KeyStore {
  /** Reads what is known of each key, in the order given. */
  lookUp(keys: readonly KeyInPartition[]): Promise<KeyState[]>

  /**
   * Registers keys for their owners. A key that is registered stays as it is. At the memory limit
   * a part of them may be registered: repeat the call.
   */
  register(keys: readonly NewKey[]): Promise<'registered' | 'no-memory'>

  /** Reads the counts of every partition, and how many keys each of `owners` has in all of them. */
  counts(owners: readonly string[]): Promise<KeyCounts>

  /** Reads how many keys each owner has in a partition; '' owns those without an API key. */
  owners(partition: number): Promise<ReadonlyMap<string, number>>

  /** Reads how many keys were registered in a partition, by hour (Unix ms), for about two days. */
  births(partition: number): Promise<ReadonlyMap<number, number>>

  /**
   * Reads about `count` keys of one list of a partition. A scan from '0' until `next` is '0'
   * returns every matching key that exists throughout the scan.
   */
  scan(partition: number, scan: KeyScan): Promise<ScannedKeys>

  /**
   * Requests that the partition's owner deletes keys, after the samples accepted so far.
   * 'limit-reached': too many requests are pending.
   */
  requestDeletion(partition: number, id: string, wanted: KeySelection): Promise<'requested' | 'limit-reached'>
  /** Reads the pending requests, oldest first. */
  deletions(partition: number): Promise<Deletion[]>
  /** Ends a request; its count is kept for a while. False when the caller lost the lease. */
  finishDeletion(lease: Lease, id: string): Promise<boolean>
  deletionProgress(partition: number, id: string): Promise<{ readonly deleted: number; readonly isDone: boolean }>
}

/**
 * `registered`: it is in the registry. `stored`: it is not, but it has a window, which an earlier
 * version or a sample that crossed an eviction left. `new`: neither.
 */
export type KeyState = 'registered' | 'stored' | 'new'

export interface NewKey extends KeyInPartition {
  /** The id of the API key that created it; '' for none. */
  readonly owner: string
}

export interface KeyCounts {
  /** By partition. */
  readonly partitions: readonly { readonly keys: number; readonly evicted: number }[]
  /** In the order given. */
  readonly owners: readonly number[]
}

/** The registry, and the keys that have an analysis: after an upgrade neither has all. */
export const KEY_LISTS = ['registry', 'analysed'] as const
export type KeyList = (typeof KEY_LISTS)[number]

export interface KeyScan {
  readonly list: KeyList
  readonly cursor: string
  readonly count: number
  /** Only keys that begin with it; '' for all. */
  readonly prefix?: string
  /** Only keys without a sample since this time (Unix ms). */
  readonly idleSince?: number
}

export interface ScannedKeys {
  readonly keys: readonly string[]
  /** Keys that were looked at, and keys that the list has. */
  readonly scanned: number
  readonly size: number
  readonly next: string
}

/** Keys to delete: one, or all with a prefix, which may be ''. */
export type KeySelection = { readonly key: string } | { readonly prefix: string }

export interface Deletion {
  readonly id: string
  readonly wanted: KeySelection
  /** The newest entry when it was requested. */
  readonly after: string
}

/** Deletions that may be pending in a partition at one time. */
export const DELETIONS_MAX = 100

/** How long the count of a deletion is kept after its end. */
export const DELETION_KEPT_MS = 600_000

/** How long the registered keys of an hour are counted. */
export const BIRTHS_KEPT_MS = 48 * 3_600_000
