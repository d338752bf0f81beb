import { randomUUID } from 'node:crypto'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { KEY_LISTS, type KeySelection } from '@tidemark/shared/store/ports/keys'
import type { Store } from '@tidemark/shared/store/ports/store'
import { RequestFault } from '../http/problem.ts'

/** How long a request waits for the owners of its partitions, and how often it looks. */
const WAIT_MS = 5000
const LOOK_EVERY_MS = 50

/** Keys of one look while keys are counted. */
const LOOK_KEYS = 1000

interface DeletionResult {
  readonly deleted: number
  /** Partitions whose owner has not done it yet. */
  readonly pending: number
}

/**
 * Requests a deletion from the owners of the keys' partitions, since only they may change what they
 * hold in memory, and waits for a while until they have done it.
 */
export async function deleteKeys(store: Store, wanted: KeySelection): Promise<DeletionResult> {
  const id = `${Date.now()}-${randomUUID().slice(0, 8)}`
  const partitions = partitionsOf(store, wanted)
  const outcomes = await Promise.all(partitions.map(number => store.keys.requestDeletion(number, id, wanted)))
  if (outcomes.includes('limit-reached')) {
    throw new RequestFault({ kind: 'overloaded', reason: 'too many deletions of keys are pending', retryAfterS: 5 })
  }
  const until = performance.now() + WAIT_MS
  for (;;) {
    const progress = await Promise.all(partitions.map(number => store.keys.deletionProgress(number, id)))
    const pending = progress.filter(({ isDone }) => !isDone).length
    const deleted = progress.reduce((sum, one) => sum + one.deleted, 0)
    if (pending === 0 || performance.now() >= until) return { deleted, pending }
    await pause(LOOK_EVERY_MS)
  }
}

/** Counts the keys that a deletion would remove. */
export async function countKeys(store: Store, wanted: KeySelection): Promise<number> {
  if ('key' in wanted) return (await isKnown(store, wanted.key)) ? 1 : 0
  let count = 0
  for (const partition of partitionsOf(store, wanted)) {
    const found = new Set<string>()
    for (const list of KEY_LISTS) {
      let cursor = '0'
      do {
        const scan = { list, cursor, count: LOOK_KEYS, prefix: wanted.prefix }
        const { keys, next } = await store.keys.scan(partition, scan)
        for (const key of keys) found.add(key)
        cursor = next
      } while (cursor !== '0')
    }
    count += found.size
  }
  return count
}

/** Whether a sample of the key was accepted since its last eviction. */
export async function isKnown(store: Store, key: string): Promise<boolean> {
  const [state] = await store.keys.lookUp([{ partition: partitionOf(key, store.partitions), key }])
  return state !== 'new'
}

function partitionsOf({ partitions }: Store, wanted: KeySelection): number[] {
  if ('key' in wanted) return [partitionOf(wanted.key, partitions)]
  return Array.from({ length: partitions }, (_, number) => number)
}
