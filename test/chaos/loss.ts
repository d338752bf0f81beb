import { compareEntryIds, entryTimeMs, parseReceipt } from '@tidemark/shared/sample/receipt'
import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import type { Appended, CommitRecord } from './audit.ts'
import type { PartitionState } from './partition-state.ts'

/** What each level of durability promises to survive without the loss of a sample that was answered 202. */
export const SURVIVED: Record<DurabilityLevel, readonly string[]> = {
  memory: [],
  local: ['redis-kill'],
  disk: ['redis-kill', 'power-loss'],
  replicated: ['redis-kill', 'fail-over'],
}

/** Redis lost data: what it still had of each struck partition before anybody could touch it again. */
export interface Loss {
  /** performance.now() when it was noted. */
  readonly at: number
  /** What each partition was told to have accepted before. */
  readonly before: ReadonlyMap<number, Appended>
  /** The commits that each partition had last, before those that are gone were forgotten. */
  readonly lastCommits: ReadonlyMap<number, CommitRecord>
  readonly cause: string
  /** Redis' clock: what was stored up to then and is not in `states` is gone. */
  readonly atMs: number
  readonly states: ReadonlyMap<number, PartitionState>
}

/** Whether the sample with this receipt was stored before the loss and is gone: neither applied nor waiting. */
export function isLostBy(loss: Loss, receipt: string): boolean {
  const parsed = parseReceipt(receipt)
  if (parsed === undefined) return false
  const state = loss.states.get(parsed.partition)
  if (state === undefined || entryTimeMs(parsed.id) > loss.atMs) return false
  return compareEntryIds(parsed.id, state.checkpoint) > 0 && !state.waiting.has(parsed.id)
}
