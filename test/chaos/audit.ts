import { SAMPLE_STRIDE } from '@tidemark/shared/sample/entry'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId } from '@tidemark/shared/sample/receipt'
import { FINDING_STRIDE } from '@tidemark/shared/verdict/kept-verdicts'
import type { Command } from './command.ts'
import type { PartitionState } from './partition-state.ts'
import type { Exchange, ProxyAudit } from './proxy.ts'
import { bulkStrings } from './resp.ts'

/** A sample as it was committed, with what the commit says of it. */
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

/** What Redis answered to a commit; `unknown` when nobody heard it. */
export type Outcome = 'ok' | 'already' | 'stale' | 'gap' | 'fenced' | 'error' | 'unknown'

export interface CommitRecord {
  readonly partition: number
  readonly token: string
  readonly from: EntryId
  readonly to: EntryId
  /** The entries whose samples were analysed. */
  readonly entries: readonly CommittedEntry[]
  /** Somebody else's lease on the partition had been seen before the commit was sent to Redis. */
  readonly holder: string | undefined
  outcome: Outcome
  /** When the answer came, performance.now(). */
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

/** An answer to an append that added something. */
const STORED = /^\*2\r\n\$6\r\nstored\r\n\$\d+\r\n(\d+-\d+)\r\n/

export interface Appended {
  /** Samples that Redis counts as accepted, ever. */
  readonly samples: number
  /** Samples of appends without an answer: it may count them too. */
  readonly unanswered: number
  readonly lastId: EntryId
}

/**
 * Knows every commit and every lease from the bytes that pass the proxies, whichever process sent them and whether anybody
 * heard the answer. That is the audit of what was applied: it owes nothing to the code under test.
 */
export class Audit implements ProxyAudit {
  readonly commits: CommitRecord[] = []
  readonly acquisitions: Acquisition[] = []
  /** Commits that Redis forgot together with their effects. */
  readonly forgotten: CommitRecord[] = []
  /** Every breach that shows at once. */
  readonly breaches: string[] = []
  /** Every answer to a commit, also to those that Redis forgot. */
  readonly outcomes = new Map<Outcome, number>()
  /** Samples in commits that came back ok: how far the work is. */
  committedSamples = 0
  /** What was appended to each partition since Redis last lost something, as its answers tell. */
  readonly appended = new Map<number, Appended>()
  readonly #holders = new Map<number, string>()
  /** The samples' text of every entry that Redis delivered, by receipt: whatever a commit speaks of was read before. */
  readonly #texts = new Map<string, string>()
  readonly #records = new WeakMap<Exchange, CommitRecord>()
  readonly #waiting = new Set<() => void>()

  forwarding(exchange: Exchange): void {
    const { command } = exchange
    if (isAppend(command) && command.partition !== undefined) {
      const known = this.appended.get(command.partition) ?? { samples: 0, unanswered: 0, lastId: ENTRY_ID_ZERO }
      this.appended.set(command.partition, { ...known, unanswered: known.unanswered + sampleCount(command.args) })
    }
    if (command.name !== 'commit') return
    const record = parseCommit(command, this.#holders, id => this.#texts.get(`${command.partition}:${id}`))
    if (record === undefined) {
      this.breaches.push('I1: a commit that cannot be read passed the proxy')
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
    for (const wake of this.#waiting) wake()
  }

  holder(partition: number): string | undefined {
    return this.#holders.get(partition)
  }

  /** Resolves when `holds` does; false when it did not in time. Looked at whenever a reply passes. */
  async until(holds: () => boolean, timeoutMs: number): Promise<boolean> {
    if (holds()) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const wake = (): void => {
      if (holds()) resolve(true)
    }
    const timer = setTimeout(() => resolve(false), timeoutMs)
    this.#waiting.add(wake)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(wake)
    }
  }

  /** Redis lost data: of a partition it has the commits up to its checkpoint and no others. */
  rollBack({ partition, checkpoint, accepted, lastEntryId }: PartitionState): void {
    const isGone = (commit: CommitRecord): boolean =>
      commit.partition === partition && compareEntryIds(commit.to, checkpoint) > 0
    this.forgotten.push(...this.commits.filter(commit => isGone(commit) && commit.outcome === 'ok'))
    this.commits.splice(0, this.commits.length, ...this.commits.filter(commit => !isGone(commit)))
    // Leases went back too, so that who holds one must be seen anew.
    this.#holders.delete(partition)
    this.appended.set(partition, { samples: accepted, unanswered: 0, lastId: lastEntryId })
  }

  /** The newest commit of each partition that was applied. */
  get lastCommits(): Map<number, CommitRecord> {
    const last = new Map<number, CommitRecord>()
    for (const commit of this.commits) {
      const known = last.get(commit.partition)
      if (commit.outcome !== 'ok' || (known !== undefined && compareEntryIds(commit.to, known.to) <= 0)) continue
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
    const { partition, args } = command
    const id = STORED.exec(reply.toString('latin1', 0, 80))?.[1]
    if (partition === undefined) return
    const known = this.appended.get(partition)
    const count = sampleCount(args)
    this.appended.set(partition, {
      samples: (known?.samples ?? 0) + (id === undefined ? 0 : count),
      unanswered: Math.max(0, (known?.unanswered ?? 0) - count),
      lastId: id ?? known?.lastId ?? ENTRY_ID_ZERO,
    })
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
    record.outcome = outcomeOf(reply)
    record.at = performance.now()
    this.outcomes.set(record.outcome, (this.outcomes.get(record.outcome) ?? 0) + 1)
    if (record.outcome === 'ok') {
      this.committedSamples += record.entries.reduce((sum, { samples }) => sum + samples.length, 0)
    }
    const { holder, token, outcome, partition } = record
    if (holder !== undefined && holder !== token && outcome !== 'fenced' && outcome !== 'error') {
      this.breaches.push(
        `I6: a commit to partition ${partition} by ${token} came back ${outcome}, and ${holder} had taken the lease before it was sent`,
      )
    }
  }
}

export function isAppend({ name }: Command): boolean {
  return name === 'append' || name === 'append-once'
}

/** The second argument after the keys says how many samples an append brings. */
function sampleCount(args: readonly Buffer[]): number {
  return Number(String(args[3 + Number(String(args[2])) + 1]))
}

/** Commits in the order in which they were applied: each begins where the one before it ended. */
export function chainOf(commits: readonly CommitRecord[], partition: number, end: EntryId) {
  const faults: string[] = []
  const chain: CommitRecord[] = []
  // Those of time going by lead nowhere: they have no entries and do twice what they do once.
  const ours = commits.filter(commit => commit.partition === partition && commit.from !== commit.to)
  const byStart = Map.groupBy(ours, ({ from }) => from)
  const confirmed = new Set(ours.filter(({ outcome }) => outcome === 'ok'))
  const visited = new Set<EntryId>([ENTRY_ID_ZERO])
  for (let at = ENTRY_ID_ZERO; ; ) {
    const candidates = byStart.get(at) ?? []
    const ok = candidates.filter(({ outcome }) => outcome === 'ok')
    if (ok.length > 1) {
      const whose = ok.map(({ token, to }) => `${token} to ${to}`).join(', ')
      faults.push(`I1: ${ok.length} commits from ${at} of partition ${partition} were applied: ${whose}`)
    }
    // A commit whose answer nobody heard was applied when the work went on from its end.
    const next =
      ok[0] ??
      candidates.find(
        ({ outcome, to }) =>
          outcome === 'already' || (outcome === 'unknown' && (to === end || goesOnFrom(byStart, to))),
      )
    if (next === undefined) {
      if (at !== end) faults.push(`I1: partition ${partition} stands at ${end}, and its commits lead to ${at}`)
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
    faults.push(`I1: a commit of partition ${partition} from ${from} to ${to} by ${token} was applied out of turn`)
  }
  return { chain, faults }
}

function goesOnFrom(byStart: ReadonlyMap<EntryId, readonly CommitRecord[]>, id: EntryId): boolean {
  return (byStart.get(id) ?? []).some(({ outcome }) => outcome === 'ok' || outcome === 'unknown')
}

/**
 * Reads a commit's arguments by what they look like rather than by where they stand: token, checkpoint before, checkpoint
 * after; and verdicts as an entry id and findings of a length that fits the entry's samples.
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
  return { partition, token, from, to, entries, holder: holders.get(partition), outcome: 'unknown', at: 0 }
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

const OUTCOME = /^\*\d\r\n\$\d+\r\n(ok|already|stale|gap|fenced)\r\n/

function outcomeOf(reply: Buffer): Outcome {
  const match = OUTCOME.exec(reply.toString('latin1', 0, 32))
  return (match?.[1] as Outcome | undefined) ?? 'error'
}
