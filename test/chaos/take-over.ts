import type { Audit } from './audit.ts'
import type { Kill } from './world.ts'

/** Milliseconds from a kill to the next lease and to the next commit on a partition that the killed process owned. */
export interface TakeOver {
  readonly process: string
  readonly partition: number
  /** Undefined when that did not come before the end of the run. */
  readonly leasedMs: number | undefined
  readonly committedMs: number | undefined
}

export function takeOversAfter(kills: readonly Kill[], { acquisitions, commits, forgotten }: Audit): TakeOver[] {
  const applied = [...forgotten, ...commits].filter(({ outcome }) => outcome === 'ok')
  return kills.flatMap(({ process, at, partitions }) =>
    partitions.map(partition => {
      const isNext = (one: { partition: number; token: string; at: number }): boolean =>
        one.partition === partition && one.at > at && !one.token.startsWith(`${process}:`)
      const lease = acquisitions.find(isNext)
      const times = applied.filter(isNext).map(commit => commit.at)
      return {
        process,
        partition,
        leasedMs: lease === undefined ? undefined : lease.at - at,
        committedMs: times.length === 0 ? undefined : Math.min(...times) - at,
      }
    }),
  )
}

/** The value that `share` of the numbers do not exceed; NaN when there are none. */
export function percentile(numbers: readonly (number | undefined)[], share: number): number {
  const sorted = numbers.filter(number => number !== undefined).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
}
