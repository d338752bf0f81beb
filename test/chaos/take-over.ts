import type { Audit } from './audit.ts'
import type { Disturbances } from './disturbance.ts'
import type { Slowness } from './slowness.ts'
import type { Kill } from './world.ts'

/** What taking a lease may take beyond the lease's life and a heartbeat. */
const MARGIN_MS = 1000

/** From a kill to the next lease and to the next commit on a partition that the killed process owned. */
export interface TakeOver {
  readonly process: string
  readonly partition: number
  /** Milliseconds; undefined when that did not come before the end of the run. */
  readonly leasedMs: number | undefined
  readonly committedMs: number | undefined
  /** By when the lease had to come, in milliseconds after the kill. */
  readonly dueMs: number
}

export interface TakeOverOptions {
  readonly audit: Audit
  readonly disturbances: Disturbances
  readonly slowness: Slowness
  readonly leaseTtlMs: number
  readonly heartbeatMs: number
  /** When analyzers were stopped. */
  readonly endAt: number
}

/**
 * I9: a killed owner's partition is leased again within the lease's life, a heartbeat and a second, and what the machine was
 * slower. Where something else stood in the way meanwhile, another kill or Redis away, that counts from the end of it.
 */
export function takeOversAfter(kills: readonly Kill[], options: TakeOverOptions): TakeOver[] {
  const { audit, disturbances, slowness, leaseTtlMs, heartbeatMs, endAt } = options
  const applied = [...audit.forgotten, ...audit.commits].filter(({ outcome }) => outcome === 'ok')
  return kills.flatMap(({ process, at, partitions }) =>
    partitions.map(partition => {
      const isNext = (one: { partition: number; token: string; at: number }): boolean =>
        one.partition === partition && one.at > at && !one.token.startsWith(`${process}:`)
      const leasedAt = audit.acquisitions.find(isNext)?.at
      const times = applied.filter(isNext).map(commit => commit.at)
      const from = disturbances.lastEnd(at, leasedAt ?? endAt)
      const slowMs = slowness.between(from, leasedAt ?? endAt)
      return {
        process,
        partition,
        leasedMs: leasedAt === undefined ? undefined : leasedAt - at,
        committedMs: times.length === 0 ? undefined : Math.min(...times) - at,
        dueMs: from - at + leaseTtlMs + heartbeatMs + MARGIN_MS + slowMs,
      }
    }),
  )
}

/** What is wrong with a take-over; undefined when nothing is. */
export function breachOf({ process, partition, leasedMs, dueMs }: TakeOver): string | undefined {
  const what = `I9: partition ${partition} of the killed ${process}`
  if (leasedMs === undefined) return `${what} was never leased again`
  if (leasedMs <= dueMs) return undefined
  return `${what} was leased again after ${Math.round(leasedMs)} ms, and should have been after ${Math.round(dueMs)} ms`
}

/** The value that `share` of the numbers do not exceed; NaN when there are none. */
export function percentile(numbers: readonly (number | undefined)[], share: number): number {
  const sorted = numbers.filter(number => number !== undefined).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
