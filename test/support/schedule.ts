import { readFileSync } from 'node:fs'

/** How long a process ran, and how long it was runnable without running, in milliseconds. */
export interface Schedule {
  readonly ranMs: number
  readonly waitedMs: number
}

/** Returns what the kernel counts for a process; undefined if it has ended or this is not Linux. */
export function scheduleOf(pid: number): Schedule | undefined {
  try {
    const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number)
    return { ranMs: ran / 1e6, waitedMs: waited / 1e6 }
  } catch {
    return undefined
  }
}
