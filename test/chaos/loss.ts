import { compareEntryIds, entryTimeMs, parseReceipt } from '@tidemark/shared/sample/receipt'
import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import type { Appended, CommitRecord } from './audit.ts'
import type { PartitionState } from './partition-state.ts'

/** The faults that each durability level survives without losing a sample accepted with 202. */
export const SURVIVABLE: Record<DurabilityLevel, readonly string[]> = {
  memory: [],
  local: ['redis-kill'],
  disk: ['redis-kill', 'power-loss'],
  replicated: ['redis-kill', 'failover'],
}

/** A data loss: what Redis still had of each affected partition right after the fault. */
export interface Loss {
  /** When it was recorded, performance.now(). */
  readonly at: number
  /** What each partition had accepted before. */
  readonly before: ReadonlyMap<number, Appended>
  /** The last commit of each partition before the loss. */
  readonly lastCommits: ReadonlyMap<number, CommitRecord>
  readonly cause: string
  /** Redis' clock in ms. What was stored before and is not in `states` is lost. */
  readonly atMs: number
  readonly states: ReadonlyMap<number, PartitionState>
}

/** Whether the sample with this receipt was lost: neither applied nor unprocessed. */
export function isLostBy(loss: Loss, receipt: string): boolean {
  const parsed = parseReceipt(receipt)
  if (parsed === undefined) return false
  const state = loss.states.get(parsed.partition)
  if (state === undefined || entryTimeMs(parsed.id) > loss.atMs) return false
  return compareEntryIds(parsed.id, state.checkpoint) > 0 && !state.unprocessed.has(parsed.id)
}
