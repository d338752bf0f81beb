/** Resolves when it is the caller's turn. */
export type Turn = () => Promise<void>

/**
 * Gives one turn in each round of the event loop, first come, first served. Partitions that worked through their batches one
 * right after the other would let no byte of their commits out before the last of them is done: the store would wait for the
 * analyzer, and then the analyzer for the store.
 */
export function createTurns(): Turn {
  const waiting: (() => void)[] = []

  function give(): void {
    waiting.shift()?.()
    if (waiting.length > 0) setImmediate(give)
  }

  return () =>
    new Promise(resolve => {
      waiting.push(resolve)
      if (waiting.length === 1) setImmediate(give)
    })
}
