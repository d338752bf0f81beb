/** Resolves in a later round of the event loop. */
export type Yield = () => Promise<void>

/**
 * Returns a function that yields the event loop. All partitions of a process share it: one waiting
 * caller goes on per round, first come, first served. If partitions processed their batches one
 * right after the other, no byte of a commit would leave the process before the last of them was
 * done: the store would wait for the analyzer, and then the analyzer for the store.
 */
export function createYield(): Yield {
  const waiting: (() => void)[] = []

  function resumeNext(): void {
    waiting.shift()?.()
    if (waiting.length > 0) setImmediate(resumeNext)
  }

  return () =>
    new Promise(resolve => {
      waiting.push(resolve)
      if (waiting.length === 1) setImmediate(resumeNext)
    })
}
