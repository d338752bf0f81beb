import { openBatches } from './scenarios/batches.ts'
import { type DrainOptions, openDrain } from './scenarios/drain.ts'
import { endToEnd } from './scenarios/end-to-end.ts'
import { openLatency } from './scenarios/latency.ts'
import { redisFloor } from './scenarios/redis-floor.ts'
import { openSingle } from './scenarios/single.ts'

/** The named figures of one round. */
export type Measures = Readonly<Record<string, number>>

interface Opened extends AsyncDisposable {
  /** Measures one round. */
  measure(): Promise<Measures>
}

export interface Scenario {
  readonly name: string
  readonly inQuick: boolean
  /** The maximum number of rounds: some take too long for every round. */
  readonly roundsMax: number
  /** Starts and warms up what the rounds share. */
  open(quick: boolean): Promise<Opened>
}

export const SCENARIOS: readonly Scenario[] = [
  { name: 'single', inQuick: true, roundsMax: 50, open: quick => openSingle(quick ? 2 : 4) },
  { name: 'batches', inQuick: true, roundsMax: 50, open: quick => openBatches(quick ? 2 : 4) },
  {
    name: 'drain 10,000',
    inQuick: true,
    roundsMax: 50,
    open: quick => openDrain({ keys: 10_000, samples: quick ? 1_000_000 : 2_000_000 }),
  },
  drain('drain 100,000', 50, { keys: 100_000, samples: 1_000_000 }),
  drain('drain 1,000,000', 2, { keys: 1_000_000, samples: 1_000_000 }),
  drain('scaling', 50, { keys: 10_000, samples: 2_000_000, analyzers: 2 }),
  drain('cluster', 3, { keys: 10_000, samples: 1_000_000, masters: 3 }),
  { name: 'redis', inQuick: false, roundsMax: 3, open: async () => closed(() => redisFloor(500_000)) },
  {
    name: 'end to end',
    inQuick: false,
    roundsMax: 1,
    open: async () => closed(() => endToEnd({ seconds: 60, rate: 300_000 })),
  },
  { name: 'latency', inQuick: true, roundsMax: 3, open: openLatencies },
]

function drain(name: string, roundsMax: number, options: DrainOptions): Scenario {
  return { name, inQuick: false, roundsMax, open: () => openDrain(options) }
}

/** A scenario that starts everything again for each round. */
function closed(measure: () => Promise<Measures>): Opened {
  return { measure, async [Symbol.asyncDispose]() {} }
}

async function openLatencies(quick: boolean): Promise<Opened> {
  const latency = await openLatency()
  return {
    async measure() {
      const slow = await latency.measure(500, quick ? 4 : 10)
      const fast = await latency.measure(5000, quick ? 3 : 10)
      const named = Object.entries(fast).map(([name, value]) => [`${name}At5000`, value])
      return { ...slow, ...Object.fromEntries(named), allFailed: slow.failed + fast.failed }
    },
    [Symbol.asyncDispose]: () => latency[Symbol.asyncDispose](),
  }
}
