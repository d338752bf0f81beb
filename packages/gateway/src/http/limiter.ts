import { RequestFault } from './problem.ts'

/**
 * Pages are read so many at a time, and so many requests wait for their turn. A page takes 10 ms and more of the event loop
 * and dozens of calls of the store, and whoever asks for one key or brings samples must not queue behind them.
 */
export const PAGE_TURNS = { atOnce: 2, waitingMax: 200 } as const

/** Lets few pieces of work run at a time, first come, first served. */
export function createTurns({
  atOnce,
  waitingMax,
}: {
  readonly atOnce: number
  readonly waitingMax: number
}): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0
  const waiting: (() => void)[] = []
  return async work => {
    if (running < atOnce) running++
    else if (waiting.length < waitingMax) await new Promise<void>(resolve => waiting.push(resolve))
    else
      throw new RequestFault({
        kind: 'overloaded',
        reason: 'too many such requests wait for their turn',
        retryAfterS: 1,
      })
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
