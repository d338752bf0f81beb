import type { Entry } from '@tidemark/shared/sample/entry'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId } from '@tidemark/shared/sample/receipt'

interface Seen {
  /** The newest entry that was seen. */
  id: EntryId
  /** Samples that the partition had accepted with it. */
  offset: number
}

/**
 * Notices that Redis has gone back in time: a crash that lost the end of its file, a fail-over to a replica that lagged. The
 * next new entry then begins at a lower offset than the last one ended at, and the difference is the samples that were
 * accepted and seen here, and that Redis knows no more.
 *
 * One watch serves all partitions of a process for as long as it lives, whoever owned them in between: when Redis is away for
 * longer than the leases live, the next owner may be another one, and the watch that knows most may be anywhere. So several
 * watches may notice the same loss. Each by itself never counts more than was lost, and exactly as much when it had read
 * everything before and is the first to read what came after; that is why figures of several analyzers are compared by their
 * maximum and not added.
 */
export class RollbackWatch {
  readonly #seen = new Map<number, Seen>()

  /** Takes note of entries as they are read, in order; returns how many samples turn out to be gone. */
  observe(partition: number, entries: readonly Entry[]): number {
    let seen = this.#seen.get(partition)
    let gone = 0
    for (const { id, offset, count } of entries) {
      // Entries of before the loss come again too; only ids that were never given out show where Redis stood.
      if (offset === undefined || count === undefined || compareEntryIds(id, seen?.id ?? ENTRY_ID_ZERO) <= 0) continue
      if (seen !== undefined && offset < seen.offset) gone += seen.offset - offset
      seen = { id, offset: offset + count }
    }
    if (seen !== undefined) this.#seen.set(partition, seen)
    return gone
  }
}
