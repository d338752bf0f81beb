import { openBatches } from './scenarios/batches.ts'
import { openDelay } from './scenarios/delay.ts'
import { openDrain } from './scenarios/drain.ts'
import { endToEnd } from './scenarios/end-to-end.ts'
import { redisFloor } from './scenarios/redis-floor.ts'
import { openSingle } from './scenarios/single.ts'

/** Named figures of one round. */
export type Measures = Readonly<Record<string, number>>

export interface Scenario {
  readonly name: string
  readonly inQuick: boolean
  /** Measured so often at most: some last too long, and need it too little, for every round. */
  readonly roundsMax: number
  /** Makes everything ready and warm; `measure` is one round. */
  open(quick: boolean): Promise<AsyncDisposable & { measure(): Promise<Measures> }>
}

/** A scenario that makes everything anew for each round. */
function closed(measure: () => Promise<object>): AsyncDisposable & { measure(): Promise<Measures> } {
  return { measure: async () => ({ ...(await measure()) }) as Measures, async [Symbol.asyncDispose]() {} }
}

async function drain(options: Parameters<typeof openDrain>[0]) {
  const opened = await openDrain(options)
  return {
    measure: async (): Promise<Measures> => ({ ...(await opened.measure()) }),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  }
}

export const SCENARIOS: readonly Scenario[] = [
  { name: 'single', inQuick: true, roundsMax: 50, open: quick => openSingle(quick ? 2 : 4) },
  { name: 'batches', inQuick: true, roundsMax: 50, open: quick => openBatches(quick ? 2 : 4) },
  {
    name: 'drain 10,000',
    inQuick: true,
    roundsMax: 50,
    open: quick => drain({ keys: 10_000, samples: quick ? 1_000_000 : 2_000_000 }),
  },
  { name: 'drain 100,000', inQuick: false, roundsMax: 50, open: () => drain({ keys: 100_000, samples: 1_000_000 }) },
  { name: 'drain 1,000,000', inQuick: false, roundsMax: 2, open: () => drain({ keys: 1_000_000, samples: 1_000_000 }) },
  {
    name: 'scaling',
    inQuick: false,
    roundsMax: 50,
    open: () => drain({ keys: 10_000, samples: 2_000_000, analyzers: 2 }),
  },
  {
    name: 'cluster',
    inQuick: false,
    roundsMax: 3,
    open: () => drain({ keys: 10_000, samples: 1_000_000, masters: 3 }),
  },
  { name: 'redis', inQuick: false, roundsMax: 3, open: async () => closed(() => redisFloor(500_000)) },
  {
    name: 'end to end',
    inQuick: false,
    roundsMax: 1,
    open: async () => closed(() => endToEnd({ seconds: 60, rate: 300_000 })),
  },
  {
    name: 'delay',
    inQuick: true,
    roundsMax: 3,
    async open(quick) {
      const delay = await openDelay()
      return {
        async measure() {
          const slow = await delay.measure(500, quick ? 4 : 10)
          const fast = await delay.measure(5000, quick ? 3 : 10)
          const named = Object.entries(fast).map(([name, value]) => [`${name}At5000`, value])
          return { ...slow, ...Object.fromEntries(named) }
        },
        [Symbol.asyncDispose]: () => delay[Symbol.asyncDispose](),
      }
    },
  },
]
