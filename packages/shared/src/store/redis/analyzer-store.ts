import { Cluster } from 'ioredis'
import type { EntryId } from '../../sample/receipt.ts'
import { CONSUMER, GROUP, type Keys } from '../keys.ts'
import type { AnalyzerStore, Backlog, KeptEntry, LoadedCheckpoint } from '../ports/analyzer.ts'
import { createCommitting } from './committing.ts'
import { inOneWrite } from './connection.ts'
import { type EntryReply, toEntry } from './entry-reply.ts'
import { mapErrors } from './errors.ts'
import type { RedisStoreOptions } from './options.ts'
import { createOwnership, type OwnershipOptions } from './ownership.ts'
import { createBlockingReader, createPollingReader } from './reader.ts'
import { toPairs } from './replies.ts'
import { readRuleCounts } from './rule-counts.ts'
import type { ScriptClient } from './scripts.ts'

export interface AnalyzerStoreOptions extends OwnershipOptions {
  readonly options: RedisStoreOptions
}

export function createAnalyzerStore({
  client,
  keys,
  options,
  noteLayout,
}: AnalyzerStoreOptions): AnalyzerStore & AsyncDisposable {
  const reader =
    client instanceof Cluster ? createPollingReader(client, keys) : createBlockingReader(client, keys, options)
  return {
    ...createOwnership({ client, keys, noteLayout }),
    ...createCommitting({ client, keys, options }),
    ...entryReads(client, keys),
    ...keyReads(client, keys),
    read: (partitions, { count, blockMs }) => mapErrors(() => reader.read(partitions, { count, blockMs })),
    interruptRead: () => reader.interrupt(),
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  }
}

function entryReads(
  client: ScriptClient,
  keys: Keys,
): Pick<AnalyzerStore, 'loadCheckpoint' | 'readPending' | 'acknowledge' | 'keptEntries' | 'backlogs'> {
  return {
    loadCheckpoint: partition =>
      mapErrors(async () => {
        const { samples, checkpoint } = keys.partition(partition)
        return toCheckpoint((await client.loadCheckpoint(samples, checkpoint, GROUP, CONSUMER)) as CheckpointReply)
      }),
    readPending: (partition, after, count) =>
      mapErrors(async () => {
        const { samples } = keys.partition(partition)
        const reply = await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', samples, after)
        const [stream] = (reply ?? []) as [string, EntryReply[]][]
        return (stream?.[1] ?? []).map(toEntry)
      }),
    acknowledge: (partition, ids) =>
      mapErrors(async () => {
        if (ids.length > 0) await client.xack(keys.partition(partition).samples, GROUP, ...ids)
      }),
    keptEntries: partition =>
      mapErrors(async () => {
        const { samples, checkpoint } = keys.partition(partition)
        const flat = (await client.keptEntries(samples, checkpoint)) as string[]
        return toPairs(flat).map(([id, count]): KeptEntry => ({ id, samples: Number(count) || 0 }))
      }),
    backlogs: partitions =>
      mapErrors(async () => {
        const measure = (partition: number) => {
          const { samples, accepted, checkpoint } = keys.partition(partition)
          return client.backlog(samples, accepted, checkpoint)
        }
        const replies = await inOneWrite(client, () => Promise.all(partitions.map(measure)))
        return (replies as BacklogReply[]).map(toBacklog)
      }),
  }
}

function keyReads(
  client: ScriptClient,
  keys: Keys,
): Pick<AnalyzerStore, 'loadWindows' | 'expiredTimers' | 'ruleCounts' | 'dropRuleCounts'> {
  return {
    loadWindows: async (partition, wanted) =>
      wanted.length === 0
        ? []
        : mapErrors(async () => {
            const { windows, windowTails } = keys.partition(partition)
            const [rows, tails] = await inOneWrite(client, () =>
              Promise.all([client.hmgetBuffer(windows, ...wanted), client.hmgetBuffer(windowTails, ...wanted)]),
            )
            return rows.map((row, i) => (row === null ? null : { row, tail: tails[i] ?? null }))
          }),
    expiredTimers: (partition, count) =>
      mapErrors(async () => {
        const reply = await client.expiredTimers(keys.partition(partition).timers, count)
        const [now, ...expired] = reply as [number, ...string[]]
        return { now, keys: expired }
      }),
    ruleCounts: partition => readRuleCounts(client, keys, partition),
    dropRuleCounts: (partition, names) =>
      mapErrors(async () => {
        if (names.length > 0) await client.hdel(keys.partition(partition).ruleCounts, ...names)
      }),
  }
}

/** The reply of load-checkpoint.lua. */
type CheckpointReply = readonly [id: EntryId, offset: string, attempt: string, rulesVersion: string]

function toCheckpoint([id, offset, attempt, rulesVersion]: CheckpointReply): LoadedCheckpoint {
  const [attemptId, count] = attempt.split(' ')
  const checkpoint = { id, offset: Number(offset), rulesVersion: Number(rulesVersion) }
  if (attemptId === undefined || count === undefined) return checkpoint
  return { ...checkpoint, attempt: { id: attemptId, count: Number(count) } }
}

/** The reply of backlog.lua. */
type BacklogReply = readonly [
  samples: number,
  oldest: EntryId,
  ageMs: number,
  found: number,
  accepted: number,
  analysed: number,
  dead: number,
]

function toBacklog([samples, oldest, ageMs, found, accepted, analysed, dead]: BacklogReply): Backlog {
  return {
    samples,
    found,
    accepted,
    analysed,
    dead,
    oldest: oldest === '' ? null : oldest,
    oldestAgeMs: Math.max(0, ageMs),
  }
}
