import type { EventLoopLag } from '../support/event-loop-lag.ts'
import type { Audit } from './audit.ts'
import type { Disturbances } from './disturbance.ts'
import type { Kill } from './world.ts'

/** Allowed time for a takeover beyond the lease TTL and a heartbeat. */
const MARGIN_MS = 1000

/** The time from a kill to the next lease and the next commit on a partition of that process. */
export interface Takeover {
  readonly process: string
  readonly partition: number
  /** Milliseconds; undefined if it did not happen before the end of the run. */
  readonly leasedMs: number | undefined
  readonly committedMs: number | undefined
  /** The bound of I9 for the next lease, in milliseconds after the kill. */
  readonly dueMs: number
}

export interface TakeoverOptions {
  readonly audit: Audit
  readonly disturbances: Disturbances
  readonly eventLoopLag: EventLoopLag
  readonly leaseTtlMs: number
  readonly heartbeatMs: number
  /** When the analyzers were stopped. */
  readonly endAt: number
}

/**
 * Computes I9: after a kill, a partition is leased again within the lease TTL, a heartbeat, a
 * second and the lag of this process and of the analyzers. If something else delayed it, such as
 * another kill or an unavailable Redis, the time counts from the end of that.
 */
export function takeoversAfter(kills: readonly Kill[], options: TakeoverOptions): Takeover[] {
  const { audit, disturbances, eventLoopLag, leaseTtlMs, heartbeatMs, endAt } = options
  const applied = [...audit.rolledBack, ...audit.commits].filter(({ result }) => result === 'ok')
  return kills.flatMap(({ process, at, partitions }) =>
    partitions.map(partition => {
      const isNext = (one: { partition: number; token: string; at: number }): boolean =>
        one.partition === partition && one.at > at && !one.token.startsWith(`${process}:`)
      const leasedAt = audit.acquisitions.find(isNext)?.at
      const times = applied.filter(isNext).map(commit => commit.at)
      const from = disturbances.lastEnd(at, leasedAt ?? endAt)
      const lagMs = eventLoopLag.between(from, leasedAt ?? endAt)
      return {
        process,
        partition,
        leasedMs: leasedAt === undefined ? undefined : leasedAt - at,
        committedMs: times.length === 0 ? undefined : Math.min(...times) - at,
        dueMs: from - at + leaseTtlMs + heartbeatMs + MARGIN_MS + lagMs,
      }
    }),
  )
}

/** Returns the violation of a late takeover; undefined if it was in time. */
export function takeoverViolation({ process, partition, leasedMs, dueMs }: Takeover): string | undefined {
  const what = `I9: partition ${partition} of the killed ${process}`
  if (leasedMs === undefined) return `${what} was never leased again`
  if (leasedMs <= dueMs) return undefined
  return `${what} was leased again after ${Math.round(leasedMs)} ms; the limit is ${Math.round(dueMs)} ms`
}

/** Returns the value that `share` of the numbers do not exceed; NaN if there are none. */
export function percentile(numbers: readonly (number | undefined)[], share: number): number {
  const sorted = numbers.filter(number => number !== undefined).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
