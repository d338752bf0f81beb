import type { EntryId } from '../../sample/receipt.ts'
import type { DeadLetter } from '../ports/commit.ts'
import { type Data, partitionAt } from './data.ts'
import { groupOf, pendingIds } from './reading.ts'
import { addEntry } from './stream.ts'

/** Access past the ports for tests, as redis-cli gives it to the Redis store. */
export interface MemoryInspection {
  /** Adds an entry as an XADD by hand does: nothing is counted as accepted. */
  appendRaw(partition: number, fields: Readonly<Record<string, string>>): EntryId
  deleteEntry(partition: number, id: EntryId): void
  /** Puts another entry under the same id, as a failover can leave it. */
  replaceEntry(partition: number, id: EntryId, fields: Readonly<Record<string, string>>): void
  destroyGroup(partition: number): void
  streamIds(partition: number): EntryId[]
  pendingIds(partition: number): EntryId[]
  verdictIds(partition: number): EntryId[]
  anomalies(partition: number): string[]
  deadLetters(partition: number): DeadLetter[]
}

export function inspectionOf(data: Data): MemoryInspection {
  return {
    appendRaw: (number, fields) => addEntry(data, partitionAt(data, number), fields),
    deleteEntry: (number, id) => {
      const { stream } = partitionAt(data, number)
      const index = stream.findIndex(entry => entry.id === id)
      if (index >= 0) stream.splice(index, 1)
    },
    replaceEntry: (number, id, fields) => {
      const { stream } = partitionAt(data, number)
      const index = stream.findIndex(entry => entry.id === id)
      if (index >= 0) stream[index] = { id, fields: new Map(Object.entries(fields)) }
    },
    destroyGroup: number => {
      partitionAt(data, number).group = undefined
    },
    streamIds: number => partitionAt(data, number).stream.map(({ id }) => id),
    pendingIds: number => pendingIds(groupOf(partitionAt(data, number))),
    verdictIds: number => [...partitionAt(data, number).verdicts.keys()],
    anomalies: number => [...partitionAt(data, number).anomalies],
    deadLetters: number => [...partitionAt(data, number).deadLetters],
  }
}
