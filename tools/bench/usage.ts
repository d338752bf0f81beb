import { readFile } from 'node:fs/promises'

/** Ticks per second of the kernel's accounting: USER_HZ (man 5 proc_pid_stat). */
const TICKS_PER_SECOND = 100

export interface Usage {
  /** User and system time of all threads, including ended ones, in seconds. */
  readonly cpuS: number
  /** Resident memory in bytes. */
  readonly rss: number
}

/** Returns the resources that a process has used so far, from /proc. Linux only. */
export async function usageOf(pid: number): Promise<Usage> {
  const [stat, statm] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'latin1'),
    readFile(`/proc/${pid}/statm`, 'latin1'),
  ])
  // The name, in brackets, may contain anything. Numbers follow: utime and stime are fields 14 and
  // 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  return { cpuS: ticks / TICKS_PER_SECOND, rss: Number(statm.split(' ')[1]) * 4096 }
}

/** Runs `work` and measures the CPU seconds of processes meanwhile, in the order of `pids`. */
export async function spentBy<T>(
  pids: readonly number[],
  work: () => Promise<T>,
): Promise<{ readonly cpuS: readonly number[]; readonly seconds: number; readonly result: T }> {
  const before = await Promise.all(pids.map(usageOf))
  const begin = performance.now()
  const result = await work()
  const seconds = (performance.now() - begin) / 1000
  const after = await Promise.all(pids.map(usageOf))
  return { cpuS: after.map(({ cpuS }, i) => cpuS - (before[i]?.cpuS ?? 0)), seconds, result }
}
