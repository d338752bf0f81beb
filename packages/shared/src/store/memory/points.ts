import { entryTimeMs } from '../../sample/receipt.ts'
import type { PointStore } from '../ports/points.ts'
import { type Data, partitionAt } from './data.ts'
import { indexAfter } from './log.ts'

export function pointsOn(data: Data): PointStore {
  return {
    async read(partition, { intervalMs, after, count }) {
      const now = data.now()
      const openFrom = now - (now % intervalMs)
      const found = partitionAt(data, partition).points.after(after, count)
      return { now, entries: found.filter(({ id }) => entryTimeMs(id) < openFrom) }
    },
    async remove(partition, upTo) {
      const { entries } = partitionAt(data, partition).points
      entries.splice(0, indexAfter(entries, upTo))
    },
  }
}
