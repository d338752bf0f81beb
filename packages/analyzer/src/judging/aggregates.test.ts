import { LEVELS, type RingName } from '@tidemark/shared/aggregates/levels'
import { decodeAggregates, type LevelBuckets } from '@tidemark/shared/aggregates/reading'
import { writeTo } from '@tidemark/shared/aggregates/rings'
import { CALM, FIRING, OK, PHASE } from '@tidemark/shared/detection/alerts/state'
import type { Judged } from '@tidemark/shared/detection/judge'
import { ALERT, COUNT, createRow, type KeyRow, PUSHED, pushSample, rowShape } from '@tidemark/shared/detection/key-row'
import { encodeRow, storedLengthMax } from '@tidemark/shared/detection/window-row'
import type { AggregateUpdates } from '@tidemark/shared/store/ports/aggregates'
import { type AggregatedSample, aggregateFaults } from '@tidemark/testkit/aggregates-oracle'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Aggregates } from './aggregates.ts'

const BEGIN = 1_700_000_100_000
const KEY = 'a'
const SLOT = 5

/** What is stored of one key. */
class Stored {
  states = 0
  open: Uint8Array | null = null
  row = new Uint8Array()
  readonly rings: Record<RingName, Uint8Array> = { hours: new Uint8Array(), days: new Uint8Array() }
  written = 0

  /** Stores what an owner has of the key. */
  commit(owner: Aggregates, row: KeyRow): void {
    owner.completeRow(SLOT, row)
    const { states, writes }: AggregateUpdates = { states: [], writes: [] }
    owner.update(SLOT, KEY, { states, writes })
    for (const { bytes } of states) this.open = bytes.slice()
    this.states += states.length
    for (const write of writes) {
      this.rings[write.ring] = writeTo(this.rings[write.ring], write)
      this.written += write.bytes.length
    }
    this.row = bytesOf(row)
  }

  get levels(): LevelBuckets[] {
    const { open, rings, row } = this
    return (open && decodeAggregates({ open, rings, window: { row, tail: null } })) ?? []
  }
}

interface Commits {
  /** Samples of a commit. */
  readonly size: number
  /** Commits after which another owner goes on from what is stored. */
  readonly takeovers: number
  readonly window?: number
}

function copyOf(row: KeyRow): KeyRow {
  const copy = createRow(row.shape)
  copy.rows.set(row.rows)
  return copy
}

function bytesOf(row: KeyRow): Uint8Array<ArrayBuffer> {
  const encoded = new Float64Array(storedLengthMax(row.shape))
  return new Uint8Array(encoded.buffer, 0, 8 * encodeRow(row, encoded, 0))
}

/** A sample, and whether it is kept out of the window, which only happens to flagged ones. */
interface FollowedSample extends AggregatedSample {
  readonly isHeld?: boolean
  /** Whether an alert opens before it, or ends if one fires. */
  readonly isTurn?: boolean
}

/** Does to a row what an alert does. */
function stepAlert({ rows }: KeyRow, isTurn: boolean): void {
  const isFiring = rows[ALERT + PHASE] === FIRING
  if (isTurn) rows[ALERT + PHASE] = isFiring ? OK : FIRING
  if (isTurn || isFiring) rows[ALERT + CALM] = isTurn ? 0 : (rows[ALERT + CALM] as number) + 1
}

function add(owner: Aggregates, row: KeyRow, sample: FollowedSample): void {
  const { value, isFlagged, timestamp, time, isHeld = false, isTurn = false } = sample
  const { rows, shape } = row
  const pushed = rows[PUSHED] as number
  const newest = pushed === 0 ? 0 : (rows[shape.timesAt + ((pushed - 1) % shape.capacity)] as number)
  rows[COUNT] = (rows[COUNT] as number) + 1
  if (!(isHeld && isFlagged)) pushSample(row, value, timestamp)
  stepAlert(row, isTurn)
  const order = timestamp < newest ? 'late' : 'in_order'
  const judged = { isFlagged, order, count: rows[COUNT] as number } as Judged
  owner.follow(SLOT, row, judged, value, timestamp, time)
}

function aggregate(samples: readonly FollowedSample[], { size, takeovers, window = 50 }: Commits): Stored {
  const stored = new Stored()
  let row = createRow(rowShape(window, 'zscore', false))
  let owner = new Aggregates()
  owner.load(SLOT, row, null)
  for (let at = 0, commits = 1; at < samples.length; at += size, commits++) {
    for (const sample of samples.slice(at, at + size)) add(owner, row, sample)
    stored.commit(owner, row)
    if (commits % takeovers !== 0) continue
    // Work whose commit never arrived.
    const before = copyOf(row)
    const lost = { value: 1e6, isFlagged: commits % 2 === 0, timestamp: BEGIN + 1e9, time: BEGIN + 1e9 }
    for (let i = 0; i < commits % 60; i++) add(owner, row, lost)
    row = before
    owner = new Aggregates()
    owner.load(SLOT, row, stored.open)
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

const flag = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ isFlagged: false, isHeld: false }) },
  { weight: 1, arbitrary: fc.constant({ isFlagged: true, isHeld: false }) },
  { weight: 1, arbitrary: fc.constant({ isFlagged: true, isHeld: true }) },
)

const turn = fc.integer({ min: 0, max: 20 }).map(one => one === 1)

const signal = fc.array(fc.tuple(value, step, ahead, flag, turn), { minLength: 1, maxLength: 300 }).map(steps => {
  let at = BEGIN
  let now = BEGIN
  return steps.map(([value, step, ahead, flag, isTurn]): FollowedSample => {
    at += step
    now = Math.max(now, at)
    return { value, timestamp: at + ahead, time: now, isTurn, ...flag }
  })
})

test('after any commits and takeovers, the buckets of random samples are those of the oracle', () => {
  const commits = fc.record({
    size: fc.integer({ min: 1, max: 80 }),
    takeovers: fc.integer({ min: 1, max: 5 }),
    window: fc.constantFrom(2, 7, 50, 200),
  })
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
  const samples = regular(1920, 5000)
  const before = aggregate(samples, { size: 1, takeovers: 5000 })
  const after = aggregate([...samples, ...regular(1920 + 48, 5000).slice(1920)], { size: 1, takeovers: 5000 })
  // Four minutes: six buckets of 10 s each.
  expect(after.written - before.written).toBe(12 * 4 * (6 + 1))
})

test('of regular samples, few are stored with their buckets', () => {
  const samples = regular(4800, 1000)
  expect(aggregate(samples, { size: 1, takeovers: 7 }).states).toBe(1 + 99)
})

test('after a version without aggregates went on with the window, they go on with a gap', () => {
  // None of them waits: the other version takes those with it.
  const samples = regular(1 + 2 * 48, 1000)
  const stored = aggregate(samples, { size: 1, takeovers: 1000 })
  const row = createRow(rowShape(50, 'zscore', false))
  for (const { value, timestamp } of regular(400, 1000)) {
    row.rows[COUNT] = (row.rows[COUNT] as number) + 1
    pushSample(row, value, timestamp)
  }
  const owner = new Aggregates()
  owner.load(SLOT, row, stored.open)
  const later = regular(500, 1000).slice(400)
  for (const [i, sample] of later.entries()) {
    add(owner, row, sample)
    stored.commit(owner, row)
    // Another owner finds nothing missing that this one had.
    if (i === 3) owner.load(SLOT, row, stored.open)
  }
  expect(aggregateFaults([...samples, ...later], stored.levels)).toEqual([])
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

test.each([
  [1003, 1003],
  [20.35, 20.35],
  [-123_456, -123_456],
  [1003, 999.5],
  [0.000123, 20],
  [1e9 + 0.001, 1e9],
])('a bucket of nothing but %d has no other least, greatest or mean value (first value %d)', (value, first) => {
  const at = (ms: number) => ({ timestamp: BEGIN + ms, time: BEGIN + ms, isFlagged: false })
  const samples = [
    { value: first, ...at(0) },
    ...Array.from({ length: 7 }, (_, i) => ({ value, ...at(10_000 + i) })),
    { value: 5, ...at(60_000) },
  ]
  const bucket = aggregate(samples, { size: 100, takeovers: 100 }).levels[0]?.buckets[1]
  expect(bucket).toMatchObject({ count: 7, deviation: 0 })
  const { min, mean, max } = bucket ?? {}
  expect([mean, max]).toEqual([min, min])
  expect(min).toBeCloseTo(value, 2)
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
  stored.open = new Uint8Array(8 * 33).fill(7)
  const row = createRow(rowShape(50, 'zscore', false))
  const owner = new Aggregates()
  owner.load(SLOT, row, stored.open)
  expect(owner.unreadableCount).toBe(1)
  const later = regular(1100, 10_000).slice(1000)
  for (const sample of later) add(owner, row, sample)
  stored.commit(owner, row)
  expect(aggregateFaults(later, stored.levels)).toEqual([])
  expect(LEVELS).toHaveLength(stored.levels.length)
})
