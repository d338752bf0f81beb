import assert from 'node:assert/strict'
import type { Entry } from '../../sample/entry.ts'
import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import type { AnalyzerStore, LoadedCheckpoint, PartitionEntries } from '../ports/analyzer.ts'
import { StoreError } from '../ports/errors.ts'
import { type Data, type Group, type Partition, partitionAt } from './data.ts'
import { indexAfter } from './log.ts'
import { toEntry } from './stream.ts'

export function readerOn(data: Data): Pick<AnalyzerStore, 'read' | 'interruptRead'> {
  let isReading = false
  let end = (): void => {}
  return {
    async read(numbers, { count, blockMs }) {
      assert(!isReading, 'one read at a time')
      isReading = true
      let isOver = blockMs <= 0
      let wake = (): void => {}
      const onAppend = (): void => wake()
      end = () => {
        isOver = true
        wake()
      }
      const timer = setTimeout(end, blockMs)
      data.readers.add(onAppend)
      try {
        for (;;) {
          const found = deliver(data, numbers, count)
          if (found.length > 0 || isOver) return found
          await new Promise<void>(resolve => {
            wake = resolve
          })
        }
      } finally {
        clearTimeout(timer)
        data.readers.delete(onAppend)
        isReading = false
      }
    },
    interruptRead: () => end(),
  }
}

/**
 * Makes sure that every entry after the checkpoint is pending or not delivered yet. If an operator
 * acknowledged one by hand, the group goes back to the checkpoint and delivers all again.
 */
export function loadCheckpoint(partition: Partition): LoadedCheckpoint {
  const { stream, checkpoint } = partition
  partition.group ??= { lastDelivered: checkpoint.id, pending: new Set() }
  const { group } = partition
  const first = stream[indexAfter(stream, checkpoint.id)]?.id
  const isMissed = first !== undefined && compareEntryIds(first, group.lastDelivered) <= 0 && !group.pending.has(first)
  if (isMissed) {
    group.lastDelivered = checkpoint.id
    group.pending.clear()
  }
  return checkpoint
}

/** Delivers new entries as XREADGROUP with `>` does. */
function deliver(data: Data, numbers: readonly number[], count: number): PartitionEntries[] {
  const wanted = numbers.map(number => {
    const partition = partitionAt(data, number)
    return { number, stream: partition.stream, group: groupOf(partition) }
  })
  return wanted.flatMap(({ number, stream, group }) => {
    const start = indexAfter(stream, group.lastDelivered)
    const entries = stream.slice(start, start + count).map(toEntry)
    for (const { id } of entries) {
      group.pending.add(id)
      group.lastDelivered = id
    }
    return entries.length > 0 ? [{ partition: number, entries }] : []
  })
}

export function readPending(partition: Partition, after: EntryId, count: number): Entry[] {
  const { stream } = partition
  return pendingIds(groupOf(partition))
    .filter(id => compareEntryIds(id, after) > 0)
    .slice(0, count)
    .map(id => {
      const entry = stream[indexAfter(stream, id) - 1]
      if (entry?.id === id) return toEntry(entry)
      return { id, samples: undefined, count: undefined, offset: undefined, isDeleted: true }
    })
}

/** Returns how many were pending. Like XACK, it accepts unknown entries and a missing group. */
export function acknowledge({ group }: Partition, ids: readonly EntryId[]): number {
  return ids.filter(id => group?.pending.delete(id)).length
}

export function pendingIds(group: Group | undefined): EntryId[] {
  return [...(group?.pending ?? [])].sort(compareEntryIds)
}

export function groupOf({ group }: Partition): Group {
  if (group === undefined) throw new StoreError('the partition has no group', { kind: 'refused' })
  return group
}
