import type { EntryId } from '../../sample/receipt.ts'
import type { Client } from './connection.ts'

/** Entries that one step reads at most. */
const STEP_MAX = 200

type StreamEntry = readonly [id: EntryId, fields: readonly string[]]

/**
 * Reads a stream backwards, from its end or from an id, until `pick` has returned `count` results;
 * it returns undefined for an entry to leave out. Steps begin with `count` entries and double, so
 * that few are read in vain.
 */
export async function readNewest<T>(
  client: Client,
  key: string,
  count: number,
  pick: (entry: StreamEntry) => T | undefined,
  from = '+',
): Promise<T[]> {
  const picked: T[] = []
  let upTo = from
  for (let step = Math.min(STEP_MAX, count); ; step = Math.min(STEP_MAX, 2 * step)) {
    const entries = await client.xrevrange(key, upTo, '-', 'COUNT', step)
    for (const entry of entries) {
      const result = pick(entry)
      if (result !== undefined) picked.push(result)
      if (picked.length === count) return picked
    }
    const last = entries.at(-1)
    if (last === undefined || entries.length < step) return picked
    upTo = `(${last[0]}`
  }
}
