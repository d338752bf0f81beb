import { type DrainOptions, drain } from './scenarios/drain.ts'
import { endToEnd } from './scenarios/end-to-end.ts'
import { latency } from './scenarios/latency.ts'
import { redisFloor } from './scenarios/redis-floor.ts'
import { batches, guarded, single } from './scenarios/requests.ts'

/** The named figures of one round. */
export type Measures = Readonly<Record<string, number>>

export interface Scenario {
  readonly name: string
  readonly inQuick: boolean
  /** The maximum number of rounds: some take too long for every round. */
  readonly roundsMax: number
  /** Starts and warms up what the rounds share; measures one round for each request of the next. */
  rounds(quick: boolean): AsyncIterable<Measures>
}

const QUICK = { inQuick: true, roundsMax: 50 } as const

export const SCENARIOS: readonly Scenario[] = [
  { ...QUICK, name: 'single', rounds: quick => single(quick ? 2 : 4) },
  // Rounds shorter than the time in which the machine's speed changes.
  { ...QUICK, name: 'guarded', rounds: () => guarded(1) },
  { ...QUICK, name: 'batches', rounds: quick => batches(quick ? 2 : 4) },
  { ...QUICK, name: 'drain 10,000', rounds: quick => drain({ keys: 10_000, samples: quick ? 1_000_000 : 2_000_000 }) },
  slowDrain('drain 100,000', 50, { keys: 100_000, samples: 1_000_000 }),
  slowDrain('drain 1,000,000', 2, { keys: 1_000_000, samples: 1_000_000 }),
  slowDrain('scaling', 50, { keys: 10_000, samples: 2_000_000, analyzers: 2 }),
  slowDrain('cluster', 3, { keys: 10_000, samples: 1_000_000, masters: 3 }),
  { name: 'redis', inQuick: false, roundsMax: 3, rounds: () => separate(redisFloor) },
  { name: 'end to end', inQuick: false, roundsMax: 1, rounds: () => separate(endToEnd) },
  { name: 'latency', inQuick: true, roundsMax: 3, rounds: quick => latency(quick ? 4 : 10) },
]

function slowDrain(name: string, roundsMax: number, options: DrainOptions): Scenario {
  return { name, inQuick: false, roundsMax, rounds: () => drain(options) }
}

/** Rounds that start everything again. */
async function* separate(measure: () => Promise<Measures>) {
  for (;;) yield await measure()
}
