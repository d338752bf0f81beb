import type { Measures } from './interleave.ts'
import { type DrainOptions, drain } from './scenarios/drain.ts'
import { type EndToEndOptions, endToEnd } from './scenarios/end-to-end.ts'
import { idle } from './scenarios/idle.ts'
import { latency } from './scenarios/latency.ts'
import { redisFloor } from './scenarios/redis-floor.ts'
import { batches, guarded, type RoundLength, single } from './scenarios/requests.ts'
import { takeover } from './scenarios/takeover.ts'
import type { Subject } from './subject.ts'

export interface Scenario {
  readonly name: string
  readonly inQuick: boolean
  /** Measured by --against and --vary, unless scenarios are named. */
  readonly inComparison: boolean
  /** The maximum number of rounds: some take too long for every round. */
  readonly roundsMax: number
  /** Not started again for a second pass: its start takes long, or each round has one. */
  readonly startsOnce?: boolean
  /** Seconds of the start and of a round on a quiet machine, which show how much is left to do. */
  readonly takes: { readonly startS: number; readonly roundS: number }
  /** Starts and warms up what the rounds share; measures one round for each request of the next. */
  rounds(subject: Subject, quick: boolean): AsyncIterable<Measures>
}

const QUICK = { inQuick: true, inComparison: false, roundsMax: 50 } as const
const SLOW = { ...QUICK, inQuick: false } as const

export const SCENARIOS: readonly Scenario[] = [
  {
    ...QUICK,
    name: 'single',
    inComparison: true,
    takes: { startS: 70, roundS: 18 },
    rounds: (subject, quick) => single(subject, lengthOf(quick)),
  },
  // Rounds shorter than the time in which the machine's speed changes.
  {
    ...QUICK,
    name: 'guarded',
    takes: { startS: 14, roundS: 4 },
    rounds: subject => guarded(subject, { seconds: 1, warmUpS: 4 }),
  },
  {
    ...QUICK,
    name: 'batches',
    takes: { startS: 40, roundS: 12 },
    rounds: (subject, quick) => batches(subject, lengthOf(quick)),
  },
  {
    ...QUICK,
    name: 'drain 10,000',
    inComparison: true,
    takes: { startS: 10, roundS: 7 },
    rounds: (subject, quick) => drain(subject, { keys: 10_000, samples: quick ? 1_000_000 : 2_000_000 }),
  },
  {
    ...SLOW,
    name: 'drain 100,000',
    inComparison: true,
    takes: { startS: 30, roundS: 9 },
    rounds: drains({ keys: 100_000, samples: 1_000_000 }),
  },
  {
    ...SLOW,
    name: 'drain 1,000,000',
    inComparison: true,
    roundsMax: 3,
    startsOnce: true,
    takes: { startS: 200, roundS: 12 },
    rounds: drains({ keys: 1_000_000, samples: 1_000_000 }),
  },
  {
    ...SLOW,
    name: 'scaling',
    takes: { startS: 11, roundS: 7 },
    rounds: drains({ keys: 10_000, samples: 2_000_000, analyzers: 2 }),
  },
  {
    ...SLOW,
    name: 'cluster',
    roundsMax: 3,
    takes: { startS: 15, roundS: 4 },
    rounds: drains({ keys: 10_000, samples: 1_000_000, masters: 3 }),
  },
  { ...SLOW, name: 'redis', roundsMax: 3, takes: { startS: 0, roundS: 5 }, rounds: redisFloor },
  {
    ...SLOW,
    name: 'end to end',
    inComparison: true,
    takes: { startS: 12, roundS: 21 },
    rounds: subject => endToEnd(subject, { keys: 10_000, rate: 300_000, seconds: 20 }),
  },
  fleet('fleet of 1,000 keys', { keys: 1000, rate: 1000 }),
  fleet('fleet of 100,000 keys', { keys: 100_000, rate: 10_000 }),
  fleet('fleet of 1,000,000 keys', { keys: 1_000_000, rate: 16_667 }),
  {
    ...SLOW,
    name: 'takeover',
    inComparison: true,
    startsOnce: true,
    takes: { startS: 20, roundS: 18 },
    rounds: subject => takeover(subject, { keys: 100_000, rate: 20_000 }),
  },
  {
    ...SLOW,
    name: 'idle',
    inComparison: true,
    roundsMax: 2,
    takes: { startS: 20, roundS: 80 },
    rounds: subject => idle(subject, 60),
  },
  {
    ...QUICK,
    name: 'latency',
    roundsMax: 3,
    takes: { startS: 6, roundS: 24 },
    rounds: (subject, quick) => latency(subject, quick ? 4 : 10),
  },
]

/** A gateway gets faster for the first 15 s of its load. */
function lengthOf(quick: boolean): RoundLength {
  return quick ? { seconds: 2, warmUpS: 2 } : { seconds: 4, warmUpS: 16 }
}

/** Keys that send seldom, at the rate that they cause together. */
function fleet(name: string, options: Omit<EndToEndOptions, 'seconds'>): Scenario {
  const historyS = options.keys / 5000
  return {
    ...SLOW,
    name,
    roundsMax: 3,
    startsOnce: true,
    takes: { startS: 8 + historyS + options.keys / options.rate, roundS: 30 },
    rounds: subject => endToEnd(subject, { ...options, seconds: 30 }),
  }
}

function drains(options: DrainOptions): Scenario['rounds'] {
  return subject => drain(subject, options)
}
