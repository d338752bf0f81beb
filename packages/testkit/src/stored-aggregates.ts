import { addToBuckets, COUNT_THEN, createOpenBuckets, PUSHED_THEN } from '@tidemark/shared/aggregates/open-buckets'
import { RingWrites } from '@tidemark/shared/aggregates/rings'
import type { AggregateUpdates } from '@tidemark/shared/store/ports/aggregates'
import type { AggregatedSample } from './aggregates-oracle.ts'

/** Returns what a commit stores of the buckets of a new key. */
export function aggregatesOf(key: string, samples: readonly AggregatedSample[]): AggregateUpdates {
  const place = createOpenBuckets(1)
  const closed = new RingWrites()
  for (const sample of samples) addToBuckets(place, sample, closed)
  place.numbers[COUNT_THEN] = place.numbers[PUSHED_THEN] = samples.length
  const writes = closed.writes.map(write => ({ key, ...write }))
  return { states: [{ key, bytes: new Uint8Array(place.numbers.buffer) }], writes }
}
