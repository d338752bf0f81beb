import { Cluster } from 'ioredis'
import type { Entry } from '../../sample/entry.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { EntryFindings } from '../../verdict/kept-verdicts.ts'
import { assertCommitShape } from '../commit-shape.ts'
import { CONSUMER, GROUP, type Keys } from '../keys.ts'
import { ALERT_FEED_KEPT } from '../ports/alerts.ts'
import type { AnalyzerStore, KeptEntry, LoadedCheckpoint } from '../ports/analyzer.ts'
import type { Commit, CommitOutcome } from '../ports/commit.ts'
import { StoreError } from '../ports/errors.ts'
import type { Lease } from '../ports/lease.ts'
import { type Client, inOneWrite, type ScriptRunner } from './connection.ts'
import { toEntry } from './entry-reply.ts'
import { asked } from './errors.ts'
import { createBlockingReader, createPollingReader } from './reader.ts'
import { RespArguments } from './resp-arguments.ts'
import { readRuleCounts } from './rule-counts.ts'
import { callScript, readScript } from './script-call.ts'
import type { RedisStoreOptions } from './store.ts'

const commitScript = readScript('commit')

export interface AnalyzerStoreOptions {
  readonly client: Client & ScriptRunner
  readonly keys: Keys
  readonly options: RedisStoreOptions
  /** Notes the layout where it is gone; rejects with a LayoutMismatch when it is another one by now. */
  readonly noteLayout: () => Promise<unknown>
}

/** What backlog.lua returns. */
type BacklogReply = readonly [
  samples: number,
  oldest: EntryId,
  ageMs: number,
  found: number,
  accepted: number,
  analysed: number,
  dead: number,
]

export function createAnalyzerStore({
  client,
  keys,
  options,
  noteLayout,
}: AnalyzerStoreOptions): AnalyzerStore & AsyncDisposable {
  const reader =
    client instanceof Cluster ? createPollingReader(client, keys) : createBlockingReader(client, keys, options)
  /** Of the last one: the next will be about as long. */
  let commitBytes = 0

  return {
    heartbeat: (member, ttlMs) =>
      asked(async () => {
        // Somebody may have emptied Redis, and whoever starts next must still find how this deployment is laid out.
        const [members] = await Promise.all([client.heartbeat(keys.members, member, ttlMs), noteLayout()])
        return (members as string[]).toSorted()
      }),

    leave: member =>
      asked(async () => {
        await client.zrem(keys.members, member)
      }),

    acquireLease: (partition, token, ttlMs) =>
      asked(async () => (await client.acquire(keys.partition(partition).lease, token, ttlMs)) === 1),

    renewLeases: (leases, ttlMs) =>
      asked(async () => {
        const renewOne = ({ partition, token }: Lease) => client.renew(keys.partition(partition).lease, token, ttlMs)
        const replies = await inOneWrite(client, () => Promise.all(leases.map(renewOne)))
        return replies.map(reply => reply === 1)
      }),

    releaseLease: ({ partition, token }) =>
      asked(async () => (await client.release(keys.partition(partition).lease, token)) === 1),

    loadCheckpoint: partition =>
      asked(async () => {
        const { samples, checkpoint } = keys.partition(partition)
        const reply = (await client.loadCheckpoint(samples, checkpoint, GROUP, CONSUMER)) as [
          EntryId,
          string,
          string,
          string,
        ]
        const [id, offset, attempt, rules] = reply
        return { id, offset: Number(offset), ...toAttempt(attempt), rulesVersion: Number(rules) }
      }),

    noteAttempt: ({ partition, token }, { id, count }) =>
      asked(async () => {
        const { lease, checkpoint } = keys.partition(partition)
        return (await client.noteAttempt(lease, checkpoint, token, `${id} ${count}`)) === 1
      }),

    withdrawAttempt: (partition, { id, count }) =>
      asked(async () => {
        const replacement = count > 1 ? `${id} ${count - 1}` : ''
        await client.withdrawAttempt(keys.partition(partition).checkpoint, `${id} ${count}`, replacement)
      }),

    readPending: (partition, after, count) =>
      asked(async (): Promise<Entry[]> => {
        const { samples } = keys.partition(partition)
        const reply = await client.xreadgroup('GROUP', GROUP, CONSUMER, 'COUNT', count, 'STREAMS', samples, after)
        const [stream] = (reply ?? []) as [string, [EntryId, string[] | null][]][]
        return (stream?.[1] ?? []).map(toEntry)
      }),

    acknowledge: (partition, ids) =>
      asked(async () => {
        if (ids.length > 0) await client.xack(keys.partition(partition).samples, GROUP, ...ids)
      }),

    read: (partitions, { count, blockMs }) => asked(() => reader.read(partitions, { count, blockMs })),

    interruptRead: () => reader.interrupt(),

    loadWindows: async (partition, wanted) =>
      wanted.length === 0
        ? []
        : asked(async () => {
            const at = keys.partition(partition)
            const [rows, tails] = await inOneWrite(client, () =>
              Promise.all([client.hmgetBuffer(at.windows, ...wanted), client.hmgetBuffer(at.windowTails, ...wanted)]),
            )
            return rows.map((row, i) => (row === null ? null : { row, tail: tails[i] ?? null }))
          }),

    keptEntries: partition =>
      asked(async () => {
        const { samples, checkpoint } = keys.partition(partition)
        const flat = (await client.keptEntries(samples, checkpoint)) as string[]
        const kept: KeptEntry[] = []
        for (let i = 0; i + 1 < flat.length; i += 2) kept.push({ id: flat[i] ?? '', samples: Number(flat[i + 1]) || 0 })
        return kept
      }),

    expiredTimers: (partition, count) =>
      asked(async () => {
        const [now, ...due] = (await client.expiredTimers(keys.partition(partition).due, count)) as [
          number,
          ...string[],
        ]
        return { now, keys: due }
      }),

    ruleCounts: partition => readRuleCounts(client, keys, partition),

    dropRuleCounts: (partition, names) =>
      asked(async () => {
        if (names.length > 0) await client.hdel(keys.partition(partition).ruleCounts, ...names)
      }),

    commit: (lease, commit) =>
      asked(async () => {
        assertCommitShape(commit)
        const at = keys.partition(lease.partition)
        const touched = [at.samples, at.lease, at.checkpoint, at.windows, at.windowTails, at.lastAnalysis]
        touched.push(at.anomalies, at.dead, at.verdicts, at.alerts, at.alertsFiring, at.alertsResolved, at.alertFeed)
        touched.push(at.notices, at.due, at.ruleCounts, at.shadowed)
        const args = commitArguments(lease, commit, options, commitBytes)
        commitBytes = args.bytes
        return toCommitOutcome(await callScript(client, commitScript, touched, args))
      }),

    backlogs: partitions =>
      asked(async () => {
        const measure = (partition: number) => {
          const at = keys.partition(partition)
          return client.backlog(at.samples, at.accepted, at.checkpoint)
        }
        const replies = await inOneWrite(client, () => Promise.all(partitions.map(measure)))
        return (replies as BacklogReply[]).map(([samples, oldest, ageMs, found, accepted, analysed, dead]) => ({
          ...{ samples, found, accepted, analysed, dead },
          oldest: oldest === '' ? null : oldest,
          oldestAgeMs: Math.max(0, ageMs),
        }))
      }),

    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  }
}

function toAttempt(text: string): Pick<LoadedCheckpoint, 'attempt'> {
  const [id, count] = text.split(' ')
  return id === undefined || count === undefined ? {} : { attempt: { id, count: Number(count) } }
}

/** The ARGV of commit.lua. */
function commitArguments(lease: Lease, commit: Commit, options: RedisStoreOptions, bytes: number): RespArguments {
  const {
    from,
    to,
    entries,
    keys,
    anomalies,
    deadLetters,
    verdicts,
    witness,
    alerts,
    timers: due,
    counts,
    shadowed,
  } = commit
  const args = new RespArguments(bytes)
  for (const text of [lease.token, from.id, to.id]) args.text(text)
  for (const number of [to.offset, commit.analysed, commit.dead]) args.number(number)
  args.text(commit.keepFrom ?? idAfter(to.id))
  args.number(options.anomaliesMax)
  args.number(options.deadMax)
  for (const text of [GROUP, witness?.id ?? '', witness?.nonce ?? '']) args.text(text)
  args.number(commit.rulesVersion)
  args.text(commit.requiresDrained === true ? '1' : '')
  for (const number of [options.alertsMax, ALERT_FEED_KEPT, options.shadowedMax]) args.number(number)
  const rows = keys.filter(({ window }) => window.kind === 'row')
  const tails = keys.filter(({ window }) => window.kind === 'tail')
  const analyses = keys.filter(({ analysis }) => analysis !== null)
  const { opened, ended } = alerts
  const lists = [entries, rows, tails, analyses, anomalies, deadLetters, verdicts, opened, ended, due, counts, shadowed]
  for (const list of lists) args.number(list.length)
  for (const id of entries) args.text(id)
  for (const updates of [rows, tails]) {
    for (const { key, window } of updates) {
      args.text(key)
      args.data(window.bytes)
    }
  }
  for (const { key, analysis } of analyses) {
    args.text(key)
    args.text(analysis ?? '')
  }
  for (const anomaly of anomalies) args.text(anomaly)
  for (const { id, reason, samples } of deadLetters) for (const text of [id, reason, samples]) args.text(text)
  for (const verdict of verdicts) pushVerdict(args, verdict)
  for (const { opening, openedBefore, notifyAfterMs } of opened) {
    args.text(opening.id)
    args.text(JSON.stringify(opening))
    for (const number of [opening.opened_at, openedBefore, notifyAfterMs]) args.number(number)
    args.text(opening.key ?? '')
    args.text(opening.cause.kind)
  }
  for (const { id, key, cause, openedAt, end } of ended) {
    args.text(id)
    args.text(JSON.stringify(end))
    args.number(end.resolved_at)
    args.text(key)
    args.text(cause)
    args.number(openedAt)
  }
  for (const { key, at } of due) {
    args.text(key)
    args.text(at === null ? '' : String(at))
  }
  for (const { name, by } of counts) {
    args.text(name)
    args.number(by)
  }
  for (const { rule, analysis } of shadowed) {
    args.text(rule)
    args.text(analysis)
  }
  return args
}

function pushVerdict(args: RespArguments, verdict: EntryFindings): void {
  const { id, findings, threshold, windowMin, analyzedAt, rulesVersion, judged } = verdict
  args.text(id)
  args.data(findings)
  for (const number of [threshold, windowMin, analyzedAt, rulesVersion]) args.number(number)
  args.data(judged?.judgements ?? NOTHING)
  args.text(judged?.policies ?? '')
}

const NOTHING = new Uint8Array()

/** The smallest id after `id`: what XTRIM keeps then begins after it. */
function idAfter(id: EntryId): EntryId {
  const dash = id.indexOf('-')
  return `${id.slice(0, dash)}-${BigInt(id.slice(dash + 1)) + 1n}`
}

function toCommitOutcome(reply: unknown): CommitOutcome {
  const [status, detail] = reply as [string, string | number | undefined]
  switch (status) {
    case 'ok':
      return { kind: 'ok', at: Number(detail) }
    case 'already':
      return { kind: 'already' }
    case 'stale':
      return { kind: 'stale', checkpoint: String(detail) }
    case 'gap':
      return { kind: 'gap', id: String(detail) }
    case 'fenced':
      return { kind: 'fenced' }
    default:
      // Somebody put something else under one of our keys; nothing was written, and only a person can mend it.
      throw new StoreError(`the Redis key ${String(detail)} is not of the type that Tidemark needs`, { kind: 'fatal' })
  }
}
