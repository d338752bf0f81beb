import { LEVELS, type Level } from '@tidemark/shared/aggregates/levels'
import {
  addToBuckets,
  baseOf,
  type ClosedBuckets,
  createOpenBuckets,
  OPEN_LENGTH,
  PER_MINUTE,
  placeIn,
} from '@tidemark/shared/aggregates/open-buckets'
import { ClosedRecords } from '@tidemark/shared/aggregates/rings'
import { type AggregateUpdates, restField } from '@tidemark/shared/store/ports/aggregates'
import type { AggregatedSample } from './aggregates-oracle.ts'

/** Returns what a commit stores of the buckets of a new key. */
export function aggregatesOf(key: string, samples: readonly AggregatedSample[]): AggregateUpdates {
  const place = createOpenBuckets(1)
  const all: ClosedRecords[] = []
  function recordsFrom(level: number, number: number, first: number): ClosedRecords {
    const records = new ClosedRecords(LEVELS[level] as Level, first)
    records.addEmpty(number - first)
    all.push(records)
    return records
  }
  const closed: ClosedBuckets = {
    close(level, number, next, isFirst) {
      const { kept } = LEVELS[level] as Level
      const records = recordsFrom(level, number, isFirst ? number + 1 - kept : number)
      records.add(place.numbers, placeIn(level), baseOf(place))
      records.addEmpty(next - records.next)
    },
    closeMinute(words, number, next, isFirst) {
      const records = recordsFrom(0, number, isFirst ? number + PER_MINUTE - LEVELS[0].kept : number)
      records.addWords(words)
      records.addEmpty(next - records.next)
    },
    erase: (level, number, next) => recordsFrom(level, number, number).addEmpty(next - number),
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
