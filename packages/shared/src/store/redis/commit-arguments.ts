import { ringBytes } from '../../aggregates/rings.ts'
import { formatOpening } from '../../detection/alerts/record.ts'
import type { EntryId } from '../../sample/receipt.ts'
import { GROUP, type PartitionKeys } from '../keys.ts'
import type { AggregateUpdates } from '../ports/aggregates.ts'
import { ALERT_FEED_KEPT } from '../ports/alerts.ts'
import { type Commit, type KeyUpdate, NO_RULE_EFFECTS } from '../ports/commit.ts'
import type { RedisStoreOptions } from './options.ts'
import { RespArguments } from './resp-arguments.ts'

/**
 * The commit protocol: what commit.lua is called with, in this order. KEYS are `COMMIT_KEYS`; ARGV
 * are the `COMMIT_SCALARS`, then each of the `COMMIT_LISTS`: the number of items and their fields.
 * commit.lua names all of them again in its first lines, and a test compares the two.
 */
export const COMMIT_KEYS = [
  'samples',
  'lease',
  'checkpoint',
  'windows',
  'windowTails',
  'guardMemories',
  'lastAnalysis',
  'anomalies',
  'deadLetters',
  'verdicts',
  'alerts',
  'alertsFiring',
  'alertsResolved',
  'alertFeed',
  'notificationChecks',
  'timers',
  'ruleCounts',
  'shadowed',
  'keys',
  'keyOwners',
  'keyDeletions',
  'keyAlerts',
  'ruleAlerts',
  'aggregates',
  'aggregatesHours',
  'aggregatesDays',
  'points',
] as const satisfies readonly (keyof PartitionKeys)[]

/**
 * What commit.lua does: all; or as parts of a transaction, only checking, or only applying what was
 * checked.
 */
export type CommitStep = 'all' | 'check' | 'apply'

/** What the arguments of one call are made of. */
export interface CommitCall {
  readonly step: CommitStep
  readonly token: string
  readonly commit: Commit
  readonly options: Pick<RedisStoreOptions, 'anomaliesMax' | 'deadMax' | 'alertsMax' | 'shadowedMax'>
}

type Write<T> = (args: RespArguments, source: T) => void
type Fields<T> = Readonly<Record<string, Write<T>>>

/** The chaos harness recognises token, from_id and to_id by their standing together. */
export const COMMIT_SCALARS: Fields<CommitCall> = {
  token: (args, { token }) => args.text(token),
  from_id: (args, { commit }) => args.text(commit.from.id),
  to_id: (args, { commit }) => args.text(commit.to.id),
  to_offset: (args, { commit }) => args.number(commit.to.offset),
  analysed: (args, { commit }) => args.number(commit.analysed),
  dead: (args, { commit }) => args.number(commit.dead),
  /** The first id to keep in samples and in verdicts. */
  keep_from: (args, { commit }) => args.text(commit.keepFrom ?? idAfter(commit.to.id)),
  anomalies_max: (args, { options }) => args.number(options.anomaliesMax),
  dead_letters_max: (args, { options }) => args.number(options.deadMax),
  group: args => args.text(GROUP),
  /** '' for no witness. */
  witness_id: (args, { commit }) => args.text(commit.witness?.id ?? ''),
  witness_nonce: (args, { commit }) => args.text(commit.witness?.nonce ?? ''),
  rules_version: (args, { commit }) => args.number(commit.rulesVersion),
  /** '1' or ''. */
  requires_drained: (args, { commit }) => args.text(commit.requiresDrained === true ? '1' : ''),
  alerts_max: (args, { options }) => args.number(options.alertsMax),
  feed_max: args => args.number(ALERT_FEED_KEPT),
  shadowed_max: (args, { options }) => args.number(options.shadowedMax),
  /** Those of all verdicts; '' without verdicts. */
  threshold: (args, { commit }) => args.text(String(commit.verdicts[0]?.threshold ?? '')),
  window_min: (args, { commit }) => args.text(String(commit.verdicts[0]?.windowMin ?? '')),
  analyzed_at: (args, { commit }) => args.text(String(commit.verdicts[0]?.analyzedAt ?? '')),
  judged_by_version: (args, { commit }) => args.text(String(commit.verdicts[0]?.rulesVersion ?? '')),
  /** '' where it is not compared. */
  time_commits: (args, { commit }) => args.text(String(commit.timeCommits ?? '')),
  step: (args, { step }) => args.text(step),
}

const NO_ITEMS: readonly never[] = []

interface CommitList {
  readonly fields: readonly string[]
  /** Writes the number of items, then their fields. */
  write(args: RespArguments, commit: Commit): void
  /** Writes the fields only. */
  writeItems(args: RespArguments, commit: Commit): void
}

type KeyRingWrite = AggregateUpdates['writes'][number]

const RING_WRITE: Fields<KeyRingWrite> = {
  key: (args, { key }) => args.text(key),
  /** In bytes. */
  offset: (args, { at }) => args.number(at),
  records: (args, { bytes }) => args.data(bytes),
}

export const COMMIT_LISTS: Readonly<Record<string, CommitList>> = {
  entries: list(commit => commit.entries, {
    id: (args, id) => args.text(id),
  }),
  rows: list(commit => commit.keys.filter(hasRow), {
    key: (args, { key }) => args.text(key),
    row: (args, { window }) => args.data(window.bytes),
  }),
  tails: list(commit => commit.keys.filter(hasTail), {
    key: (args, { key }) => args.text(key),
    tail: (args, { window }) => args.data(window.bytes),
  }),
  memories: list(commit => commit.keys.filter(hasMemory), {
    key: (args, { key }) => args.text(key),
    memory: (args, { window }) => args.data(window.memory ?? NOTHING),
  }),
  analyses: list(commit => commit.keys.filter(hasAnalysis), {
    key: (args, { key }) => args.text(key),
    analysis: (args, { analysis }) => args.json(analysis),
  }),
  anomalies: list(commit => commit.anomalies, {
    analysis: (args, analysis) => args.text(analysis),
  }),
  dead_letters: list(commit => commit.deadLetters, {
    id: (args, { id }) => args.text(id),
    reason: (args, { reason }) => args.text(reason),
    samples: (args, { samples }) => args.text(samples),
  }),
  verdicts: list(commit => commit.verdicts, {
    id: (args, { id }) => args.text(id),
    findings: (args, { findings }) => args.data(findings),
    /** '' where the default policy judged all of the entry's samples. */
    judgements: (args, { judged }) => args.data(judged?.judgements ?? NOTHING),
    policies: (args, { judged }) => args.text(judged?.policies ?? ''),
    /** '' where no mean has a rest. */
    rests: (args, { rests }) => args.data(rests ?? NOTHING),
  }),
  opened: list(commit => commit.alerts.opened, {
    id: (args, { opening }) => args.text(opening.id),
    opening: (args, { opening }) => args.text(formatOpening(opening)),
    opened_at: (args, { opening }) => args.number(opening.opened_at),
    opened_before: (args, { openedBefore }) => args.number(openedBefore),
    notify_after_ms: (args, { notifyAfterMs }) => args.number(notifyAfterMs),
    key: (args, { opening }) => args.text(opening.key ?? ''),
    cause: (args, { opening }) => args.text(opening.cause.kind),
    /** '' for the default policy. */
    rule: (args, { opening }) => args.text(opening.rule ?? ''),
  }),
  ended: list(commit => commit.alerts.ended, {
    id: (args, { id }) => args.text(id),
    alert_end: (args, { end }) => args.text(JSON.stringify(end)),
    resolved_at: (args, { end }) => args.number(end.resolved_at),
    key: (args, { key }) => args.text(key),
    cause: (args, { cause }) => args.text(cause),
    opened_at: (args, { openedAt }) => args.number(openedAt),
  }),
  timers: list(commit => commit.timers, {
    key: (args, { key }) => args.text(key),
    /** '' stops the timer. */
    at: (args, { at }) => args.text(at === null ? '' : String(at)),
  }),
  counts: list(commit => commit.counts, {
    name: (args, { name }) => args.text(name),
    by: (args, { by }) => args.number(by),
  }),
  shadowed: list(commit => commit.shadowed, {
    rule: (args, { rule }) => args.text(rule),
    analysis: (args, { analysis }) => args.text(analysis),
  }),
  evicted: list(commit => commit.evicted ?? NO_ITEMS, {
    key: (args, { key }) => args.text(key),
    shadow: (args, { shadow }) => args.text(shadow),
    /** '' for an idle key. */
    deletion: (args, { deletion }) => args.text(deletion),
  }),
  refused: list(commit => commit.refused ?? NO_ITEMS, {
    key: (args, { key }) => args.text(key),
    at: (args, { at }) => args.number(at),
  }),
  open_buckets: list(commit => commit.aggregates?.states ?? NO_ITEMS, {
    key: (args, { key }) => args.text(key),
    bytes: (args, { bytes }) => args.data(bytes),
  }),
  new_rings: list(commit => ringWritesOf(commit).filter(isNew), {
    /** 'hours' or 'days'. */
    ring: (args, { ring }) => args.text(ring),
    key: (args, { key }) => args.text(key),
    /** In bytes. */
    size: (args, { ring }) => args.number(ringBytes(ring)),
  }),
  // A list for each ring: an argument costs more than its bytes.
  hours_writes: list(commit => ringWritesOf(commit).filter(isOfHours), RING_WRITE),
  days_writes: list(commit => ringWritesOf(commit).filter(isOfDays), RING_WRITE),
  points: list(commit => commit.points ?? NO_ITEMS, {
    analysis: (args, analysis) => args.text(analysis),
  }),
}

const SCALAR_WRITERS = Object.values(COMMIT_SCALARS)
const LISTS = Object.values(COMMIT_LISTS)
const NOTHING = new Uint8Array()

/** Encodes the ARGV of commit.lua. */
export function commitArguments(call: CommitCall, args = new RespArguments()): RespArguments {
  for (const write of SCALAR_WRITERS) write(args, call)
  for (const { write } of LISTS) write(args, call.commit)
  return args
}

/** The hashes that a commit writes, each with the list of its fields and values. */
export const COMMIT_HASHES = {
  windows: 'rows',
  windowTails: 'tails',
  guardMemories: 'memories',
  lastAnalysis: 'analyses',
  aggregates: 'open_buckets',
} as const satisfies Partial<Record<(typeof COMMIT_KEYS)[number], string>>

export type CommitHash = keyof typeof COMMIT_HASHES

/** Encodes the fields and values that a commit writes to a hash, as HSET has them. */
export function hashArguments(hash: CommitHash, commit: Commit, args: RespArguments): void {
  COMMIT_LISTS[COMMIT_HASHES[hash]]?.writeItems(args, commit)
}

/** Returns the commit without what it writes to hashes. */
export function withoutHashes(commit: Commit): Commit {
  const { aggregates } = commit
  return { ...commit, keys: [], ...(aggregates && { aggregates: { ...aggregates, states: [] } }) }
}

/** Returns what commit.lua checks of a commit: all of it but what it writes. */
export function toCheck(commit: Commit): Commit {
  const nothing = { keys: [], anomalies: [], points: [], deadLetters: [], verdicts: [], keepFrom: undefined }
  const noKeys = { evicted: [], refused: [], aggregates: { states: [], writes: [] } }
  return { ...commit, ...nothing, ...noKeys, ...NO_RULE_EFFECTS }
}

function list<T>(itemsOf: (commit: Commit) => readonly T[], fields: Fields<T>): CommitList {
  const writers = Object.values(fields)
  const writeAll = (args: RespArguments, items: readonly T[]): void => {
    for (const item of items) for (const write of writers) write(args, item)
  }
  return {
    fields: Object.keys(fields),
    write(args, commit) {
      const items = itemsOf(commit)
      args.number(items.length)
      writeAll(args, items)
    },
    writeItems: (args, commit) => writeAll(args, itemsOf(commit)),
  }
}

// Functions of their own: a closure made for each commit would be compiled for each commit.
function ringWritesOf({ aggregates }: Commit): readonly KeyRingWrite[] {
  return aggregates?.writes ?? NO_ITEMS
}

function isNew({ isNew }: KeyRingWrite): boolean {
  return isNew
}

function isOfHours({ ring }: KeyRingWrite): boolean {
  return ring === 'hours'
}

function isOfDays({ ring }: KeyRingWrite): boolean {
  return ring === 'days'
}

function hasRow({ window }: KeyUpdate): boolean {
  return window.kind === 'row'
}

function hasMemory({ window }: KeyUpdate): boolean {
  return window.memory != null
}

function hasTail({ window }: KeyUpdate): boolean {
  return window.kind === 'tail'
}

function hasAnalysis(
  update: KeyUpdate,
): update is KeyUpdate & { readonly analysis: NonNullable<KeyUpdate['analysis']> } {
  return update.analysis !== null
}

/** Returns the smallest id after `id`: with it as minimum, XTRIM removes `id` too. */
export function idAfter(id: EntryId): EntryId {
  const dash = id.indexOf('-')
  return `${id.slice(0, dash)}-${BigInt(id.slice(dash + 1)) + 1n}`
}
