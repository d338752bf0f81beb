import { Random } from '@tidemark/testkit/random'
import type { LabelWindow } from '../backtest/labels.ts'
import { autoregressive } from './signals.ts'

/** A recording with one to three labelled anomalies. Times are sample numbers. */
export interface Recording {
  readonly kind: string
  readonly values: Float64Array
  readonly windows: readonly LabelWindow[]
  readonly clock: Clock
}

/** When a sample was taken and when it arrived, in intervals between samples. */
export type Clock = (n: number) => { readonly takenAt: number; readonly arrivedAt: number }

const STEADY: Clock = n => ({ takenAt: n, arrivedAt: n })

/** A signal without anomalies. `scale` is the size of anomalies; `legal` maps to valid values. */
interface Usual {
  /** Returns sample `n`. Must be called in order: signals have state. */
  readonly value: (n: number) => number
  readonly scale: number
  readonly isPeriodic?: boolean
  readonly legal?: (value: number) => number
  /** The faults that it may have, if not the usual ones. */
  readonly faults?: readonly FaultName[]
  readonly clock?: Clock
  /** Returns what is recorded of the values, the anomalies included. */
  readonly recorded?: (values: Float64Array) => Float64Array
}

type Kind = (random: Random) => Usual
export type Kinds = Readonly<Record<string, Kind>>

const DAY = 288
const turn = (share: number): number => 2 * Math.PI * share
const notNegative = (value: number): number => Math.max(0, value)
const count = (value: number): number => Math.max(0, Math.round(value))

/** Kinds used to choose detectors and their constants. */
export const CHOSEN_BY: Kinds = {
  noise: random => {
    const deviation = 1 + 5 * random.uniform()
    return { value: () => 50 + deviation * random.normal(), scale: deviation }
  },
  daily: random => {
    const period = random.pick([48, DAY])
    const height = 5 + 20 * random.uniform()
    const deviation = height * (0.03 + 0.15 * random.uniform())
    const weekend = 1 - 0.5 * random.uniform()
    const shape = (n: number): number => Math.sin(turn(n / period)) + 0.4 * Math.sin(turn((2 * n) / period) + 1)
    const week = (n: number): number => (Math.floor(n / period) % 7 >= 5 ? weekend : 1)
    const value = (n: number): number => 100 + height * shape(n) * week(n) + deviation * random.normal()
    return { value, scale: height, isPeriodic: true }
  },
  counts: random => {
    const period = random.pick([48, DAY])
    const mean = 3 + 30 * random.uniform()
    const rate = (n: number): number => mean * (1 + 0.8 * Math.sin(turn(n / period)))
    return { value: n => random.poisson(rate(n)), scale: 0.7 * mean, isPeriodic: true, legal: count }
  },
  temperature: random => {
    const memory = 0.995 + 0.004 * random.uniform()
    const drift = autoregressive(random, memory, 0.1)
    const value = (): number => 70 + 5 * drift() + 0.3 * random.normal()
    return { value, scale: 0.5 / Math.sqrt(1 - memory * memory) }
  },
  levels: random => {
    const level = autoregressive(random, 0.8)
    return { value: () => Math.round(20 + 0.9 * level()), scale: 2, legal: Math.round }
  },
  latency: random => {
    const memory = 0.9 + 0.09 * random.uniform()
    const level = autoregressive(random, memory, Math.sqrt(1 - memory * memory) * 0.5)
    return { value: () => 50 * Math.exp(level()), scale: 35 }
  },
  quiet: random => {
    const often = 0.002 + 0.01 * random.uniform()
    let level = 0
    const value = (): number => {
      if (random.uniform() < often) level = level > 0 ? 0 : random.integer(1, 3)
      return 20 + 2 * level + (random.uniform() < 0.1 ? 0.2 * random.integer(-1, 1) : 0)
    }
    return { value, scale: 3 }
  },
  unsteady: random => {
    const volatility = autoregressive(random, 0.98, 0.12)
    return { value: () => 200 + 10 * Math.exp(volatility()) * random.normal(), scale: 16 }
  },
  jobs: random => {
    const period = random.pick([12, 48, DAY])
    const height = 20 + 20 * random.uniform()
    const isJob = (n: number): boolean => n % period === 0 || n % (3 * period) === 1
    const value = (n: number): number => 20 + 2 * random.normal() + (isJob(n) ? height + 3 * random.normal() : 0)
    return { value, scale: 0.6 * height, isPeriodic: true, legal: notNegative }
  },
}

/** Kinds used only to check that choice. */
export const HELD_OUT: Kinds = {
  correlated: random => {
    const memory = 0.8 + 0.15 * random.uniform()
    const level = autoregressive(random, memory)
    return { value: () => 20 + level(), scale: 1 / Math.sqrt(1 - memory * memory) }
  },
  bursts: random => {
    const period = random.integer(40, 300)
    const width = random.integer(1, 6)
    const height = 5 + 30 * random.uniform()
    const burst = (n: number): number => (n % period < width ? height * (0.8 + 0.3 * random.uniform()) : 0)
    const value = (n: number): number => 2 + 0.3 * Math.exp(0.6 * random.normal()) + burst(n)
    return { value, scale: height, isPeriodic: true, legal: notNegative }
  },
  traffic: random => {
    const often = 0.01 + 0.04 * random.uniform()
    const peak = (): number => (random.uniform() < often ? 100 * Math.min(30, random.pareto(1.5)) : 0)
    return { value: () => 100 + 20 * Math.abs(random.normal()) + peak(), scale: 300, legal: notNegative }
  },
  sawtooth: random => {
    const period = random.integer(80, 600)
    const deviation = 80 * (0.01 + 0.03 * random.uniform())
    return { value: n => 10 + (80 * (n % period)) / period + deviation * random.normal(), scale: 25, isPeriodic: true }
  },
  states: random => {
    const height = 10 + 40 * random.uniform()
    const often = 0.005 + 0.03 * random.uniform()
    let state = 0
    const value = (): number => {
      if (random.uniform() < often) state = 1 - state
      return 30 + height * state + 2 * random.normal()
    }
    return { value, scale: 0.5 * height }
  },
  prices: random => {
    const noise = (): number => 0.25 * random.normal() * (1 + 0.4 * Math.abs(random.normal()))
    const value = (n: number): number => 0.1 * Math.exp(0.3 * Math.sin(turn(n / 24)) + noise())
    return { value, scale: 0.05, isPeriodic: true, legal: notNegative }
  },
  volume: random => {
    const mean = 4 + 40 * random.uniform()
    let burst = 0
    const value = (n: number): number => {
      if (random.uniform() < 0.004) burst = mean * random.uniform() * random.pareto(2)
      burst *= 0.8
      const rate = mean * (1 + 0.6 * Math.sin(turn(n / DAY))) + burst
      return random.poisson(rate * (0.7 - 0.3 * Math.log(1 - random.uniform())))
    }
    return { value, scale: mean, isPeriodic: true, legal: count }
  },
  idle: random => {
    const base = 0.1 + 2 * random.uniform()
    let level = 0
    let left = 0
    const value = (): number => {
      if (left <= 0 && random.uniform() < 0.01) {
        left = random.integer(1, 40)
        level = base * (1 + 5 * random.uniform())
      }
      left--
      const busy = left > 0 ? level * (0.9 + 0.2 * random.uniform()) : 0
      return Math.round(1000 * (base + busy + 0.02 * base * Math.abs(random.normal()))) / 1000
    }
    return { value, scale: 4 * base, legal: notNegative }
  },
  heater: random => {
    const deviation = 0.03 + 0.05 * random.uniform()
    let isOn = false
    let level = 20
    const value = (): number => {
      if (level < 18) isOn = true
      if (level > 22) isOn = false
      level += (isOn ? 0.15 : -0.07) * (0.7 + 0.6 * random.uniform())
      return level + deviation * random.normal()
    }
    return { value, scale: 2, isPeriodic: true }
  },
}

/** Kinds written after every constant was fixed, and run once. */
export const UNSEEN: Kinds = {
  queue: random => {
    const load = 0.7 + 0.2 * random.uniform()
    let waiting = 0
    const value = (): number => {
      waiting = Math.max(0, waiting + random.poisson(10 * load) - random.poisson(10))
      return waiting
    }
    return { value, scale: 10 / (1 - load) / 2, legal: count }
  },
  leak: random => {
    const growth = 0.01 + 0.05 * random.uniform()
    let held = 0
    const value = (): number => {
      held += growth * (0.5 + random.uniform())
      if (held > 30 || random.uniform() < 0.002) held = 0
      return 40 + held + 2 * Math.abs(random.normal())
    }
    return { value, scale: 15, isPeriodic: true }
  },
  visitors: random => {
    const shape = (n: number): number => Math.sin(turn(n / DAY)) + 0.5 * Math.sin(turn(n / (7 * DAY)))
    const value = (n: number): number => 300 * Math.exp(0.8 * shape(n) + 0.1 * random.normal())
    return { value, scale: 250, isPeriodic: true, legal: notNegative }
  },
  sensor: random => {
    const dropouts = 0.002 + 0.01 * random.uniform()
    const level = autoregressive(random, 0.99, 0.3)
    const value = (): number => {
      const reading = Math.round(2 * (60 + level())) / 2
      return random.uniform() < dropouts ? 0 : reading
    }
    return { value, scale: 2.1 }
  },
  vibration: random => {
    const period = 7 + 20 * random.uniform()
    let phase = 0
    const value = (): number => {
      phase += (1 + 0.1 * random.normal()) / period
      return 5 * Math.sin(turn(phase)) + 2 * Math.sin(turn(2.7 * phase)) + 0.5 * random.normal()
    }
    return { value, scale: 4 }
  },
  machine: random => {
    let isRunning = false
    let left = 0
    const value = (): number => {
      if (left-- <= 0) {
        isRunning = !isRunning
        left = random.integer(20, isRunning ? 120 : 60)
      }
      return isRunning ? 80 + 3 * random.normal() : 5 + 0.3 * Math.abs(random.normal())
    }
    return { value, scale: 30, legal: notNegative }
  },
}

/** Error values of sensors: disconnected, just switched on, all bits set. */
export const ERROR_VALUES = [-127, 85, 65_535]

const rhythm = (n: number): number => Math.sin(turn(n / DAY)) + 0.4 * Math.sin(turn((2 * n) / DAY) + 1)

/** Shapes that users report problems with, written after every constant was fixed. */
export const REPORTED: Kinds = {
  counters: random => {
    const mean = 50 + 200 * random.uniform()
    const rate = (n: number): number => mean * (1 + 0.3 * rhythm(n) + 0.08 * random.normal())
    const recorded = (rates: Float64Array): Float64Array => {
      let total = random.integer(0, 1_000_000)
      // A restart resets it.
      return rates.map(perSecond => {
        total = random.uniform() < 0.0005 ? 0 : total + Math.round(300 * perSecond)
        return total
      })
    }
    return { value: rate, scale: 0.4 * mean, legal: notNegative, faults: ['passing', 'shift'], recorded }
  },
  'error values': random => {
    const drift = autoregressive(random, 0.98, 0.1)
    const often = 0.001 + 0.004 * random.uniform()
    const value = (n: number): number => 21 + rhythm(n) + drift()
    const legal = (given: number): number => Math.round(16 * given) / 16
    const recorded = (values: Float64Array): Float64Array =>
      values.map(given => (random.uniform() < often ? random.pick(ERROR_VALUES) : given))
    return { value, scale: 1, legal, faults: ['spike', 'shift', 'passing'], recorded }
  },
  'daily rhythm': random => {
    const height = 5 + 20 * random.uniform()
    const deviation = height * (0.03 + 0.1 * random.uniform())
    const value = (n: number): number => 100 + height * rhythm(n) + deviation * random.normal()
    return { value, scale: height, faults: ['missing', 'passing', 'spike', 'shift'] }
  },
  'level shifts': random => {
    const memory = 0.7 * random.uniform()
    const noise = autoregressive(random, memory, Math.sqrt(1 - memory * memory))
    return { value: () => 500 + noise(), scale: 1, faults: ['shift'] }
  },
  'slow leaks': random => {
    const deviation = 0.5 + random.uniform()
    return { value: () => 60 + deviation * random.normal(), scale: 2 * deviation, faults: ['leak'] }
  },
  quantised: random => {
    const step = random.pick([0.5, 1, 2])
    const deviation = step * (0.3 + 0.7 * random.uniform())
    const level = autoregressive(random, 0.9, deviation * Math.sqrt(1 - 0.81))
    const legal = (given: number): number => step * Math.round(given / step)
    return { value: () => 40 + level(), scale: 1.5 * step, legal, faults: ['spike', 'shift', 'passing'] }
  },
  'on and off': random => {
    const often = 1 / random.integer(5, 15)
    let state = 0
    const value = (): number => {
      if (random.uniform() < often) state = 1 - state
      return state
    }
    return { value, scale: 1, faults: ['stuck', 'flapping'] }
  },
  'batch arrivals': random => {
    const memory = 0.8 + 0.15 * random.uniform()
    const level = autoregressive(random, memory, Math.sqrt(1 - memory * memory))
    const batch = random.integer(12, 60)
    const clock: Clock = n => ({ takenAt: n, arrivedAt: n - (n % batch) + batch })
    return { value: () => 20 + level(), scale: 1, faults: ['spike', 'shift', 'passing'], clock }
  },
  gaps: random => {
    const often = 0.0005 + 0.001 * random.uniform()
    const deviation = 0.1 + 0.2 * random.uniform()
    const slots: number[] = []
    let slot = 0
    const value = (n: number): number => {
      slot += random.uniform() < often ? random.integer(20, 400) : 1
      slots[n] = slot
      return 10 + 2 * rhythm(slot) + deviation * random.normal()
    }
    const clock: Clock = n => ({ takenAt: slots[n] ?? n, arrivedAt: slots[n] ?? n })
    return { value, scale: 1.5, faults: ['spike', 'shift', 'passing'], clock }
  },
}

/** An anomaly of `length` samples from `at` on. `scale` is the size of the signal's anomalies. */
interface Fault {
  readonly values: Float64Array
  readonly random: Random
  readonly at: number
  readonly length: number
  /** The labelled samples from `at` on. */
  readonly labelled: number
  readonly size: number
  readonly scale: number
}

/** Changes values. A fault may exceed the end of a short recording: typed arrays ignore that. */
function change({ values, at }: Fault, length: number, to: (value: number, n: number) => number): void {
  for (let n = 0; n < length; n++) values[at + n] = to(values[at + n] ?? 0, n)
}

const FAULTS = {
  spike: fault => change(fault, fault.random.integer(1, 3), value => value + 1.6 * fault.size),
  shift: fault => change(fault, fault.values.length - fault.at, value => value + fault.size),
  passing: fault => change(fault, fault.length, value => value + fault.size),
  swing: fault => {
    const { values, random, at, length, scale } = fault
    const mean = values.subarray(at, at + length).reduce((sum, value) => sum + value, 0) / length
    change(fault, length, value => mean + 4 * (value - mean) + scale * random.normal())
  },
  frozen: fault => {
    const { random, length, scale } = fault
    const value = fault.values[fault.at] ?? 0
    const jitter = random.uniform() < 0.5 ? 0 : 0.02 * scale
    change(fault, Math.max(30, length), () => value + jitter * random.normal())
  },
  drift: fault => change(fault, fault.length, (value, n) => value + (1.4 * fault.size * n) / fault.length),
  missing: fault => {
    const least = Math.min(...fault.values.subarray(Math.max(0, fault.at - 300), fault.at))
    change(fault, Math.max(40, fault.length), value => least + 0.05 * Math.abs(value - least))
  },
  leak: fault => change(fault, fault.labelled, (value, n) => value + (1.4 * Math.abs(fault.size) * n) / fault.labelled),
  stuck: fault => {
    const value = fault.values[fault.at] ?? 0
    change(fault, fault.labelled, () => value)
  },
  flapping: fault => change(fault, fault.labelled, (_, n) => n % 2),
} as const satisfies Record<string, (fault: Fault) => void>

type FaultName = keyof typeof FAULTS

/** Each fault as often as its weight. "missing" looks normal unless a signal is periodic. */
const WEIGHTS = { spike: 6, shift: 4, passing: 3, swing: 2, frozen: 1, drift: 2 }
const OFTEN: FaultName[] = Object.entries(WEIGHTS).flatMap(([name, weight]) => Array(weight).fill(name))
const OFTEN_IF_PERIODIC = [...OFTEN, ...Array<'missing'>(3).fill('missing')]

/** Labelled time as a share of the recording. It begins before the fault: labels are not exact. */
const LABELLED = 0.1
const LABELLED_BEFORE = 0.3
const LABELLED_AFTER = 0.7
/** No anomaly occurs in this share at the beginning. */
const CALM = 0.18

/** Returns a recording; the same one for the same kind and seed. */
export function createRecording(kind: string, create: Kind, seed: number): Recording {
  const random = new Random(seed * 7919 + kind.length * 131 + kind.charCodeAt(0))
  const samples = random.pick([1500, 4000, 4000, 8000])
  const usual = create(random)
  const { value, scale, isPeriodic = false, legal = (given: number) => given, clock = STEADY } = usual
  const possible = usual.faults ?? (isPeriodic ? OFTEN_IF_PERIODIC : OFTEN)
  const values = Float64Array.from({ length: samples }, (_, n) => value(n))
  const faults = random.integer(1, 3)
  const room = Math.floor((0.8 * samples) / faults)
  const labelled = Math.floor((LABELLED * samples) / faults)
  const windows: LabelWindow[] = []
  for (let fault = 0; fault < faults; fault++) {
    const begin = Math.floor(CALM * samples) + fault * room
    const at = begin + random.integer(Math.floor(labelled / 2), room - labelled - 20)
    const size = scale * (2.5 + 3 * random.uniform()) * (random.uniform() < 0.65 ? 1 : -1)
    const length = random.integer(6, Math.max(8, Math.floor(labelled / 2)))
    const after = Math.floor(LABELLED_AFTER * labelled)
    FAULTS[random.pick(possible)]({ values, random, at, length, labelled: after, size, scale })
    windows.push({ start: at - Math.floor(LABELLED_BEFORE * labelled), end: at + after })
  }
  const lawful = values.map(legal)
  return { kind, values: usual.recorded?.(lawful) ?? lawful, windows, clock }
}
