import { SAMPLE_STRIDE } from '@tidemark/shared/sample/entry'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId } from '@tidemark/shared/sample/receipt'
import { FINDING_STRIDE } from '@tidemark/shared/verdict/kept-verdicts'
import { type Command, entriesOf } from './command.ts'
import type { PartitionState } from './partition-state.ts'
import type { Exchange, ProxyAudit } from './proxy.ts'
import { bulkStrings } from './resp.ts'

/** A sample as it was committed, with the finding that the commit contains. */
export interface CommittedSample {
  readonly key: string
  readonly value: number
  readonly timestamp: number
  readonly mean: number
  readonly deviation: number
  readonly count: number
  readonly window: number
}

export interface CommittedEntry {
  readonly id: EntryId
  readonly samples: readonly CommittedSample[]
}

/**
 * What Redis replied to a commit; `unknown` if no reply was seen, `void` if it was a transaction
 * that Redis did not execute because a watched key had changed.
 */
export type CommitResult = 'ok' | 'already' | 'stale' | 'gap' | 'fenced' | 'void' | 'error' | 'unknown'

export interface CommitRecord {
  readonly partition: number
  readonly token: string
  readonly from: EntryId
  readonly to: EntryId
  /** The entries whose samples were analysed. */
  readonly entries: readonly CommittedEntry[]
  /** The lease holder known when the commit was sent to Redis. */
  readonly holder: string | undefined
  result: CommitResult
  /** When the reply arrived, performance.now(). */
  at: number
}

export interface Acquisition {
  readonly partition: number
  readonly token: string
  readonly at: number
}

const TOKEN = /^[A-Za-z0-9_.-]{1,100}:[0-9a-f]{8}-[0-9a-f-]{27}$/
const ENTRY_ID = /^\d{1,16}-\d{1,16}$/
const STREAM = /\{(\d+)\}:samples$/

/** What an append replies for each entry: its id if it is stored. */
const ENTRY_REPLY = /\*2\r\n\$\d+\r\n(?:stored\r\n\$\d+\r\n(?<id>\d+-\d+)|known|backlog-full|failed|limit-reached)\r\n/g

export interface Appended {
  /** Samples that Redis counts as accepted, ever. */
  readonly samples: number
  /** Samples of appends without a reply. Redis may or may not count them. */
  readonly unconfirmed: number
  readonly lastId: EntryId
}

const NOTHING: Appended = { samples: 0, unconfirmed: 0, lastId: ENTRY_ID_ZERO }

/**
 * Records every commit and every lease from the bytes that pass the proxies, whichever process sent
 * them and whether or not it received the reply. The record does not rely on the code under test.
 */
export class Audit implements ProxyAudit {
  readonly commits: CommitRecord[] = []
  readonly acquisitions: Acquisition[] = []
  /** Applied commits that Redis lost together with their effects. */
  readonly rolledBack: CommitRecord[] = []
  /** Violations that are visible immediately. */
  readonly violations: string[] = []
  /** Counts every reply to a commit, including commits that Redis lost later. */
  readonly results = new Map<CommitResult, number>()
  /** Samples in commits with the result `ok`: the progress of the run. */
  committedSamples = 0
  /** What was appended to each partition since Redis last lost data, according to its replies. */
  readonly appended = new Map<number, Appended>()
  readonly #holders = new Map<number, string>()
  /** The samples text of every delivered entry, by receipt. A commit refers to earlier reads. */
  readonly #texts = new Map<string, string>()
  readonly #records = new WeakMap<Exchange, CommitRecord>()
  readonly #waiters = new Set<() => void>()

  forwarding(exchange: Exchange): void {
    const { command } = exchange
    if (isAppend(command)) {
      for (const { partition, count } of entriesOf(command)) {
        const known = this.appended.get(partition) ?? NOTHING
        this.appended.set(partition, { ...known, unconfirmed: known.unconfirmed + count })
      }
    }
    if (command.name !== 'commit') return
    const record = parseCommit(command, this.#holders, id => this.#texts.get(`${command.partition}:${id}`))
    if (record === undefined) {
      this.violations.push('I1: a commit that cannot be parsed passed the proxy')
      return
    }
    this.commits.push(record)
    this.#records.set(exchange, record)
  }

  replied(exchange: Exchange): void {
    const { command, reply } = exchange
    if (reply === undefined) return
    if (command.name === 'acquire' && reply.toString('latin1') === ':1\r\n') this.#acquired(command)
    if (command.name === 'commit') this.#committed(exchange, reply)
    if (command.name === 'read' || command.name === 'pending') this.#delivered(reply)
    if (isAppend(command)) this.#appended(exchange, reply)
    for (const wake of this.#waiters) wake()
  }

  holder(partition: number): string | undefined {
    return this.#holders.get(partition)
  }

  /** Resolves with true once `holds` does, checked at every reply; with false after the timeout. */
  async until(holds: () => boolean, timeoutMs: number): Promise<boolean> {
    if (holds()) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const wake = (): void => {
      if (holds()) resolve(true)
    }
    const timer = setTimeout(() => resolve(false), timeoutMs)
    this.#waiters.add(wake)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiters.delete(wake)
    }
  }

  /** Applies a data loss: the partition keeps only the commits up to its checkpoint. */
  rollBack({ partition, checkpoint, accepted, lastEntryId }: PartitionState): void {
    const isGone = (commit: CommitRecord): boolean =>
      commit.partition === partition && compareEntryIds(commit.to, checkpoint) > 0
    this.rolledBack.push(...this.commits.filter(commit => isGone(commit) && commit.result === 'ok'))
    this.commits.splice(0, this.commits.length, ...this.commits.filter(commit => !isGone(commit)))
    // Leases were rolled back too, so the holder is unknown until the next acquisition.
    this.#holders.delete(partition)
    this.appended.set(partition, { samples: accepted, unconfirmed: 0, lastId: lastEntryId })
  }

  /** The newest applied commit of each partition. */
  get lastCommits(): Map<number, CommitRecord> {
    const last = new Map<number, CommitRecord>()
    for (const commit of this.commits) {
      const known = last.get(commit.partition)
      if (commit.result !== 'ok' || (known !== undefined && compareEntryIds(commit.to, known.to) <= 0)) continue
      last.set(commit.partition, commit)
    }
    return last
  }

  #acquired(command: Command): void {
    const token = command.args.map(arg => String(arg)).find(text => TOKEN.test(text))
    if (token === undefined || command.partition === undefined) return
    this.#holders.set(command.partition, token)
    this.acquisitions.push({ partition: command.partition, token, at: performance.now() })
  }

  #appended({ command }: Exchange, reply: Buffer): void {
    // An error, which has no match, is of all entries.
    const replies = [...reply.toString('latin1').matchAll(ENTRY_REPLY)]
    for (const [i, { partition, count }] of entriesOf(command).entries()) {
      const id = replies[i]?.groups?.id
      const known = this.appended.get(partition) ?? NOTHING
      this.appended.set(partition, {
        samples: known.samples + (id === undefined ? 0 : count),
        unconfirmed: Math.max(0, known.unconfirmed - count),
        lastId: id ?? known.lastId,
      })
    }
  }

  #delivered(reply: Buffer): void {
    let partition = ''
    const texts = bulkStrings(reply)
    for (let i = 0; i < texts.length; i++) {
      const text = texts[i] ?? ''
      const stream = STREAM.exec(text)?.[1]
      if (stream !== undefined) partition = stream
      else if (ENTRY_ID.test(text) && texts[i + 1] === 's') this.#texts.set(`${partition}:${text}`, texts[i + 2] ?? '')
    }
  }

  #committed(exchange: Exchange, reply: Buffer): void {
    const record = this.#records.get(exchange)
    if (record === undefined) return
    record.result = resultOf(reply)
    record.at = performance.now()
    this.results.set(record.result, (this.results.get(record.result) ?? 0) + 1)
    if (record.result === 'ok') {
      this.committedSamples += record.entries.reduce((sum, { samples }) => sum + samples.length, 0)
    }
    const { holder, token, result, partition } = record
    const hasEffect = result !== 'fenced' && result !== 'void' && result !== 'error'
    if (holder !== undefined && holder !== token && hasEffect) {
      this.violations.push(
        `I6: a commit to partition ${partition} by ${token} returned ${result} after ${holder} had taken the lease`,
      )
    }
  }
}

export function isAppend({ name }: Command): boolean {
  return name === 'append' || name === 'append-once'
}

/** Returns the commits in the order of application: each starts where the last one ended. */
export function chainOf(commits: readonly CommitRecord[], partition: number, end: EntryId) {
  const faults: string[] = []
  const chain: CommitRecord[] = []
  // Commits of expired timers have no entries and are idempotent, so they are not in the chain.
  const ours = commits.filter(commit => commit.partition === partition && commit.from !== commit.to)
  const byStart = Map.groupBy(ours, ({ from }) => from)
  const confirmed = new Set(ours.filter(({ result }) => result === 'ok'))
  const visited = new Set<EntryId>([ENTRY_ID_ZERO])
  for (let at = ENTRY_ID_ZERO; ; ) {
    const candidates = byStart.get(at) ?? []
    const ok = candidates.filter(({ result }) => result === 'ok')
    if (ok.length > 1) {
      const whose = ok.map(({ token, to }) => `${token} to ${to}`).join(', ')
      faults.push(`I1: ${ok.length} commits from ${at} of partition ${partition} were applied: ${whose}`)
    }
    // A commit without a reply was applied if later commits continue from its end.
    const next =
      ok[0] ??
      candidates.find(
        ({ result, to }) =>
          result === 'already' || (result === 'unknown' && (to === end || continuesFrom(byStart, to))),
      )
    if (next === undefined) {
      if (at !== end) faults.push(`I1: partition ${partition} is at ${end}, but its commits lead to ${at}`)
      break
    }
    if (next.to === at || visited.has(next.to)) {
      faults.push(`I1: the commits of partition ${partition} go back to ${next.to}`)
      break
    }
    visited.add(next.to)
    confirmed.delete(next)
    chain.push(next)
    at = next.to
  }
  for (const { from, to, token } of confirmed) {
    faults.push(`I1: a commit of partition ${partition} from ${from} to ${to} by ${token} was applied out of order`)
  }
  return { chain, faults }
}

function continuesFrom(byStart: ReadonlyMap<EntryId, readonly CommitRecord[]>, id: EntryId): boolean {
  return (byStart.get(id) ?? []).some(({ result }) => result === 'ok' || result === 'unknown')
}

/**
 * Parses a commit by the format of its arguments instead of their positions: the token, the
 * checkpoints before and after, then pairs of an entry id and findings whose length fits the entry.
 */
export function parseCommit(
  command: Command,
  holders: ReadonlyMap<number, string>,
  textOf: (id: EntryId) => string | undefined = () => undefined,
): CommitRecord | undefined {
  const { args, partition } = command
  const tokenAt = args.findIndex(arg => arg.length < 140 && TOKEN.test(arg.toString('latin1')))
  const [token, from, to] = args.slice(tokenAt, tokenAt + 3).map(arg => arg.toString('latin1'))
  if (tokenAt < 0 || token === undefined || from === undefined || to === undefined || partition === undefined) return
  const entries: CommittedEntry[] = []
  for (let i = tokenAt + 3; i + 1 < args.length; i++) {
    const [name, findings] = [args[i], args[i + 1]]
    if (name === undefined || findings === undefined) continue
    if (name.length > 33 || findings.length === 0 || findings.length % (8 * FINDING_STRIDE) !== 0) continue
    const id = name.toString('latin1')
    const text = ENTRY_ID.test(id) ? textOf(id) : undefined
    const samples = text === undefined ? undefined : parseVerdicts(text, findings)
    if (samples !== undefined) entries.push({ id, samples })
  }
  return { partition, token, from, to, entries, holder: holders.get(partition), result: 'unknown', at: 0 }
}

function parseVerdicts(text: string, findings: Buffer): CommittedSample[] | undefined {
  let flat: unknown
  try {
    flat = JSON.parse(text)
  } catch {
    return undefined
  }
  const count = findings.length / (8 * FINDING_STRIDE)
  if (!Array.isArray(flat) || flat.length !== count * SAMPLE_STRIDE) return undefined
  return Array.from({ length: count }, (_, i) => ({
    key: String(flat[i * SAMPLE_STRIDE]),
    value: Number(flat[i * SAMPLE_STRIDE + 1]),
    timestamp: Number(flat[i * SAMPLE_STRIDE + 2]),
    mean: findings.readDoubleLE(8 * FINDING_STRIDE * i),
    deviation: findings.readDoubleLE(8 * FINDING_STRIDE * i + 8),
    count: findings.readDoubleLE(8 * FINDING_STRIDE * i + 16),
    window: findings.readDoubleLE(8 * FINDING_STRIDE * i + 24),
  }))
}

/** Of a script; in a transaction, after the numbers that the commands before it return. */
const COMMIT_REPLY = /^(?:\*\d\r\n(?::\d+\r\n)*)?\*\d\r\n\$\d+\r\n(ok|already|stale|gap|fenced)\r\n/

/** A transaction that was not executed, in RESP 2 and 3. */
const VOID = /^(?:\*-1|_)\r\n$/

export function resultOf(reply: Buffer): CommitResult {
  const text = reply.toString('latin1', 0, 100)
  if (VOID.test(text)) return 'void'
  const match = COMMIT_REPLY.exec(text)
  return (match?.[1] as CommitResult | undefined) ?? 'error'
}
