import { RequestFault } from './problem.ts'

/** A page takes 10 ms of the event loop or more: samples and single keys must not wait for it. */
export const PAGE_LIMITS = { concurrent: 2, waitingMax: 200 } as const

/** Returns a function that runs `concurrent` pieces of work at a time, in order of arrival. */
export function createLimiter({ concurrent, waitingMax }: Record<'concurrent' | 'waitingMax', number>) {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running < concurrent) running++
    else if (waiting.length < waitingMax) await new Promise<void>(resolve => waiting.push(resolve))
    else throw new RequestFault({ kind: 'overloaded', reason: 'too many requests of this kind are waiting' })
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
