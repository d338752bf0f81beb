import type { PointEntry, PointStore } from '../ports/points.ts'
import { idAfter } from './commit-arguments.ts'
import { withStoreErrors } from './errors.ts'
import { toFields } from './replies.ts'
import type { StoreContext } from './scripts.ts'

type Reply = [now: number, ...entries: [id: string, fields: string[]][]]

export function createPointStore({ client, keys }: StoreContext): PointStore {
  return withStoreErrors<PointStore>({
    async read(partition, { intervalMs, after, count }) {
      const reply = await client.readPoints(keys.partition(partition).points, intervalMs, after, count)
      const [now, ...entries] = reply as Reply
      return { now, entries: entries.map(toPointEntry) }
    },
    async remove(partition, upTo) {
      await client.xtrim(keys.partition(partition).points, 'MINID', idAfter(upTo))
    },
  })
}

function toPointEntry([id, flat]: [string, string[]]): PointEntry {
  const fields = toFields(flat)
  return { id, count: Number(fields.get('n')) || 0, analyses: fields.get('a') ?? '[]' }
}
