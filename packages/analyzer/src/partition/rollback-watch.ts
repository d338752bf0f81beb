import type { Entry } from '@tidemark/shared/sample/entry'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId } from '@tidemark/shared/sample/receipt'

/**
 * Detects a rollback of Redis: a crash that lost the end of its file, or a failover to a replica
 * that lagged. The next new entry then starts at a lower offset than the last one ended at. The
 * difference is the number of samples that were accepted and read here, and that Redis has lost.
 *
 * One watch serves all partitions for the life of the process: the owner may change meanwhile. So
 * several analyzers may detect the same loss, but none counts more than was lost. One that read
 * everything before the loss, and first after it, counts all of it: combine counts by the maximum.
 */
export class RollbackWatch {
  /** By partition: the newest entry read, and the samples accepted up to it. */
  readonly #seen = new Map<number, { readonly id: EntryId; readonly offset: number }>()

  /** Records entries in the order of reading; returns the number of samples found lost. */
  observe(partition: number, entries: readonly Entry[]): number {
    let seen = this.#seen.get(partition)
    let lost = 0
    for (const { id, offset, count } of entries) {
      // Old entries are read again too; only a new id shows the offset that Redis went back to.
      if (offset === undefined || count === undefined || compareEntryIds(id, seen?.id ?? ENTRY_ID_ZERO) <= 0) continue
      if (seen !== undefined && offset < seen.offset) lost += seen.offset - offset
      seen = { id, offset: offset + count }
    }
    if (seen !== undefined) this.#seen.set(partition, seen)
    return lost
  }
}
