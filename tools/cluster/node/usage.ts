import { readdir, readFile } from 'node:fs/promises'

/** Linux reports times in these units (USER_HZ), whatever the kernel uses inside. */
const TICKS_PER_S = 100
const PAGE_BYTES = 4096

/** As metrics-server: the mean of this time. */
const WINDOW_MS = 15_000
const READINGS_KEPT_MS = 60_000

/** Used so far, at a moment. */
export interface Reading {
  readonly at: number
  readonly cpuS: number
  readonly bytes: number
}

/** Used in the last window. */
export interface Usage {
  readonly at: number
  readonly windowS: number
  readonly cores: number
  readonly bytes: number
}

/** Reads what a process and its children have used; undefined if it has ended. */
export async function readUsage(pid: number): Promise<Omit<Reading, 'at'> | undefined> {
  try {
    const [stat, statm] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/statm`, 'utf8'),
    ])
    const own = parseUsage(stat, statm)
    const children = await Promise.all((await childrenOf(pid)).map(readUsage))
    return children.reduce<Omit<Reading, 'at'>>(
      (sum, child) => ({ cpuS: sum.cpuS + (child?.cpuS ?? 0), bytes: sum.bytes + (child?.bytes ?? 0) }),
      own,
    )
  } catch {
    return undefined
  }
}

/** Parses /proc/PID/stat and /proc/PID/statm. The times of children that have ended count too. */
export function parseUsage(stat: string, statm: string): Omit<Reading, 'at'> {
  // The program's name is in brackets and may contain blanks and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  return { cpuS: ticks / TICKS_PER_S, bytes: Number(statm.split(' ')[1]) * PAGE_BYTES }
}

async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(threads.map(tid => readFile(`/proc/${pid}/task/${tid}/children`, 'utf8')))
  return lists.join(' ').split(' ').filter(Boolean).map(Number)
}

/** Adds a reading and drops old ones. A process that restarted begins again. */
export function addReading(readings: readonly Reading[], reading: Reading): Reading[] {
  const last = readings.at(-1)
  if (last !== undefined && reading.cpuS < last.cpuS) return [reading]
  return [...readings.filter(({ at }) => reading.at - at <= READINGS_KEPT_MS), reading]
}

/** Returns the mean usage of the last window; undefined before there are two readings. */
export function usageOf(readings: readonly Reading[]): Usage | undefined {
  const last = readings.at(-1)
  if (last === undefined) return undefined
  const first = readings.findLast(({ at }) => last.at - at >= WINDOW_MS) ?? readings[0]
  if (first === undefined || first === last) return undefined
  const windowS = (last.at - first.at) / 1000
  return { at: last.at, windowS, cores: (last.cpuS - first.cpuS) / windowS, bytes: last.bytes }
}

/** A pod of metrics.k8s.io. */
export interface Measured {
  readonly name: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
  readonly containers: readonly { readonly name: string; readonly usage: Usage }[]
}

export function podMetrics({ name, namespace, labels, containers }: Measured) {
  const [newest] = containers.map(({ usage }) => usage).sort((a, b) => b.at - a.at)
  return {
    kind: 'PodMetrics',
    apiVersion: 'metrics.k8s.io/v1beta1',
    metadata: { name, namespace, labels, creationTimestamp: new Date(newest?.at ?? 0).toISOString() },
    timestamp: new Date(newest?.at ?? 0).toISOString(),
    window: `${(newest?.windowS ?? 0).toFixed(3)}s`,
    containers: containers.map(one => ({ name: one.name, usage: quantities(one.usage) })),
  }
}

/** CPU in billionths of a core and memory in kibibytes, as metrics-server writes them. */
export function quantities({ cores, bytes }: Pick<Usage, 'cores' | 'bytes'>) {
  return { cpu: `${Math.max(0, Math.round(cores * 1e9))}n`, memory: `${Math.round(bytes / 1024)}Ki` }
}

/** Returns whether labels match a selector of a query, such as `app=a,tier in (b,c),!d`. */
export function matchesSelector(labels: Readonly<Record<string, string>>, selector: string): boolean {
  const terms = selector.match(/[^,(]+(?:\([^)]*\))?/g) ?? []
  return terms.every(term => {
    const [, key = '', operator = '', list = ''] = /^\s*([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)\s*$/.exec(term) ?? []
    if (operator !== '') {
      const isListed =
        key in labels &&
        list
          .split(',')
          .map(value => value.trim())
          .includes(labels[key] ?? '')
      return isListed === (operator === 'in')
    }
    const [, name = '', sign, value = ''] = /^\s*([\w./-]+)\s*(==?|!=)\s*([\w.-]*)\s*$/.exec(term) ?? []
    if (sign !== undefined) return (labels[name] === value) === (sign !== '!=')
    const only = term.trim()
    return only.startsWith('!') ? !(only.slice(1) in labels) : only in labels
  })
}
