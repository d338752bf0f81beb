import { readFile } from 'node:fs/promises'

/** Ticks per second of the kernel's accounting: USER_HZ (man 5 proc_pid_stat). */
const TICKS_PER_SECOND = 100

/** Returns the CPU seconds and resident bytes of a process so far, from /proc. Linux only. */
export async function usageOf(pid: number): Promise<{ cpuS: number; rss: number }> {
  const [stat, statm] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'latin1'),
    readFile(`/proc/${pid}/statm`, 'latin1'),
  ])
  // The name, in brackets, may contain anything. utime and stime (fields 14, 15) cover all threads.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  return { cpuS: ticks / TICKS_PER_SECOND, rss: Number(statm.split(' ')[1]) * 4096 }
}

/** Runs `work` and measures the CPU seconds of each group of processes meanwhile. */
export async function spentBy<Group extends string, T>(
  groups: Readonly<Record<Group, readonly number[]>>,
  work: () => Promise<T>,
) {
  const cpuOf = (): Promise<[string, number][]> =>
    Promise.all(
      Object.entries<readonly number[]>(groups).map(async ([group, pids]) => {
        const usages = await Promise.all(pids.map(usageOf))
        return [group, usages.reduce((sum, { cpuS }) => sum + cpuS, 0)]
      }),
    )
  const before = new Map(await cpuOf())
  const begin = performance.now()
  const result = await work()
  const seconds = (performance.now() - begin) / 1000
  const spent = (await cpuOf()).map(([group, cpuS]) => [group, cpuS - (before.get(group) ?? 0)])
  return { cpuS: Object.fromEntries(spent) as Record<Group, number>, seconds, result }
}
