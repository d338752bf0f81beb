import type { EntryId } from '../../sample/receipt.ts'
import { type Data, partitionAt } from './data.ts'
import { addEntry, groupOf, pendingIds } from './reading.ts'

/** Returns access past the ports for tests, as redis-cli gives it to the Redis store. */
export function inspectionOf(data: Data) {
  const indexOf = (number: number, id: EntryId) => partitionAt(data, number).stream.findIndex(entry => entry.id === id)
  return {
    /** Adds an entry as an XADD by hand does: nothing is counted as accepted. */
    appendRaw: (number: number, fields: Readonly<Record<string, string>>) =>
      addEntry(data, partitionAt(data, number), fields),
    deleteEntry(number: number, id: EntryId) {
      const index = indexOf(number, id)
      if (index >= 0) partitionAt(data, number).stream.splice(index, 1)
    },
    /** Puts another entry under the same id, as a failover can leave it. */
    replaceEntry(number: number, id: EntryId, fields: Readonly<Record<string, string>>) {
      const index = indexOf(number, id)
      if (index >= 0) partitionAt(data, number).stream[index] = { id, fields: Object.entries(fields).flat() }
    },
    destroyGroup(number: number) {
      partitionAt(data, number).group = undefined
    },
    streamIds: (number: number) => partitionAt(data, number).stream.map(({ id }) => id),
    pendingIds: (number: number) => pendingIds(groupOf(partitionAt(data, number))),
    verdictIds: (number: number) => [...partitionAt(data, number).verdicts.keys()],
    anomalies: (number: number) => partitionAt(data, number).anomalies.entries.map(({ analysis }) => analysis),
    deadLetters: (number: number) => [...partitionAt(data, number).deadLetters],
  }
}
