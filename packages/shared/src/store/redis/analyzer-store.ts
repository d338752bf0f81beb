import { setImmediate } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import type { StoredWindow } from '../../detection/window-row.ts'
import type { EntryId } from '../../sample/receipt.ts'
import { CONSUMER, GROUP } from '../keys.ts'
import type { AnalyzerStore, AtRest, Backlog, LoadedCheckpoint } from '../ports/analyzer.ts'
import { StoreError } from '../ports/errors.ts'
import { type Lease, OWNER_CHANGES_KEPT, ownerIn } from '../ports/lease.ts'
import { toEntry } from '../stream-entry.ts'
import { NodeTransactions } from './checked-transaction.ts'
import { createCommit } from './commit.ts'
import { eachInOneWrite, inOneCommand, inOneWrite } from './connection.ts'
import { withStoreErrors } from './errors.ts'
import { createBlockingReader, createPollingReader, type StreamsReply } from './reader.ts'
import { toCounts, toPairs } from './replies.ts'
import type { StoreContext } from './scripts.ts'

export interface AnalyzerContext extends StoreContext {
  readonly partitions: number
  /** Stores the layout if it is missing; rejects with a LayoutMismatch at another one. */
  readonly noteLayout: () => Promise<unknown>
}

export function createAnalyzerStore(context: AnalyzerContext): AnalyzerStore & AsyncDisposable {
  const { client, keys, options, partitions } = context
  const reader =
    client instanceof Cluster ? createPollingReader(client, keys) : createBlockingReader(client, keys, options)
  const partitionKeys = Array.from({ length: partitions }, (_, partition) => keys.partition(partition).lease)
  const transactions = options.transactionKeys === 0 ? undefined : new NodeTransactions(client, partitionKeys, options)
  return {
    ...withStoreErrors<Omit<AnalyzerStore, 'interruptRead'>>({
      ...ownership(context),
      ...entryAccess(context),
      ...keyAccess(context),
      read: reader.read,
      commit: createCommit(context, transactions),
      atRest: createRestReads(context),
    }),
    interruptRead: reader.interruptRead,
    async [Symbol.asyncDispose]() {
      transactions?.[Symbol.dispose]()
      await reader[Symbol.asyncDispose]()
    },
  }
}

/**
 * How often a member compares the layout with its own. One that is new does so at once: Redis may
 * have been emptied, or hold another deployment since.
 */
const LAYOUT_MS = 5000

/** Members, leases, and what the next owner must know of the work of the previous one. */
function ownership({ client, keys, noteLayout }: AnalyzerContext) {
  const leaseOf = ({ partition }: Lease): string => keys.partition(partition).lease
  let layoutAt = Number.NEGATIVE_INFINITY
  return {
    async heartbeat(member, ttlMs) {
      const reply = (await client.heartbeat(keys.members, member, ttlMs)) as [isNew: number, ...members: string[]]
      const [isNew, ...members] = reply
      if (isNew === 1 || performance.now() - layoutAt >= LAYOUT_MS) {
        // The next process to start must find this deployment's layout.
        await noteLayout()
        layoutAt = performance.now()
      }
      return members.toSorted()
    },
    async leave(member) {
      await client.zrem(keys.members, member)
    },
    async acquireLease(partition, token, ttlMs) {
      const { lease, ownerChanges } = keys.partition(partition)
      return (await client.acquire(lease, ownerChanges, token, ttlMs, ownerIn(token), OWNER_CHANGES_KEPT)) === 1
    },
    async renewLeases(leases, ttlMs) {
      const renew = (together: readonly Lease[]): Promise<unknown> =>
        client.renew(together.length, ...together.map(leaseOf), ttlMs, ...together.map(({ token }) => token))
      const renewed = await eachInOneWrite(client, inOneCommand(client, leases), renew)
      return (renewed as number[][]).flat().map(one => one === 1)
    },
    async releaseLease({ partition, token }) {
      const { lease, ownerChanges } = keys.partition(partition)
      return (await client.release(lease, ownerChanges, token, ownerIn(token), OWNER_CHANGES_KEPT)) === 1
    },
    async noteAttempt({ partition, token }, { id, count }) {
      const { lease, checkpoint } = keys.partition(partition)
      return (await client.noteAttempt(lease, checkpoint, token, `${id} ${count}`)) === 1
    },
    async withdrawAttempt(partition, { id, count }) {
      const replacement = count > 1 ? `${id} ${count - 1}` : ''
      await client.withdrawAttempt(keys.partition(partition).checkpoint, `${id} ${count}`, replacement)
    },
  } satisfies Partial<AnalyzerStore>
}

function entryAccess({ client, keys }: StoreContext) {
  return {
    async loadCheckpoint(partition) {
      const { samples, checkpoint } = keys.partition(partition)
      return toCheckpoint(await client.loadCheckpoint(samples, checkpoint, GROUP, CONSUMER), checkpoint)
    },
    async readPending(partition, after, count) {
      const { samples } = keys.partition(partition)
      const reply = await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', samples, after)
      const [[, entries] = ['', []]] = (reply as StreamsReply) ?? []
      return entries.map(([id, flat]) => toEntry(id, flat))
    },
    async acknowledge(partition, ids) {
      if (ids.length > 0) await client.xack(keys.partition(partition).samples, GROUP, ...ids)
    },
    async keptEntries(partition) {
      const { samples, checkpoint } = keys.partition(partition)
      const flat = (await client.keptEntries(samples, checkpoint)) as string[]
      return toPairs(flat).map(([id, count]) => ({ id, samples: Number(count) || 0 }))
    },
    keptCounts: partitions =>
      eachInOneWrite(client, partitions, async partition => {
        const at = keys.partition(partition)
        const [deadLetters, timers, registered] = await Promise.all([
          client.xlen(at.deadLetters),
          client.zcard(at.timers),
          client.hlen(at.keys),
        ])
        return { deadLetters, timers, keys: registered }
      }),
    backlogs: partitions =>
      eachInOneWrite(client, partitions, async partition => {
        const { samples, accepted, checkpoint } = keys.partition(partition)
        return toBacklog(await client.backlog(samples, accepted, checkpoint))
      }),
  } satisfies Partial<AnalyzerStore>
}

/** Returns a function whose calls of one turn of the event loop are one read of all partitions. */
function createRestReads({ client, keys }: StoreContext): AnalyzerStore['atRest'] {
  let pending: { readonly partitions: number[]; readonly found: Promise<readonly AtRest[]> } | undefined

  async function read(partitions: readonly number[]): Promise<AtRest[]> {
    const at = partitions.map(keys.partition)
    const touched = [...at.map(one => one.accepted), ...at.map(one => one.keyDeletions)]
    const [now, deletions, ...accepted] = (await client.atRest(touched.length, ...touched)) as [
      number,
      number,
      ...string[],
    ]
    return accepted.map(count => ({ now, accepted: Number(count), hasDeletions: deletions > 0 }))
  }

  async function readAll(partitions: readonly number[]): Promise<readonly AtRest[]> {
    await setImmediate()
    pending = undefined
    return (await eachInOneWrite(client, inOneCommand(client, partitions), read)).flat()
  }

  return async partition => {
    if (pending === undefined) {
      const partitions: number[] = []
      pending = { partitions, found: readAll(partitions) }
    }
    const { partitions, found } = pending
    const place = partitions.push(partition) - 1
    const one = (await found)[place]
    if (one === undefined) throw new TypeError(`nothing was read of partition ${partition}`)
    return one
  }
}

function keyAccess({ client, keys }: StoreContext) {
  return {
    async loadWindows(partition, wanted) {
      if (wanted.length === 0) return []
      const { windows, windowTails, guardMemories } = keys.partition(partition)
      const [rows, tails, memories] = await inOneWrite(client, () =>
        Promise.all([
          client.hmgetBuffer(windows, ...wanted),
          client.hmgetBuffer(windowTails, ...wanted),
          client.hmgetBuffer(guardMemories, ...wanted),
        ]),
      )
      return rows.map((row, i) => row && windowOf(row, tails[i] ?? null, memories[i] ?? null))
    },
    async openBuckets(partition, wanted) {
      if (wanted.length === 0) return []
      return client.hmgetBuffer(keys.partition(partition).aggregates, ...wanted)
    },
    async expiredTimers(partition, count) {
      const reply = await client.expiredTimers(keys.partition(partition).timers, count)
      const [now, first, ...expired] = reply as [number, ...string[]]
      return { now, keys: expired, firstAt: first === '' ? null : Number(first) }
    },
    ruleCounts: async partition => toCounts(await client.hgetall(keys.partition(partition).ruleCounts)),
    async dropRuleCounts(partition, names) {
      if (names.length > 0) await client.hdel(keys.partition(partition).ruleCounts, ...names)
    },
  } satisfies Partial<AnalyzerStore>
}

function windowOf(row: Uint8Array, tail: Uint8Array | null, memory: Uint8Array | null): StoredWindow {
  return memory === null ? { row, tail } : { row, tail, memory }
}

const ENTRY_ID = /^\d+-\d+$/
const COUNT = /^\d{1,16}$/

/** Reads the reply of load-checkpoint.lua. */
function toCheckpoint(reply: unknown, key: string): LoadedCheckpoint {
  const [id, offset, attempt, rulesVersion, timeCommits] = reply as [EntryId, string, string, string, string]
  // Going on from a wrong place would count samples as lost, or hide that they are.
  for (const [field, value, form] of [
    ['id', id, ENTRY_ID],
    ['offset', offset, COUNT],
  ] as const) {
    if (form.test(value)) continue
    throw new StoreError(
      `the field "${field}" of the Redis key ${key} is "${value}", which Tidemark did not write. Restore the key from ` +
        'a backup. (id: the last analysed entry; offset: the samples accepted up to it.)',
      { kind: 'fatal' },
    )
  }
  const [attemptId, count] = attempt.split(' ')
  const checkpoint = {
    id,
    offset: Number(offset),
    rulesVersion: Number(rulesVersion) || 0,
    timeCommits: Number(timeCommits) || 0,
  }
  if (attemptId === undefined || count === undefined) return checkpoint
  return { ...checkpoint, attempt: { id: attemptId, count: Number(count) } }
}

/** Reads the reply of backlog.lua. */
function toBacklog(reply: unknown): Backlog {
  type Reply = [number, EntryId, number, number, number, number, number]
  const [samples, oldest, ageMs, found, accepted, analysed, dead] = reply as Reply
  return { samples, found, accepted, analysed, dead, oldest: oldest || null, oldestAgeMs: Math.max(0, ageMs) }
}
