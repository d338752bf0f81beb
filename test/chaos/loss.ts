import { compareEntryIds, entryTimeMs, parseReceipt } from '@tidemark/shared/receipt'
import type { PartitionState } from './partition-state.ts'

/** Redis lost data: what it still had of each struck partition before anybody could touch it again. */
export interface Loss {
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
