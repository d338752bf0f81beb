import type { Keys } from '../keys.ts'
import type { Client } from './connection.ts'
import { asked } from './errors.ts'

/** All that was counted of a partition's samples for rules. */
export function readRuleCounts(client: Client, keys: Keys, partition: number): Promise<ReadonlyMap<string, number>> {
  return asked(async () => {
    const found = await client.hgetall(keys.partition(partition).ruleCounts)
    return new Map(Object.entries(found).map(([name, count]) => [name, Number(count)]))
  })
}
