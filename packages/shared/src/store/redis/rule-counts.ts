import type { Keys } from '../keys.ts'
import type { Client } from './connection.ts'
import { mapErrors } from './errors.ts'

/** Reads the totals of a partition's rule counts. */
export function readRuleCounts(client: Client, keys: Keys, partition: number): Promise<ReadonlyMap<string, number>> {
  return mapErrors(async () => {
    const found = await client.hgetall(keys.partition(partition).ruleCounts)
    return new Map(Object.entries(found).map(([name, count]) => [name, Number(count)]))
  })
}
