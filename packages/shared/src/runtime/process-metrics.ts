import { type Histogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client'

/** Each look at the event loop wakes the process, also while it has nothing to do. */
const LOOK_MS = 200

/** For prom-client's own looks: every 10 ms, as they are by default, they cost 0.6 % of a core. */
const NEVER_MS = 2 ** 31 - 1

/** Node.js measures the time from one look to the next, and the lag is what exceeds the pause. */
const lagOf = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e9 - LOOK_MS / 1000)

/** Under prom-client's names. */
const LAGS: readonly (readonly [name: string, help: string, read: (looks: Histogram) => number])[] = [
  ['min', 'The minimum recorded event loop delay.', looks => lagOf(looks.min)],
  ['max', 'The maximum recorded event loop delay.', looks => lagOf(looks.max)],
  ['mean', 'The mean of the recorded event loop delays.', looks => lagOf(looks.mean)],
  ['stddev', 'The standard deviation of the recorded event loop delays.', looks => looks.stddev / 1e9],
  ['p50', 'The 50th percentile of the recorded event loop delays.', looks => lagOf(looks.percentile(50))],
  ['p90', 'The 90th percentile of the recorded event loop delays.', looks => lagOf(looks.percentile(90))],
  ['p99', 'The 99th percentile of the recorded event loop delays.', looks => lagOf(looks.percentile(99))],
]

/** Collects the metrics of the process and of Node.js. */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS })
  const looks = monitorEventLoopDelay({ resolution: LOOK_MS })
  looks.enable()
  const gauges = LAGS.map(([lag, help, read]) => {
    const name = `nodejs_eventloop_lag_${lag}_seconds`
    registry.removeSingleMetric(name)
    return { gauge: new Gauge({ name, help, registers: [registry] }), read }
  })
  // One collects for all: the others are read after it.
  const collect = (): void => {
    if (looks.count === 0) return
    for (const { gauge, read } of gauges) gauge.set(read(looks))
    looks.reset()
  }
  Object.assign(gauges[0]?.gauge ?? {}, { collect })
}
