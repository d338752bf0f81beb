import type { Bucket } from '@tidemark/shared/aggregates/bucket'
import { firstTogether, LEVELS, type Level } from '@tidemark/shared/aggregates/levels'
import type { LevelBuckets } from '@tidemark/shared/aggregates/reading'

/** A sample that was analysed. */
export interface AggregatedSample {
  readonly value: number
  readonly timestamp: number
  /** When it arrived. */
  readonly time: number
  readonly isFlagged: boolean
}

type Samples = readonly AggregatedSample[]

interface OracleLevel {
  open: number
  readonly buckets: Map<number, AggregatedSample[]>
}

/** Newer buckets than the clock's by so much were opened by a clock that was ahead. */
const AHEAD_MS = 60_000

/**
 * Returns the samples of each bucket that is kept of a key, finest level first, by the rules that
 * docs/decisions/0026 states: from lists of samples, each level for itself.
 */
export function oracleAggregates(samples: Samples): (readonly [start: number, samples: Samples])[][] {
  const levels = LEVELS.map((): OracleLevel => ({ open: Number.NEGATIVE_INFINITY, buckets: new Map() }))
  for (const sample of samples) {
    const numbers = LEVELS.map(({ stepMs }) => Math.floor(sample.timestamp / stepMs))
    const [finest, middle, coarsest] = levels as [OracleLevel, OracleLevel, OracleLevel]
    const isLate = (numbers[0] as number) < finest.open
    if (isLate && finest.open * LEVELS[0].stepMs - Math.max(sample.time, sample.timestamp) > AHEAD_MS) {
      const dropped = new Set(middle.buckets.get(middle.open))
      const kept = coarsest.buckets.get(coarsest.open) ?? []
      coarsest.buckets.set(
        coarsest.open,
        kept.filter(one => !dropped.has(one)),
      )
      for (const [i, level] of levels.entries()) {
        const number = numbers[i] as number
        const from = firstTogether(number, LEVELS[i] as Level)
        for (let one = from; number < level.open && one <= level.open; one++) level.buckets.delete(one)
        level.open = Math.min(level.open, number)
      }
    }
    for (const [i, { open, buckets }] of levels.entries()) {
      const number = numbers[i] as number
      if (number < open) continue
      const level = levels[i] as OracleLevel
      level.open = number
      buckets.set(number, [...(buckets.get(number) ?? []), sample])
      const { kept, together } = LEVELS[i] as Level
      // What has left the range is only gone when its place in the ring is written.
      const written = firstTogether(number, { together })
      for (const one of buckets.keys()) if (one < written - kept) buckets.delete(one)
    }
  }
  return levels.map(({ open, buckets }, i) =>
    [...buckets]
      .filter(([number, { length }]) => length > 0 && number > open - (LEVELS[i]?.kept ?? 0))
      .sort(([a], [b]) => a - b)
      .map(([number, ofBucket]) => [number * (LEVELS[i]?.stepMs ?? 0), ofBucket] as const),
  )
}

/** Returns where the aggregates of a key differ from the oracle's by more than records round. */
export function aggregateFaults(samples: Samples, found: readonly LevelBuckets[]): string[] {
  const base = samples[0]?.value ?? 0
  return oracleAggregates(samples).flatMap((expected, i) => {
    const { stepMs, buckets } = found[i] ?? { stepMs: 0, buckets: [] }
    const starts = expected.map(([start]) => start).join()
    const stored = buckets.map(({ start }) => start).join()
    if (starts !== stored) return [`buckets of ${stepMs} ms begin at ${stored}, expected ${starts}`]
    return buckets.flatMap((bucket, at) => {
      const isOpen = at === buckets.length - 1
      const fault = bucketFault(bucket, expected[at]?.[1] ?? [], { base, isOpen })
      return fault === undefined ? [] : [`bucket of ${stepMs} ms at ${bucket.start}: ${fault}`]
    })
  })
}

function bucketFault(
  bucket: Bucket,
  samples: Samples,
  { base, isOpen }: { readonly base: number; readonly isOpen: boolean },
): string | undefined {
  const values = samples.map(({ value }) => value)
  const [min, max, count] = [Math.min(...values), Math.max(...values), values.length]
  const mean = base + values.reduce((sum, value) => sum + (value - base), 0) / count
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const spread = max - min
  const rounding = 1e-9 * Math.max(...values.map(Math.abs), Math.abs(base)) * (isOpen ? 1e-3 : 1)
  // The last digits of what record.ts keeps.
  const ofMin = isOpen ? 0 : Math.abs(min - base) * 2 ** -16 + 1e-38
  const ofSpread = isOpen ? 0 : (spread + ofMin) * 2 ** -15
  const deviation = Math.sqrt(squares / count)
  const half = (spread + ofMin + ofSpread) / 2
  const ofDeviation = isOpen
    ? 1e-6 * deviation
    : 2 * Math.sqrt(deviation / (half || 1)) * half * 2 ** -10 + half * 2 ** -19
  const limits = {
    count: [count, isOpen ? 0 : count > 8191 ? count / 8192 : 0],
    anomalies: [samples.filter(({ isFlagged }) => isFlagged).length, isOpen || count < 256 ? 0 : count / 64],
    min: [min, count === 1 ? 0 : 2 * ofMin],
    max: [max, count === 1 ? 0 : 2 * (ofMin + ofSpread)],
    mean: [mean, count === 1 ? 0 : ofMin + ofSpread + spread * 2 ** -13],
    deviation: [deviation, ofDeviation + ofMin + ofSpread],
  } as const
  for (const [name, [expected, limit]] of Object.entries(limits)) {
    const found = bucket[name as keyof typeof limits]
    if (found !== null && Math.abs(found - expected) <= limit + rounding) continue
    return `${name} is ${found}, expected ${expected} within ${limit + rounding}`
  }
  return undefined
}
