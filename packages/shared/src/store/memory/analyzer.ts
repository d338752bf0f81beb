import { entryTimeMs } from '../../sample/receipt.ts'
import type { AnalyzerStore, Backlog } from '../ports/analyzer.ts'
import { applyCommit } from './committing.ts'
import { type Data, heldLease, type Partition, partitionAt } from './data.ts'
import { indexAfter, type StreamEntry } from './log.ts'
import { acknowledge, loadCheckpoint, readerOn, readPending } from './reading.ts'
import { toEntry } from './stream.ts'
import { storedWindow } from './windows.ts'

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
      return true
    },
    renewLeases: async (leases, ttlMs) =>
      leases.map(({ partition: number, token }) => {
        const partition = partitionAt(data, number)
        if (heldLease(data, partition) !== token) return false
        partition.lease = { token, expiresAt: data.now() + ttlMs }
        return true
      }),
    releaseLease: async ({ partition: number, token }) => {
      const partition = partitionAt(data, number)
      if (heldLease(data, partition) !== token) return false
      partition.lease = undefined
      return true
    },

    loadCheckpoint: async number => loadCheckpoint(partitionAt(data, number)),
    noteAttempt: async ({ partition: number, token }, attempt) => {
      const partition = partitionAt(data, number)
      if (heldLease(data, partition) !== token) return false
      partition.checkpoint = { ...partition.checkpoint, attempt }
      return true
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
    loadWindows: async (number, keys) => {
      const { rows } = partitionAt(data, number)
      return keys.map(key => storedWindow(rows.get(key)))
    },
    keptEntries: async number => {
      const { stream, checkpoint } = partitionAt(data, number)
      return stream.slice(0, indexAfter(stream, checkpoint.id)).map(entry => {
        const { id, count = 0 } = toEntry(entry)
        return { id, samples: count }
      })
    },
    expiredTimers: async (number, count) => expiredTimers(partitionAt(data, number), { count, now: data.now() }),
    ruleCounts: async number => new Map(partitionAt(data, number).ruleCounts),
    dropRuleCounts: async (number, names) => {
      const { ruleCounts } = partitionAt(data, number)
      for (const name of names) ruleCounts.delete(name)
    },
    commit: async (lease, commit) => applyCommit(data, lease, commit),
    backlogs: async numbers => numbers.map(number => backlogOf(partitionAt(data, number), data.now())),
  }
}

function backlogOf({ stream, accepted, analysed, dead, checkpoint }: Partition, now: number): Backlog {
  const first = stream[indexAfter(stream, checkpoint.id)]
  const oldest = first?.id ?? null
  return {
    samples: accepted - checkpoint.offset,
    found:
      first === undefined
        ? 0
        : (extentOf(stream.at(-1))?.end ?? accepted) - (extentOf(first)?.begin ?? checkpoint.offset),
    oldest,
    oldestAgeMs: oldest === null ? 0 : Math.max(0, now - entryTimeMs(oldest)),
    accepted,
    analysed,
    dead,
  }
}

/** Returns the offsets of an entry's samples; undefined for an entry that was added by hand. */
function extentOf(entry: StreamEntry | undefined): { begin: number; end: number } | undefined {
  if (entry === undefined) return undefined
  const { offset, count } = toEntry(entry)
  return offset === undefined || count === undefined ? undefined : { begin: offset, end: offset + count }
}

function heartbeat({ members, now }: Data, member: string, ttlMs: number): string[] {
  const at = now()
  members.set(member, at)
  for (const [name, heardAt] of members) if (at - heardAt > ttlMs) members.delete(name)
  return [...members.keys()].sort()
}

/** Returns keys in the order of Redis' sorted sets: by time, then by bytes. */
function expiredTimers(
  { timers }: Partition,
  { count, now }: { count: number; now: number },
): { readonly now: number; readonly keys: string[] } {
  const keys = [...timers]
    .filter(([, at]) => at <= now)
    .sort(([a, aAt], [b, bAt]) => aAt - bAt || Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .slice(0, count)
    .map(([key]) => key)
  return { now, keys }
}
