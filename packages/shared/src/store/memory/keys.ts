import { ENTRY_ID_ZERO } from '../../sample/receipt.ts'
import { BIRTHS_KEPT_MS, DELETION_KEPT_MS, DELETIONS_MAX, type KeyScan, type KeyStore } from '../ports/keys.ts'
import { type Data, ownedBy, type Partition, partitionAt } from './data.ts'

const HOUR_MS = 3_600_000

export function keysOn(data: Data): KeyStore {
  const { now } = data
  return {
    lookUp: async keys =>
      keys.map(({ partition: number, key }) => {
        const { registry, rows } = partitionAt(data, number)
        if (registry.has(key)) return 'registered'
        return rows.has(key) ? 'stored' : 'new'
      }),
    async register(keys) {
      for (const { partition: number, key, owner } of keys) {
        const { registry, registered, births } = partitionAt(data, number)
        if (registry.has(key)) continue
        registry.set(key, { seenAt: now(), owner })
        registered.add(key)
        const hour = now() - (now() % HOUR_MS)
        births.set(hour, (births.get(hour) ?? 0) + 1)
        for (const at of births.keys()) if (at <= now() - BIRTHS_KEPT_MS) births.delete(at)
      }
      return 'registered'
    },
    async counts(owners) {
      const counted = data.partitions.map(ownersOf)
      return {
        partitions: data.partitions.map(({ registry, evicted }) => ({ keys: registry.size, evicted })),
        owners: owners.map(owner => counted.reduce((sum, counts) => sum + (counts.get(owner) ?? 0), 0)),
      }
    },
    owners: async number => ownersOf(partitionAt(data, number)),
    births: async number => new Map(partitionAt(data, number).births),
    scan: async (number, scan) => scanKeys(partitionAt(data, number), scan),

    async requestDeletion(number, id, wanted) {
      const { deletions, log } = partitionAt(data, number)
      const pending = [...deletions.values()].filter(({ doneAt }) => doneAt === undefined)
      if (pending.length >= DELETIONS_MAX) return 'limit-reached'
      const after = log.entries.at(-1)?.id ?? ENTRY_ID_ZERO
      deletions.set(id, { id, wanted, after, deleted: 0, doneAt: undefined })
      return 'requested'
    },
    deletions: async number =>
      [...partitionAt(data, number).deletions.values()]
        .filter(({ doneAt }) => doneAt === undefined)
        .map(({ id, wanted, after }) => ({ id, wanted, after })),
    async finishDeletion(lease, id) {
      const deletions = ownedBy(data, lease)?.deletions
      if (deletions === undefined) return false
      const found = deletions.get(id)
      if (found !== undefined) found.doneAt = now()
      for (const one of deletions.values()) {
        if (one.doneAt !== undefined && one.doneAt <= now() - DELETION_KEPT_MS) deletions.delete(one.id)
      }
      return true
    },
    async deletionProgress(number, id) {
      const { deleted = 0, doneAt } = partitionAt(data, number).deletions.get(id) ?? {}
      return { deleted, isDone: doneAt !== undefined }
    },
  }
}

function ownersOf({ registry }: Partition): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { owner } of registry.values()) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  return counts
}

function scanKeys(partition: Partition, { list, cursor, count, prefix = '', idleSince }: KeyScan) {
  const { registered, keys: analysed } = partition
  const scanned = list === 'registry' ? registered : analysed
  const { keys, next } = scanned.page(cursor, count)
  const wanted = keys.filter(
    key => key.startsWith(prefix) && (idleSince === undefined || seenAt(partition, key) < idleSince),
  )
  return { keys: wanted, scanned: keys.length, size: scanned.size, next }
}

/** Returns when a key sent its last sample, as far as it is known. */
function seenAt({ registry, analyses }: Partition, key: string): number {
  const analysis = analyses.get(key)
  const analyzedAt = analysis === undefined ? 0 : Number(JSON.parse(analysis).analyzed_at)
  return Math.max(registry.get(key)?.seenAt ?? 0, analyzedAt || 0)
}
