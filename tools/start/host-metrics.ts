import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { cpus, freemem, loadavg, totalmem } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fsStats, mem, networkStats } from 'systeminformation'
import type { Unit } from '../lib/format.ts'

/** How often the kernel updates load averages. Read more often, one value would become several samples. */
const LOAD_AVERAGE_MS = 5000

/** Without /proc, systeminformation starts a process for these, so they are read less often. */
const COUNTERS_WITHOUT_PROC_MS = 2000

/** monitorEventLoopDelay measures the time between two calls of its timer, which includes this interval. */
const EVENT_LOOP_RESOLUTION_MS = 10

/** Linux counts disk traffic in units of 512 bytes, independent of the disk's sector size. */
const SECTOR_BYTES = 512

export type Metrics = Record<string, number>

/** Bytes transferred since the computer started. */
export interface Traffic {
  readonly inBytes: number
  readonly outBytes: number
}

export interface HostMetrics extends Disposable {
  /** Reads all metrics. Rates are measured since the last call. */
  read(): Promise<Metrics>
}

/** Returns the unit of a metric that HostMetrics reads. */
export function unitOf(metric: string): Unit {
  if (metric.startsWith('cpu.')) return 'percent'
  if (metric.startsWith('memory.') || metric.startsWith('swap.')) return 'bytes'
  if (metric.startsWith('network.') || metric.startsWith('disk.')) return 'bytes_per_second'
  if (metric.startsWith('event_loop.')) return 'milliseconds'
  return 'none'
}

/**
 * Opens the metrics of this computer. Reading them must not disturb what they measure: on Linux no process is started,
 * and a call takes about one millisecond of CPU time.
 */
export async function openHostMetrics(): Promise<HostMetrics> {
  const eventLoop = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS })
  eventLoop.enable()
  const hasProc = process.platform === 'linux' && existsSync('/proc/net/dev')
  const interfaces = hasProc ? await physical('/sys/class/net') : []
  const disks = hasProc ? await physical('/sys/block') : []
  const network = new Rate('network.in', 'network.out')
  const disk = new Rate('disk.read', 'disk.write')
  let loadAverageAt = Number.NEGATIVE_INFINITY
  let countersAt = Number.NEGATIVE_INFINITY
  const cpu = new CpuLoad()
  // The first call only sets the start of the next measurement.
  cpu.next(await readCpuTimes(hasProc))

  async function counters(now: number): Promise<Metrics> {
    if (hasProc) {
      const [net, disksText] = await Promise.all([textOf('/proc/net/dev'), textOf('/proc/diskstats')])
      return {
        ...network.next(networkTraffic(net, interfaces), now),
        ...(disks.length > 0 ? disk.next(diskTraffic(disksText, disks), now) : {}),
      }
    }
    if (now - countersAt < COUNTERS_WITHOUT_PROC_MS) return {}
    countersAt = now
    const [nets, files] = await Promise.all([networkStats('*'), fsStats()])
    const inBytes = sum(nets.map(net => net.rx_bytes))
    const outBytes = sum(nets.map(net => net.tx_bytes))
    // Null where the system has no counters of its disks.
    const traffic: Traffic | null = files === null ? null : { inBytes: files.rx, outBytes: files.wx }
    return { ...network.next({ inBytes, outBytes }, now), ...(traffic === null ? {} : disk.next(traffic, now)) }
  }

  function loadAverage(now: number): Metrics {
    // Windows has no load average and reports 0.
    if (now - loadAverageAt < LOAD_AVERAGE_MS || process.platform === 'win32') return {}
    loadAverageAt = now
    return { 'load.1m': loadavg()[0] ?? 0 }
  }

  return {
    async read() {
      const now = performance.now()
      const [cpuTimes, memory, tasks, rates] = await Promise.all([
        readCpuTimes(hasProc),
        readMemory(),
        hasProc ? textOf('/proc/loadavg').then(runningTasks) : {},
        counters(now),
      ])
      const delayMs = Math.max(0, eventLoop.max / 1e6 - EVENT_LOOP_RESOLUTION_MS)
      eventLoop.reset()
      const metrics: Metrics = {
        ...cpu.next(cpuTimes),
        ...memory,
        ...tasks,
        ...rates,
        ...loadAverage(now),
        'event_loop.delay_max': delayMs,
      }
      return Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)))
    },
    [Symbol.dispose]() {
      eventLoop.disable()
    },
  }
}

/** Times of a CPU since the computer started, in any unit. */
export interface CpuTimes {
  readonly name: string
  readonly idle: number
  readonly all: number
}

/** The `cpu` lines of /proc/stat: user nice system idle iowait irq softirq steal guest guest_nice (proc(5)). */
export function cpuTimes(text: string): CpuTimes[] {
  return [...text.matchAll(/^(cpu\d*) +(.*)$/gm)].map(([, name = '', fields = '']) => {
    // user and nice include the time of guests.
    const times = fields.split(' ').slice(0, 8).map(Number)
    const idle = (times[3] ?? 0) + (times[4] ?? 0)
    return { name: name === 'cpu' ? 'cpu.total' : `cpu.${name.slice(3)}`, idle, all: sum(times) }
  })
}

/** Computes the percentage of time that each CPU was not idle since the last call. */
export class CpuLoad {
  #last = new Map<string, CpuTimes>()

  next(times: readonly CpuTimes[]): Metrics {
    const load: Metrics = {}
    for (const { name, idle, all } of times) {
      const last = this.#last.get(name)
      if (last === undefined || all <= last.all) continue
      // The kernel's idle time may decrease slightly (proc(5)).
      const share = 1 - (idle - last.idle) / (all - last.all)
      load[name] = Math.min(100, Math.max(0, share * 100))
    }
    this.#last = new Map(times.map(time => [time.name, time]))
    return load
  }
}

/** Returns the sums over the named interfaces of /proc/net/dev. */
export function networkTraffic(text: string, interfaces: readonly string[]): Traffic {
  let inBytes = 0
  let outBytes = 0
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).trim()
    // Without a physical interface (in a container) take all but the loopback.
    if (colon < 0 || (interfaces.length > 0 ? !interfaces.includes(name) : name === 'lo')) continue
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
    inBytes += Number(fields[0])
    outBytes += Number(fields[8])
  }
  return { inBytes, outBytes }
}

/** Sums over the named disks of /proc/diskstats: partitions and device-mapper volumes would count twice. */
export function diskTraffic(text: string, disks: readonly string[]): Traffic {
  let inBytes = 0
  let outBytes = 0
  for (const line of text.split('\n')) {
    const [, , name, , , sectorsRead, , , , sectorsWritten] = line.trim().split(/\s+/)
    if (name === undefined || !disks.includes(name)) continue
    inBytes += Number(sectorsRead) * SECTOR_BYTES
    outBytes += Number(sectorsWritten) * SECTOR_BYTES
  }
  return { inBytes, outBytes }
}

/** Reads running and total tasks from /proc/loadavg, such as `0.20 0.18 0.12 1/80 11206`. */
export function runningTasks(text: string): Metrics {
  const [running, total] = (text.split(' ')[3] ?? '').split('/').map(Number)
  return running === undefined || total === undefined ? {} : { 'tasks.running': running, 'tasks.total': total }
}

/** Converts two counters to bytes a second. */
export class Rate {
  readonly #inName: string
  readonly #outName: string
  #last: { readonly traffic: Traffic; readonly at: number } | undefined

  constructor(inName: string, outName: string) {
    this.#inName = inName
    this.#outName = outName
  }

  /** Returns nothing at first, and after a counter decreased: an interface was removed or reset. `now` in milliseconds. */
  next(traffic: Traffic, now: number): Metrics {
    const last = this.#last
    this.#last = { traffic, at: now }
    if (last === undefined || now <= last.at) return {}
    const seconds = (now - last.at) / 1000
    const inRate = (traffic.inBytes - last.traffic.inBytes) / seconds
    const outRate = (traffic.outBytes - last.traffic.outBytes) / seconds
    return inRate < 0 || outRate < 0 ? {} : { [this.#inName]: inRate, [this.#outName]: outRate }
  }
}

/** Not with systeminformation's currentLoad(): on Linux it runs `cat` and blocks this process for 9 ms. */
async function readCpuTimes(hasProc: boolean): Promise<CpuTimes[]> {
  if (hasProc) return cpuTimes(await textOf('/proc/stat'))
  const cores = cpus().map(({ times }, index) => ({
    name: `cpu.${index}`,
    idle: times.idle,
    all: sum(Object.values(times)),
  }))
  const total = { name: 'cpu.total', idle: sum(cores.map(core => core.idle)), all: sum(cores.map(core => core.all)) }
  return [total, ...cores]
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

async function readMemory(): Promise<Metrics> {
  // On other systems systeminformation starts processes for this.
  if (process.platform !== 'linux') return { 'memory.used': totalmem() - freemem() }
  const { total, available, buffcache, swaptotal, swapused } = await mem()
  const memory = { 'memory.used': total - available, 'memory.cache': buffcache }
  return swaptotal > 0 ? { ...memory, 'swap.used': swapused } : memory
}

/** Returns the names in a folder of /sys that are hardware devices. */
async function physical(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  return names.filter(name => existsSync(`${folder}/${name}/device`))
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8')
}
