import type { Total } from '@tidemark/shared/store/ports/totals'

/**
 * Returns the mean of the values that came between two points of a cumulative series; undefined if
 * none came, or the point before is not known. A series restarts where its count falls, or begins
 * after the point before: all of it came since. `start` is when the count of `total` began. That
 * may be the millisecond of its first point.
 */
export function meanSince(before: Total | undefined, total: Total, start: number | undefined): number | undefined {
  if (before === undefined) return undefined
  const isReset = total.count < before.count || (start !== undefined && start > before.time)
  const count = isReset ? total.count : total.count - before.count
  const sum = isReset ? total.sum : total.sum - before.sum
  return count > 0 ? sum / count : undefined
}
