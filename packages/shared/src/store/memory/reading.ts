import assert from 'node:assert/strict'
import type { Entry } from '../../sample/entry.ts'
import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import type { AnalyzerStore, LoadedCheckpoint, PartitionEntries } from '../ports/analyzer.ts'
import { StoreError } from '../ports/errors.ts'
import { toEntry } from '../stream-entry.ts'
import { type Data, type Group, type Partition, partitionAt } from './data.ts'
import { indexAfter } from './log.ts'

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

export function addEntry(data: Data, { log }: Partition, fields: Readonly<Record<string, string>>): EntryId {
  const id = log.add({ fields: Object.entries(fields).flat() }, data.now())
  for (const wake of data.readers) wake()
  return id
}

/** Delivers new entries as XREADGROUP with `>` does. */
function deliver(data: Data, numbers: readonly number[], count: number): PartitionEntries[] {
  const wanted = numbers.map(number => {
    const partition = partitionAt(data, number)
    return { number, log: partition.log, group: groupOf(partition) }
  })
  return wanted.flatMap(({ number, log, group }) => {
    const entries = log.after(group.lastDelivered, count).map(({ id, fields }) => toEntry(id, fields))
    for (const { id } of entries) {
      group.pending.add(id)
      group.lastDelivered = id
    }
    return entries.length > 0 ? [{ partition: number, entries }] : []
  })
}

export function readPending(partition: Partition, after: EntryId, count: number): Entry[] {
  const ids = pendingIds(groupOf(partition)).filter(id => compareEntryIds(id, after) > 0)
  return ids.slice(0, count).map(id => toEntry(id, partition.log.find(id)?.fields ?? null))
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
