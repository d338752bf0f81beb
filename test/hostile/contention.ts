import { availableParallelism, loadavg } from 'node:os'
import { scheduleOf } from '../support/schedule.ts'

/** What a gateway needs of a processor to start, on the machine for which bounds are written. */
const START_MS = 600

/**
 * Measures how much slower a gateway is than on an idle machine like the one for which bounds are
 * written. Call it when the gateway has started: how long it ran until then shows the speed of the
 * processor.
 */
export function watchContention(pid: number): { since(): () => number } {
  const processor = Math.max(1, (scheduleOf(pid)?.ranMs ?? 0) / START_MS)
  return {
    /**
     * Starts a measurement of the competition. The result returns the slowdown factor since then: 1
     * on an idle machine, 3 if two other processes compete for the same processor.
     */
    since() {
      const before = scheduleOf(pid)
      return () => {
        const after = scheduleOf(pid)
        const crowd = Math.max(1, (loadavg()[0] ?? 0) / availableParallelism())
        if (before === undefined || after === undefined) return processor * crowd
        const ranMs = after.ranMs - before.ranMs
        return processor * Math.max(crowd, ranMs === 0 ? 1 : 1 + (after.waitedMs - before.waitedMs) / ranMs)
      }
    },
  }
}
