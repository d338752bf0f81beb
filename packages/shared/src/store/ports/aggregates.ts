import type { StoredAggregates } from '../../aggregates/reading.ts'
import type { RingWrite } from '../../aggregates/rings.ts'

/** What a commit changes of the aggregates of its keys. */
export interface AggregateUpdates {
  /** The open buckets of keys (aggregates/open-buckets.ts). */
  readonly states: { readonly key: string; readonly bytes: Uint8Array }[]
  /** In this order. */
  readonly writes: (RingWrite & { readonly key: string })[]
}

export interface AggregateReads {
  /** Reads the open buckets of keys, null where there are none. */
  openBuckets(partition: number, keys: readonly string[]): Promise<(Uint8Array | null)[]>
  /** Reads all of a key's buckets, as of one moment; null where there are none. */
  aggregates(at: { readonly partition: number; readonly key: string }): Promise<StoredAggregates | null>
}
