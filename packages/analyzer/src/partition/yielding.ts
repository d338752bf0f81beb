/** Resolves in a later round of the event loop. */
export type Yield = () => Promise<void>

/**
 * Returns a function that yields the event loop, shared by all partitions of a process: one waiting
 * caller goes on per round, in order. Otherwise no commit would be sent until all partitions had
 * processed their batches, and store and analyzer would wait for each other in turn.
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
