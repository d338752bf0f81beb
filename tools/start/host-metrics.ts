import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { cpus, freemem, loadavg, totalmem } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Unit } from '../lib/format.ts'

/** The kernel updates load averages this often: an earlier read would repeat a sample. */
const LOAD_AVERAGE_MS = 5000

/** The interval of monitorEventLoopDelay's timer, which the measured delays include. */
const EVENT_LOOP_RESOLUTION_MS = 10

/** Linux counts disk traffic in units of 512 bytes, independent of the disk's sector size. */
const SECTOR_BYTES = 512

type Metrics = Record<string, number>

export interface HostMetrics extends Disposable {
  /** Reads all metrics. Rates are measured since the last call. */
  read(): Promise<Metrics>
}

const UNITS = new Map<string | undefined, Unit>([
  ['cpu', 'percent'],
  ['memory', 'bytes'],
  ['network', 'bytes_per_second'],
  ['disk', 'bytes_per_second'],
  ['event_loop', 'milliseconds'],
])

/** Returns the unit of a metric that HostMetrics reads. */
export function unitOf(metric: string): Unit {
  return UNITS.get(metric.split('.')[0]) ?? 'none'
}

/**
 * Opens the metrics of this computer. Reading them must not disturb what they measure: no process
 * is started, and so network and disk traffic are read on Linux only.
 */
export async function openHostMetrics(): Promise<HostMetrics> {
  const eventLoop = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS })
  eventLoop.enable()
  const interfaces = await hardware('/sys/class/net')
  const disks = await hardware('/sys/block')
  const rates = new Rates()
  let loadAverageAt = Number.NEGATIVE_INFINITY
  return {
    async read() {
      const now = performance.now()
      const network = interfaces.length > 0 ? await networkTraffic(interfaces) : {}
      const disk = disks.length > 0 ? await diskTraffic(disks) : {}
      const metrics: Metrics = rates.next({ ...cpuTimes(), ...network, ...disk }, now)
      metrics['memory.used'] = totalmem() - freemem()
      metrics['event_loop.delay_max'] = Math.max(0, eventLoop.max / 1e6 - EVENT_LOOP_RESOLUTION_MS)
      eventLoop.reset()
      if (now - loadAverageAt >= LOAD_AVERAGE_MS) {
        loadAverageAt = now
        metrics['load.1m'] = loadavg()[0] ?? 0
      }
      return metrics
    },
    [Symbol.dispose]: () => void eventLoop.disable(),
  }
}

/** Converts counters to their increase in a second. */
export class Rates {
  #last: { readonly counters: Metrics; readonly at: number } | undefined

  /** Has no rate for a counter that is new or decreased by a reset. `now` is in milliseconds. */
  next(counters: Metrics, now: number): Metrics {
    const last = this.#last
    this.#last = { counters, at: now }
    if (last === undefined || now <= last.at) return {}
    const rates = Object.entries(counters).map(([name, count]) => {
      return [name, ((count - (last.counters[name] ?? Number.NaN)) / (now - last.at)) * 1000] as const
    })
    return Object.fromEntries(rates.filter(([, rate]) => rate >= 0))
  }
}

/** Returns the time that each CPU was busy, in 1/100 s, so that the rate is a percentage. */
function cpuTimes(): Metrics {
  const cores = cpus().map(({ times }) => (times.user + times.nice + times.sys + times.irq) / 10)
  const total = sum(cores) / cores.length
  return { 'cpu.total': total, ...Object.fromEntries(cores.map((busy, index) => [`cpu.${index}`, busy])) }
}

async function networkTraffic(interfaces: readonly string[]): Promise<Metrics> {
  const sumOf = async (counter: string): Promise<number> =>
    sum(await Promise.all(interfaces.map(name => textOf(`/sys/class/net/${name}/statistics/${counter}`).then(Number))))
  return { 'network.in': await sumOf('rx_bytes'), 'network.out': await sumOf('tx_bytes') }
}

async function diskTraffic(disks: readonly string[]): Promise<Metrics> {
  const texts = await Promise.all(disks.map(name => textOf(`/sys/block/${name}/stat`)))
  const sectors = texts.map(text => text.trim().split(/\s+/).map(Number))
  return {
    'disk.read': sum(sectors.map(fields => fields[2] ?? 0)) * SECTOR_BYTES,
    'disk.write': sum(sectors.map(fields => fields[6] ?? 0)) * SECTOR_BYTES,
  }
}

/**
 * Returns the hardware devices in a folder of /sys: partitions and virtual volumes would count
 * twice. Without hardware interfaces, in a container, all but the loopback count.
 */
async function hardware(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  const devices = names.filter(name => existsSync(`${folder}/${name}/device`))
  return devices.length > 0 || folder !== '/sys/class/net' ? devices : names.filter(name => name !== 'lo')
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** Returns an empty text, and so no rate, for a device that was removed. */
function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
