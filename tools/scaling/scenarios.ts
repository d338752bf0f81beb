import type { Scenario } from './model.ts'

const MINUTE_S = 60
const LOW = 500
const HIGH = 20_000

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'ramp',
    title: 'Ramp: 500 to 20,000 samples/s in ten minutes',
    durationS: 40 * MINUTE_S,
    load: atS => {
      const done = (atS - 2 * MINUTE_S) / (10 * MINUTE_S)
      return LOW + (HIGH - LOW) * Math.min(1, Math.max(0, done))
    },
  },
  {
    name: 'spike',
    title: 'Spike: suddenly 20,000 samples/s, for two minutes',
    durationS: 20 * MINUTE_S,
    load: atS => (atS >= 2 * MINUTE_S && atS < 4 * MINUTE_S ? HIGH : LOW),
  },
  {
    name: 'stop',
    title: 'Stop: no more samples after ten minutes of 20,000 samples/s',
    durationS: 35 * MINUTE_S,
    load: atS => (atS < 10 * MINUTE_S ? HIGH : 0),
  },
  {
    name: 'outage',
    title: 'Outage: no analyzer runs for two minutes, at 5,000 samples/s',
    durationS: 20 * MINUTE_S,
    load: () => 5000,
    isRunning: atS => atS < 2 * MINUTE_S || atS >= 4 * MINUTE_S,
  },
  {
    name: 'pulses',
    title: 'Pulses: 20,000 samples/s for one minute out of four',
    durationS: 30 * MINUTE_S,
    load: atS => (atS % (4 * MINUTE_S) >= 3 * MINUTE_S ? HIGH : LOW),
  },
]
