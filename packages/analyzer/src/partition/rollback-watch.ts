import type { Entry } from '@tidemark/shared/sample/entry'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId } from '@tidemark/shared/sample/receipt'

interface Seen {
  /** The newest entry that was read. */
  id: EntryId
  /** Samples that the partition had accepted up to it. */
  offset: number
}

/**
 * Detects a rollback of Redis: a crash that lost the end of its file, or a failover to a replica
 * that lagged. The next new entry then starts at a lower offset than the last one ended at. The
 * difference is the number of samples that were accepted and read here, and that Redis has lost.
 *
 * One watch serves all partitions for the life of the process, also while others own them: if Redis
 * is unavailable for longer than a lease, the next owner may be another analyzer. So several
 * watches may detect the same loss. None counts more than was lost; one that had read everything
 * before the loss and is the first to read after it counts exactly that. Counts of several
 * analyzers are therefore combined by their maximum, not added.
 */
export class RollbackWatch {
  readonly #seen = new Map<number, Seen>()

  /** Records entries in the order of reading; returns the number of samples found lost. */
  observe(partition: number, entries: readonly Entry[]): number {
    let seen = this.#seen.get(partition)
    let lost = 0
    for (const { id, offset, count } of entries) {
      // Entries from before the loss are read again too; only a new id shows the offset that Redis
      // went back to.
      if (offset === undefined || count === undefined || compareEntryIds(id, seen?.id ?? ENTRY_ID_ZERO) <= 0) continue
      if (seen !== undefined && offset < seen.offset) lost += seen.offset - offset
      seen = { id, offset: offset + count }
    }
    if (seen !== undefined) this.#seen.set(partition, seen)
    return lost
  }
}
