import assert from 'node:assert/strict'
import type { Entry } from '@tidemark/shared/sample/entry'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import {
  type Checkpoint,
  type Commit,
  type DeadLetter,
  type KeyUpdate,
  NO_RULE_EFFECTS,
} from '@tidemark/shared/store/ports/commit'
import type { Progress } from '@tidemark/shared/store/ports/gateway'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Store } from '@tidemark/shared/store/ports/store'
import { expect } from 'vitest'
import { packSamples } from '../samples.ts'

/** Far longer than a test: a lease that does not expire. */
export const LONG_MS = 60_000

/** An empty store, and the access past its ports that the contract needs. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store
  readonly probe: StoreProbe
  readonly limits: StoreLimits
  /**
   * Opens another connection to the same data, as another process would; the caller disposes it.
   */
  connect(): Promise<Store>
}

export type OpenStore = () => Promise<StoreUnderTest>

export interface StoreLimits {
  readonly backlogMax: number
  /** Anomalies and dead letters that are certainly kept; up to `trimSlack` more may be. */
  readonly anomaliesMax: number
  readonly deadMax: number
  readonly trimSlack: number
  readonly requestsMax: number
  readonly alertsMax: number
  readonly outboxMax: number
  readonly shadowedMax: number
  readonly auditMax: number
}

export interface StoreProbe {
  /** Adds an entry with these fields as an XADD by hand does: nothing is counted as accepted. */
  appendRaw(partition: number, fields: Readonly<Record<string, string>>): Promise<EntryId>
  deleteEntry(partition: number, id: EntryId): Promise<void>
  /**
   * Puts another entry under the same id, as a failover can leave it. Pending entries may be lost.
   */
  replaceEntry(partition: number, id: EntryId, fields: Readonly<Record<string, string>>): Promise<void>
  destroyGroup(partition: number): Promise<void>
  streamIds(partition: number): Promise<EntryId[]>
  pendingIds(partition: number): Promise<EntryId[]>
  verdictIds(partition: number): Promise<EntryId[]>
  anomalies(partition: number): Promise<string[]>
  deadLetters(partition: number): Promise<DeadLetter[]>
  /** Advances the clock of leases and members. */
  advanceTime(ms: number): Promise<void>
}

/** Packs `count` samples as a gateway does. */
export function packed(count: number, key = 'edge-17/rps'): string {
  return packSamples(
    Array.from({ length: count }, (_, index) => ({ key, value: index / 7, timestamp: 1.7e12 + index })),
  )
}

/** Appends one entry for each count and returns their ids. */
export async function append(store: Store, partition: number, ...counts: number[]): Promise<EntryId[]> {
  const outcomes = await store.gateway.append(counts.map(count => ({ partition, samples: packed(count), count })))
  return outcomes.map(outcome => {
    assert(outcome.kind === 'stored', `not stored but ${JSON.stringify(outcome)}`)
    return outcome.id
  })
}

/** Appends one entry and returns its id. */
export async function appendOne(store: Store, partition: number, count: number): Promise<EntryId> {
  return only(await append(store, partition, count))
}

/** Takes the partition's lease and creates its group, as a new owner does. */
export async function own(store: Store, partition: number, token = 'analyzer-1:4cb7'): Promise<Lease> {
  expect(await store.analyzer.acquireLease(partition, token, LONG_MS)).toBe(true)
  await store.analyzer.loadCheckpoint(partition)
  return { partition, token }
}

/** Reads the entries of one partition that were not delivered, without blocking. */
export async function readNow(store: Store, partition: number, count = 1000): Promise<readonly Entry[]> {
  const found = await store.analyzer.read([partition], { count, blockMs: 0 })
  return found[0]?.entries ?? []
}

/** Appends entries and returns them as an owner reads them before its commit. */
export async function appendAndRead(store: Store, partition: number, ...counts: number[]): Promise<readonly Entry[]> {
  const ids = await append(store, partition, ...counts)
  const entries = await readNow(store, partition)
  expect(entries.map(({ id }) => id)).toEqual(ids)
  return entries
}

/**
 * Returns the commit of `entries`, with all of their samples analysed unless `changes` says
 * otherwise.
 */
export function commitOf(from: Checkpoint, entries: readonly Entry[], changes: Partial<Commit> = {}): Commit {
  const last = entries.at(-1)
  assert(last !== undefined)
  return {
    from,
    to: { id: last.id, offset: (last.offset ?? 0) + (last.count ?? 0) },
    entries: entries.map(({ id }) => id),
    witness: witnessOf(entries),
    analysed: entries.reduce((sum, { count = 0 }) => sum + count, 0),
    dead: 0,
    keys: [],
    anomalies: [],
    deadLetters: [],
    verdicts: [],
    keepFrom: undefined,
    rulesVersion: 0,
    ...NO_RULE_EFFECTS,
    ...changes,
  }
}

function witnessOf(entries: readonly Entry[]): Commit['witness'] {
  const last = entries.findLast(({ isDeleted }) => isDeleted !== true)
  return last && { id: last.id, nonce: last.nonce ?? '' }
}

export function keyUpdate(key: string, seed = 0): KeyUpdate {
  return { key, window: { kind: 'row', bytes: bytes(key, seed) }, analysis: analysisOf(key, seed) }
}

/** Returns bytes that differ between keys and include all 256 values. */
export function bytes(key: string, seed = 0): Uint8Array {
  return Uint8Array.from([seed, ...Buffer.from(key), ...Array.from({ length: 256 }, (_, value) => value)])
}

export function analysisOf(key: string, seed = 0): string {
  return JSON.stringify({ key, count: seed, mean: 0.1 + 0.2, text: '"\\\u2028é😀' })
}

/** Reads everything of a partition that a commit changes, to compare before and after. */
export async function stateOf({ store, probe }: StoreUnderTest, partition: number, keys: readonly string[]) {
  const { samples, oldest } = only(await store.analyzer.backlogs([partition]))
  return {
    progress: await progressOf(store, partition),
    backlog: { samples, oldest },
    stream: await probe.streamIds(partition),
    pending: await probe.pendingIds(partition),
    verdicts: await probe.verdictIds(partition),
    anomalies: await probe.anomalies(partition),
    dead: await probe.deadLetters(partition),
    analyses: await store.gateway.lastAnalyses(keys.map(key => ({ partition, key }))),
    windows: await windowsOf(store, partition, keys),
  }
}

/**
 * Reads the windows' rows as plain arrays, which compare by content whatever bytes a store returns.
 */
export async function windowsOf(store: Store, partition: number, keys: readonly string[]) {
  const windows = await store.analyzer.loadWindows(partition, keys)
  return windows.map(window => (window === null ? null : [...window.row]))
}

/** Reads the progress, and checks that its counts add up. */
export async function progressOf(store: Store, partition: number): Promise<Progress> {
  const progress = only(await store.gateway.progress([partition]))
  const { accepted, analysed, dead, lost, backlog } = progress
  expect(accepted).toBe(analysed + dead + lost + backlog)
  return progress
}

/** Resolves with the result of `promise` and the time it took; fails after a generous timeout. */
export async function timed<T>(promise: Promise<T>): Promise<{ value: T; tookMs: number }> {
  const start = performance.now()
  const value = await promise
  return { value, tookMs: performance.now() - start }
}

export function only<T>(items: readonly T[]): T {
  const [item] = items
  assert(item !== undefined && items.length === 1, `one item and not ${items.length}`)
  return item
}
