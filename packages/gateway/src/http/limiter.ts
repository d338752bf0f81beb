import { FairBudget, type Share } from '../limits/fair-budget.ts'
import type { GatewayMetrics, Limit } from '../metrics.ts'
import { RequestFault } from './problem.ts'

/** A page takes 10 ms of the event loop or more: samples and single keys must not wait for it. */
export const PAGE_LIMITS = { concurrent: 2, waitingMax: 200 } as const

export type Limiter = ReturnType<typeof createLimiter>

interface LimiterOptions {
  readonly concurrent: number
  readonly waitingMax: number
  readonly limit: Limit
  readonly metrics: Pick<GatewayMetrics, 'limitReached' | 'watchLimit'>
}

/**
 * Returns a function that runs `concurrent` pieces of work at a time, in order of arrival. `share`
 * is how many of them the client has waiting: no client can keep others from waiting.
 */
export function createLimiter({ concurrent, waitingMax, limit, metrics }: LimiterOptions) {
  let running = 0
  const waiting: (() => void)[] = []
  const budget = new FairBudget(waitingMax)
  metrics.watchLimit(limit, () => waiting.length)
  return async <T>(share: Share, work: () => Promise<T>): Promise<T> => {
    if (running < concurrent) running++
    else if (budget.hasRoomFor(share, 1)) {
      budget.take(share, 1)
      await new Promise<void>(resolve => waiting.push(resolve))
      budget.giveBack(share, 1)
    } else {
      metrics.limitReached(limit)
      throw new RequestFault({ kind: 'overloaded', reason: 'too many requests of this kind are waiting' })
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
