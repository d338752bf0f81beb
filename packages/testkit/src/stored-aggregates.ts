import { LEVELS, type Level } from '@tidemark/shared/aggregates/levels'
import {
  addToBuckets,
  baseOf,
  type ClosedBuckets,
  OPEN_BUCKETS_LENGTH,
  OPEN_LENGTH,
  placeIn,
} from '@tidemark/shared/aggregates/open-buckets'
import { ClosedRecords } from '@tidemark/shared/aggregates/rings'
import { type AggregateUpdates, restField } from '@tidemark/shared/store/ports/aggregates'
import type { AggregatedSample } from './aggregates-oracle.ts'

/** Returns what a commit stores of the buckets of a new key. */
export function aggregatesOf(key: string, samples: readonly AggregatedSample[]): AggregateUpdates {
  const place = { numbers: new Float64Array(OPEN_BUCKETS_LENGTH), at: 0 }
  const all: ClosedRecords[] = []
  const closed: ClosedBuckets = {
    close(level, { number, next, isFirst }) {
      const of = LEVELS[level] as Level
      const records = new ClosedRecords(of, isFirst ? number - of.kept + 1 : number)
      records.addEmpty(number - records.next)
      records.add(place.numbers, placeIn(level), baseOf(place))
      records.addEmpty(next - records.next)
      all.push(records)
    },
    erase(level, { number, next }) {
      const records = new ClosedRecords(LEVELS[level] as Level, number)
      records.addEmpty(next - number)
      all.push(records)
    },
  }
  for (const sample of samples) addToBuckets(place, sample, closed)
  const bytes = new Uint8Array(place.numbers.buffer)
  return {
    states: [
      { field: key, bytes: bytes.subarray(0, 8 * OPEN_LENGTH) },
      { field: restField(key), bytes: bytes.subarray(8 * OPEN_LENGTH) },
    ],
    writes: all.flatMap(records => records.writes.map(write => ({ key, ...write }))),
  }
}
