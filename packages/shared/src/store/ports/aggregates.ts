import type { StoredAggregates, StoredOpenBuckets } from '../../aggregates/reading.ts'
import type { RingWrite } from '../../aggregates/rings.ts'

/** What a commit changes of the aggregates of its keys (aggregates/open-buckets.ts). */
export interface AggregateUpdates {
  /** The parts of open buckets: the first one under the key, the other one under `restField`. */
  readonly states: { readonly field: string; readonly bytes: Uint8Array }[]
  /** In this order. */
  readonly writes: (RingWrite & { readonly key: string })[]
}

/** Returns the name of the second part of a key's open buckets. Keys have no control characters. */
export function restField(key: string): string {
  return `\u0001${key}`
}

export interface AggregateReads {
  /** Reads the open buckets of keys, null where there are none. */
  openBuckets(partition: number, keys: readonly string[]): Promise<(StoredOpenBuckets | null)[]>
  /** Reads all of a key's buckets, as of one moment; null where there are none. */
  aggregates(at: { readonly partition: number; readonly key: string }): Promise<StoredAggregates | null>
}
