import type { EntryId } from '../../sample/receipt.ts'

/** What commits left for the sink, by partition. Methods may reject with a `StoreError`. */
export interface PointStore {
  /**
   * Reads what was committed in intervals of `intervalMs` that are over, by the store's clock,
   * oldest first.
   */
  read(partition: number, options: PointReadOptions): Promise<{ readonly now: number; readonly entries: PointEntry[] }>
  /** Removes the entries up to `upTo`, which is included: they were written, or are too old. */
  remove(partition: number, upTo: EntryId): Promise<void>
}

export interface PointReadOptions {
  readonly intervalMs: number
  readonly after: EntryId
  readonly count: number
}

/** The points of one commit. Its id says when that was. */
export interface PointEntry {
  readonly id: EntryId
  readonly count: number
  /** A JSON array. */
  readonly analyses: string
}
