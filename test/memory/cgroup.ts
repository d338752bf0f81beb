import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = '/sys/fs/cgroup'

/** A cgroup of this run: its processes are OOM-killed when they need more memory than the limit. */
export interface MemoryLimit extends Disposable {
  /** Runs `start`. Processes that it starts before it first awaits are in the cgroup. */
  startIn<T>(start: () => Promise<T>): Promise<T>
  /** The most memory that was in use, in bytes; 0 if it is unknown. */
  readonly peak: number
}

/** Returns undefined where this user may not create cgroups, or the system has none. */
export function limitMemory(bytes: number): MemoryLimit | undefined {
  const isV1 = existsSync(join(ROOT, 'memory', 'memory.limit_in_bytes'))
  const controller = join(ROOT, isV1 ? 'memory' : '')
  const own = (isV1 ? /^\d+:memory:(.*)$/m : /^0::(.*)$/m).exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1]
  const folder = join(controller, `tidemark-memory-${process.pid}`)
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text)
  if (own === undefined) return undefined
  try {
    mkdirSync(folder)
    write(isV1 ? 'memory.limit_in_bytes' : 'memory.max', String(bytes))
    if (!isV1) write('memory.swap.max', '0')
    write('cgroup.procs', String(process.pid))
    writeFileSync(join(controller, own, 'cgroup.procs'), String(process.pid))
  } catch {
    if (existsSync(folder)) rmdirSync(folder)
    return undefined
  }
  return {
    // A process inherits its cgroup; one that is moved later keeps its memory where it was.
    startIn(start) {
      write('cgroup.procs', String(process.pid))
      try {
        return start()
      } finally {
        writeFileSync(join(controller, own, 'cgroup.procs'), String(process.pid))
      }
    },
    get peak() {
      const file = join(folder, isV1 ? 'memory.max_usage_in_bytes' : 'memory.peak')
      return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
    },
    // The kernel refuses while a process of it still ends; it is empty and harmless then.
    [Symbol.dispose]() {
      try {
        rmdirSync(folder)
      } catch {}
    },
  }
}
