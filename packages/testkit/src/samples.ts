import { packFlat } from '@tidemark/shared/sample/entry'
import { partitionOf } from '@tidemark/shared/sample/partition'
import type { Sample } from '@tidemark/shared/sample/sample'

/** Returns an entry's field `s` for `samples`, as a gateway writes it. */
export function packSamples(samples: readonly Sample[]): string {
  return packFlat(samples.flatMap(({ key, value, timestamp }) => [key, value, timestamp]))
}

/** Returns the first `count` of the keys "key 0", "key 1", ... that belong to `partition`. */
export function keysOf(partition: number, partitions: number, count: number): string[] {
  const keys: string[] = []
  for (let i = 0; keys.length < count; i++) {
    if (partitionOf(`key ${i}`, partitions) === partition) keys.push(`key ${i}`)
  }
  return keys
}
