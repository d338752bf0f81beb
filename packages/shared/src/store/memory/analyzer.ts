import { entryTimeMs } from '../../sample/receipt.ts'
import type { AnalyzerStore, Backlog, ExpiredTimers } from '../ports/analyzer.ts'
import { OWNER_CHANGES_KEPT, ownerIn } from '../ports/lease.ts'
import { toEntry } from '../stream-entry.ts'
import { applyCommit } from './committing.ts'
import { type Data, heldLease, ownedBy, type Partition, partitionAt, storedOpenBuckets, storedWindow } from './data.ts'
import { indexAfter } from './log.ts'
import { acknowledge, loadCheckpoint, readerOn, readPending } from './reading.ts'

export function analyzerOn(data: Data): AnalyzerStore {
  return {
    ...readerOn(data),
    heartbeat: async (member, ttlMs) => heartbeat(data, member, ttlMs),
    leave: async member => {
      data.members.delete(member)
    },

    acquireLease: async (number, token, ttlMs) => {
      const partition = partitionAt(data, number)
      if (heldLease(data, partition) !== undefined) return false
      partition.lease = { token, expiresAt: data.now() + ttlMs }
      partition.ownerChanges.add({ kind: 'taken', owner: ownerIn(token) }, data.now(), OWNER_CHANGES_KEPT)
      return true
    },
    renewLeases: async (leases, ttlMs) =>
      leases.map(lease => {
        const partition = ownedBy(data, lease)
        if (partition !== undefined) partition.lease = { token: lease.token, expiresAt: data.now() + ttlMs }
        return partition !== undefined
      }),
    releaseLease: async lease => {
      const partition = ownedBy(data, lease)
      if (partition === undefined) return false
      partition.lease = undefined
      partition.ownerChanges.add({ kind: 'released', owner: ownerIn(lease.token) }, data.now(), OWNER_CHANGES_KEPT)
      return true
    },

    loadCheckpoint: async number => loadCheckpoint(partitionAt(data, number)),
    noteAttempt: async (lease, attempt) => {
      const partition = ownedBy(data, lease)
      if (partition !== undefined) partition.checkpoint = { ...partition.checkpoint, attempt }
      return partition !== undefined
    },
    withdrawAttempt: async (number, { id, count }) => {
      const partition = partitionAt(data, number)
      const { attempt, ...checkpoint } = partition.checkpoint
      if (attempt?.id !== id || attempt.count !== count) return
      partition.checkpoint = count > 1 ? { ...checkpoint, attempt: { id, count: count - 1 } } : checkpoint
    },
    readPending: async (number, after, count) => readPending(partitionAt(data, number), after, count),
    acknowledge: async (number, ids) => {
      acknowledge(partitionAt(data, number), ids)
    },
    loadWindows: async (number, keys) => keys.map(key => storedWindow(partitionAt(data, number), key)),
    openBuckets: async (number, keys) => keys.map(key => storedOpenBuckets(partitionAt(data, number), key)),
    keptEntries: async number => {
      const { stream, checkpoint } = partitionAt(data, number)
      const applied = stream.slice(0, indexAfter(stream, checkpoint.id))
      return applied.map(({ id, fields }) => ({ id, samples: toEntry(id, fields).count ?? 0 }))
    },
    expiredTimers: async (number, count) => expiredTimers(partitionAt(data, number), count, data.now()),
    ruleCounts: async number => new Map(partitionAt(data, number).ruleCounts),
    dropRuleCounts: async (number, names) => {
      const { ruleCounts } = partitionAt(data, number)
      for (const name of names) ruleCounts.delete(name)
    },
    commit: async (lease, commit) => applyCommit(data, lease, commit),
    keptCounts: async numbers =>
      numbers.map(number => {
        const { deadLetters, timers, registry } = partitionAt(data, number)
        return { deadLetters: deadLetters.length, timers: timers.size, keys: registry.size }
      }),
    backlogs: async numbers => numbers.map(number => backlogOf(partitionAt(data, number), data.now())),
    async atRest(number) {
      const { accepted, deletions } = partitionAt(data, number)
      return { now: data.now(), accepted, hasDeletions: deletions.size > 0 }
    },
  }
}

function backlogOf({ stream, accepted, analysed, dead, checkpoint }: Partition, now: number): Backlog {
  const samples = accepted - checkpoint.offset
  const first = stream[indexAfter(stream, checkpoint.id)]
  const last = stream.at(-1)
  if (first === undefined || last === undefined) {
    return { samples, found: 0, oldest: null, oldestAgeMs: 0, accepted, analysed, dead }
  }
  // An entry that was added by hand has no offset.
  const { offset: begin = checkpoint.offset } = toEntry(first.id, first.fields)
  const { offset = accepted, count = 0 } = toEntry(last.id, last.fields)
  const oldestAgeMs = Math.max(0, now - entryTimeMs(first.id))
  return { samples, found: offset + count - begin, oldest: first.id, oldestAgeMs, accepted, analysed, dead }
}

function heartbeat({ members, now }: Data, member: string, ttlMs: number): string[] {
  const at = now()
  members.set(member, at)
  for (const [name, heardAt] of members) if (at - heardAt > ttlMs) members.delete(name)
  return [...members.keys()].sort()
}

/** Returns keys in the order of Redis' sorted sets: by time, then by bytes. */
function expiredTimers({ timers }: Partition, count: number, now: number): ExpiredTimers {
  const firstAt = timers.size === 0 ? null : Math.min(...timers.values())
  const expired = [...timers].filter(([, at]) => at <= now)
  expired.sort(([a, aAt], [b, bAt]) => aAt - bAt || Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return { now, keys: expired.slice(0, count).map(([key]) => key), firstAt }
}
