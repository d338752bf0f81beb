import assert from 'node:assert/strict'
import { compareEntryIds, type EntryId } from '../../sample/receipt.ts'
import type { EntryFindings } from '../../verdict/kept-verdicts.ts'
import type { LateJson } from '../../writing/json-writer.ts'
import type { AggregateUpdates } from './aggregates.ts'
import type { AlertChanges } from './alerts.ts'

export interface Checkpoint {
  /** The last entry whose effects are in the windows. */
  readonly id: EntryId
  /** Samples of the partition up to and including that entry. */
  readonly offset: number
}

/**
 * The effects of a run of entries without a gap. Without entries: the effects of elapsed time, with
 * `to` equal to `from`. It is fenced all the same, and sending it twice changes nothing more.
 */
export interface Commit {
  /** The checkpoint that it starts from. */
  readonly from: Checkpoint
  /** The checkpoint that it leads to: `id` is the last of `entries`. */
  readonly to: Checkpoint
  /** Ids of the run, in order. */
  readonly entries: readonly EntryId[]
  /** Makes the outcome `gap` if any entry stands after `to`. Only without entries. */
  readonly requiresDrained?: boolean
  /**
   * The last entry of the run that was not deleted. If its id now has another entry or none, the
   * store lost what was read, and the commit is stale.
   */
  readonly witness: { readonly id: EntryId; readonly nonce: string } | undefined
  /**
   * How many commits without entries the partition has had. They do not move the checkpoint: if the
   * store counts another number, it lost some, and the commit is stale. Undefined: not compared.
   */
  readonly timeCommits?: number
  readonly analysed: number
  /** Samples in dead letters. */
  readonly dead: number
  /** The version of the rules that judged: kept with the checkpoint. */
  readonly rulesVersion: number
  /** One for each key that the run touched. */
  readonly keys: readonly KeyUpdate[]
  /** Analyses that are anomalies, as JSON. */
  readonly anomalies: readonly string[]
  readonly deadLetters: readonly DeadLetter[]
  /** All with the same threshold, minimum of the window, time and version of the rules. */
  readonly verdicts: readonly EntryFindings[]
  /** Entries before it are dropped with their verdicts; undefined drops all applied entries. */
  readonly keepFrom: EntryId | undefined
  readonly alerts: AlertChanges
  /** When to check each key although no sample arrives, Unix ms; null for never. */
  readonly timers: readonly { readonly key: string; readonly at: number | null }[]
  /** Integers to add to the rules' counts, by name. */
  readonly counts: readonly { readonly name: string; readonly by: number }[]
  /** Analyses that shadow rules would have flagged, each with its rule. */
  readonly shadowed: readonly { readonly rule: string; readonly analysis: string }[]
  /** Buckets that the run filled and closed. */
  readonly aggregates?: AggregateUpdates
  /** Analyses that the sink may write, as JSON. */
  readonly points?: readonly string[]
  /** Keys to remove with everything that is known of them, as if they had never sent a sample. */
  readonly evicted?: readonly EvictedKey[]
  /**
   * Keys of which the run has only samples that a rule refused: they are not idle. Those that are
   * not registered, because they were just evicted, are registered without an owner.
   */
  readonly refused?: readonly { readonly key: string; readonly at: number }[]
}

/** Throws when the members of a commit contradict each other, so that no store could apply it. */
export function assertCommitShape(commit: Commit): void {
  const { from, to, entries, analysed, dead, deadLetters, verdicts } = commit
  // Trimmed entries are gone, so all of them must be applied.
  assert(compareEntryIds(commit.keepFrom ?? '0-0', to.id) <= 0, 'a commit must not trim entries that it does not apply')
  if (entries.length > 0) {
    assert.equal(entries.at(-1), to.id, 'a commit leads to its last entry')
    assert((commit.evicted ?? []).length === 0, 'only a commit without entries evicts keys')
    assert(
      commit.requiresDrained !== true,
      'only a commit without entries can require that no entry stands after the checkpoint',
    )
    return
  }
  assert.deepEqual(to, from, 'a commit without entries does not move the checkpoint')
  assert((commit.refused ?? []).length === 0, 'a commit without entries has no refused samples')
  assert.equal(analysed + dead + deadLetters.length + verdicts.length, 0, 'a commit without entries has no samples')
}

/** The part of a commit that rules add, when they add nothing. */
export const NO_RULE_EFFECTS = {
  alerts: { opened: [], ended: [] },
  timers: [],
  counts: [],
  shadowed: [],
} as const satisfies Partial<Commit>

export interface KeyUpdate {
  readonly key: string
  readonly window: WindowUpdate
  /** As JSON; null keeps the previous one: the key's samples were refused, or there were none. */
  readonly analysis: string | LateJson | null
}

export interface EvictedKey {
  readonly key: string
  /** The name of its other row, in which its shadow rule works. */
  readonly shadow: string
  /** The id of the deletion that counts it; '' for an idle key. */
  readonly deletion: string
}

/** A row replaces the previous row, a tail the previous tail. */
export interface WindowUpdate {
  readonly kind: 'row' | 'tail'
  readonly bytes: Uint8Array
  /** What is stored beside the row: it replaces the previous one; null keeps that, void. */
  readonly memory?: Uint8Array | null
}

/** An entry that could not be read or crashed its analyzers. */
export interface DeadLetter {
  readonly id: EntryId
  readonly reason: string
  /** What could be read of it. */
  readonly samples: string
}

export type CommitOutcome =
  /** Done at `at`, Unix ms by the store's clock, which also made the entries' ids. */
  | {
      readonly kind: 'ok'
      readonly at: number
      /** Of a commit that evicts keys: how many there were. */
      readonly evicted?: number
    }
  /** It was done before: the response to an earlier send was lost. */
  | { readonly kind: 'already' }
  /** The store's checkpoint is not `from`: the owner's memory is wrong. */
  | { readonly kind: 'stale'; readonly checkpoint: EntryId }
  /** An entry stands between the checkpoint and the run. */
  | { readonly kind: 'gap'; readonly id: EntryId }
  /** The caller does not hold the lease. */
  | { readonly kind: 'fenced' }
