import { LEVELS } from '@tidemark/shared/aggregates/levels'
import { decodeAggregates, type LevelBuckets } from '@tidemark/shared/aggregates/reading'
import type { AggregateUpdates } from '@tidemark/shared/store/ports/aggregates'
import { restField } from '@tidemark/shared/store/ports/aggregates'
import { type AggregatedSample, aggregateFaults } from '@tidemark/testkit/aggregates-oracle'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Aggregates } from './aggregates.ts'

const BEGIN = 1_700_000_100_000
const KEY = 'a'

/** What is stored of one key. */
class Stored {
  readonly fields = new Map<string, Uint8Array>()
  readonly rings = { hours: new Uint8Array(), days: new Uint8Array() }
  written = 0

  apply({ states, writes }: AggregateUpdates): void {
    for (const { field, bytes } of states) this.fields.set(field, bytes.slice())
    for (const { ring, at, bytes } of writes) {
      const before = this.rings[ring]
      this.rings[ring] = new Uint8Array(Math.max(before.length, at + bytes.length))
      this.rings[ring].set(before)
      this.rings[ring].set(bytes, at)
      this.written += bytes.length
    }
  }

  get open() {
    const [open, rest] = [this.fields.get(KEY), this.fields.get(restField(KEY))]
    return open === undefined || rest === undefined ? null : { open, rest }
  }

  get levels(): LevelBuckets[] {
    const { open, rings } = this
    return (open && decodeAggregates({ ...open, rings })) ?? []
  }
}

interface Commits {
  /** Samples of a commit. */
  readonly size: number
  /** Commits after which another owner goes on from what is stored. */
  readonly takeovers: number
}

function aggregate(samples: readonly AggregatedSample[], { size, takeovers }: Commits): Stored {
  const stored = new Stored()
  let owner = new Aggregates()
  owner.load(5, null)
  for (let at = 0, commits = 1; at < samples.length; at += size, commits++) {
    for (const { value, isFlagged, timestamp, time } of samples.slice(at, at + size)) {
      owner.add(5, value, isFlagged, timestamp, time)
    }
    const updates: AggregateUpdates = { states: [], writes: [] }
    owner.update(5, KEY, updates)
    stored.apply(updates)
    if (commits % takeovers !== 0) continue
    // Work whose commit never arrived.
    owner.add(5, 1e6, true, BEGIN + 1e9, BEGIN + 1e9)
    owner = new Aggregates()
    owner.load(5, stored.open)
  }
  return stored
}

const value = fc.oneof(
  fc.integer({ min: -1000, max: 1000 }),
  // The squares of smaller numbers are 0.
  fc.double({ min: -1e6, max: 1e6, noNaN: true }).map(one => (Math.abs(one) < 1e-100 ? 0 : one)),
  fc.double({ min: 1e9, max: 1e9 + 1e-3, noNaN: true }),
)
const MINUTE = 60_000
/** How much later than the one before it a sample was measured. */
const step = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 4000 }) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 20 * MINUTE }) },
  { weight: 2, arbitrary: fc.integer({ min: -20 * MINUTE, max: 0 }) },
  { weight: 1, arbitrary: fc.constantFrom(40 * MINUTE, 7 * 60 * MINUTE, 8 * 24 * 60 * MINUTE) },
)
const ahead = fc.oneof(
  { weight: 30, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.nat({ max: 100 * MINUTE }) },
)

const signal = fc.array(fc.tuple(value, step, ahead, fc.boolean()), { minLength: 1, maxLength: 300 }).map(steps => {
  let at = BEGIN
  let now = BEGIN
  return steps.map(([value, step, ahead, isFlagged]): AggregatedSample => {
    at += step
    now = Math.max(now, at)
    return { value, timestamp: at + ahead, time: now, isFlagged }
  })
})

test('after any commits and takeovers, the buckets of random samples are those of the oracle', () => {
  const commits = fc.record({ size: fc.integer({ min: 1, max: 40 }), takeovers: fc.integer({ min: 1, max: 5 }) })
  fc.assert(
    fc.property(signal, commits, (samples, commits) => {
      expect(aggregateFaults(samples, aggregate(samples, commits).levels)).toEqual([])
    }),
    { numRuns: 300 },
  )
})

/** One sample in each `intervalMs`. */
function regular(count: number, intervalMs: number): AggregatedSample[] {
  return Array.from({ length: count }, (_, i) => {
    const timestamp = BEGIN + i * intervalMs
    return { value: 20 + (i % 7) / 10, timestamp, time: timestamp, isFlagged: i % 50 === 0 }
  })
}

test('each level keeps its newest buckets, the open one included, in rings of a fixed size', () => {
  const stored = aggregate(regular(11_000, 60_000), { size: 7, takeovers: 100 })
  expect(stored.levels.map(({ buckets }) => buckets.length)).toEqual([30, 360, 672])
  expect(stored.rings.hours).toHaveLength(12 * (180 + 360))
  expect(stored.rings.days).toHaveLength(12 * 672)
})

test('closed buckets are written once, whatever the ring holds', () => {
  const samples = regular(2000, 5000)
  const before = aggregate(samples, { size: 1, takeovers: 5000 })
  const after = aggregate([...samples, ...regular(2024, 5000).slice(2000)], { size: 1, takeovers: 5000 })
  // Two minutes: six buckets of 10 s each.
  expect(after.written - before.written).toBe(12 * 2 * (6 + 1))
})

test('numbers of few digits are read as they were written', () => {
  const values = [20.3, 10.1, 99.87, 36.6]
  const samples = values.map((value, i) => ({ value, timestamp: BEGIN + i, time: BEGIN, isFlagged: i === 2 }))
  const next = { value: 5, timestamp: BEGIN + 60_000, time: BEGIN + 60_000, isFlagged: false }
  const [finest] = aggregate([...samples, next], { size: 100, takeovers: 100 }).levels
  expect(finest?.buckets[0]).toMatchObject({ start: BEGIN, count: 4, min: 10.1, max: 99.87, anomalies: 1 })
  expect(finest?.buckets[0]?.mean).toBeCloseTo(41.7175, 2)
  expect(finest?.buckets[0]?.deviation).toBeCloseTo(34.88, 1)
})

test('numbers too large for a record are null, and never wrong', () => {
  const huge = [1.7e308, -1.7e308, 1.6e308].map((value, i) => {
    return { value, timestamp: BEGIN + i, time: BEGIN, isFlagged: false }
  })
  const next = { value: 5, timestamp: BEGIN + 60_000, time: BEGIN + 60_000, isFlagged: false }
  const open = aggregate(huge, { size: 100, takeovers: 100 }).levels[0]?.buckets[0]
  expect(open).toMatchObject({ count: 3, min: -1.7e308, max: 1.7e308, deviation: null })
  expect(open?.mean).toBeCloseTo(1.6e308 / 3, -302)
  const closed = aggregate([...huge, next], { size: 100, takeovers: 100 }).levels[0]?.buckets[0]
  expect(closed).toMatchObject({ count: 3, min: null, max: null, mean: null, deviation: null })
})

test('after a sample of a clock that was ahead, those of the right time count again', () => {
  const hour = 3_600_000
  const samples = regular(600, 1000)
  const wrong = { value: 9, timestamp: BEGIN + 600_000 + hour, time: BEGIN + 600_000, isFlagged: false }
  const rest = regular(660, 1000).slice(600)
  const { levels } = aggregate([...samples, wrong, ...rest], { size: 50, takeovers: 3 })
  expect(aggregateFaults([...samples, wrong, ...rest], levels)).toEqual([])
  expect(levels[0]?.buckets.at(-1)).toMatchObject({ start: BEGIN + 650_000, count: 10 })
  expect(levels[2]?.buckets).toHaveLength(1)
})

test('a key whose stored buckets another program wrote starts again, and its rings with it', () => {
  const stored = aggregate(regular(1000, 10_000), { size: 10, takeovers: 1000 })
  stored.fields.set(KEY, new Uint8Array(56).fill(7))
  const owner = new Aggregates()
  owner.load(5, stored.open)
  expect(owner.unreadableCount).toBe(1)
  const later = regular(1100, 10_000).slice(1000)
  for (const { value, isFlagged, timestamp, time } of later) owner.add(5, value, isFlagged, timestamp, time)
  const updates: AggregateUpdates = { states: [], writes: [] }
  owner.update(5, KEY, updates)
  stored.apply(updates)
  expect(aggregateFaults(later, stored.levels)).toEqual([])
  expect(LEVELS).toHaveLength(stored.levels.length)
})
