import { readFile } from 'node:fs/promises'
import { availableParallelism, loadavg } from 'node:os'

/** How long a process ran, and how long it was runnable without running, in nanoseconds. */
interface Schedule {
  readonly ran: number
  readonly waited: number
}

async function scheduleOf(pid: number): Promise<Schedule | undefined> {
  const text = await readFile(`/proc/${pid}/schedstat`, 'utf8').catch(() => undefined)
  const [ran = 0, waited = 0] = (text ?? '').split(' ').map(Number)
  return text === undefined ? undefined : { ran, waited }
}

/**
 * Starts measuring CPU contention of a process. The result returns the slowdown factor since then:
 * 1 on an idle machine, 3 if two other processes compete for the same processor.
 */
export async function watchContention(pid: number): Promise<() => Promise<number>> {
  const before = await scheduleOf(pid)
  return async () => {
    const after = await scheduleOf(pid)
    const crowd = (loadavg()[0] ?? 0) / availableParallelism()
    if (before === undefined || after === undefined) return Math.max(1, crowd)
    const ran = after.ran - before.ran
    return Math.max(1, crowd, ran === 0 ? 1 : 1 + (after.waited - before.waited) / ran)
  }
}
