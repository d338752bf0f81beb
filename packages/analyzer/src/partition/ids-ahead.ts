import type { Context } from '../context.ts'

/**
 * Returns a function that reports how far the ids of entries are ahead of the store's clock: as a
 * metric, and in the log when that begins and ends.
 */
export function createIdsAheadWatch({ metrics, log }: Pick<Context, 'metrics' | 'log'>) {
  let wasAhead = false
  return (workers: readonly { readonly partition: number; readonly idsAheadMs: number }[]): void => {
    const ahead = workers.filter(({ idsAheadMs }) => idsAheadMs > 0)
    const seconds = Math.max(0, ...ahead.map(({ idsAheadMs }) => idsAheadMs)) / 1000
    metrics.idsAheadSeconds.set(seconds)
    if (ahead.length > 0 !== wasAhead) {
      const partitions = ahead.slice(0, 10).map(({ partition }) => partition)
      if (wasAhead) log.info("the ids of entries are no longer ahead of Redis' clock")
      else {
        log.warn(
          { partitions, seconds },
          "the ids of entries are ahead of Redis' clock, which was ahead before or is wrong now; until it has caught up, samples are taken to arrive when they are read",
        )
      }
    }
    wasAhead = ahead.length > 0
  }
}
