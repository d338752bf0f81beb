/** One row of the table of figures. Values and floors are computed from one round. */
export interface Figure {
  readonly scenario: string
  readonly title: string
  readonly measure: string
  readonly unit: string
  readonly goal: { readonly text: string; isMet(value: number, ratio: number): boolean }
  /** What the value is compared with, from the same round. */
  readonly floor: { readonly title: string; readonly measure: string } | undefined
  /** The goal of the ratio to another version. */
  readonly change: RatioGoal | undefined
}

type Goal = Figure['goal']

export interface RatioGoal {
  readonly text: string
  isMet(ratio: number): boolean
}

const atMost = (max: number, text: string): Goal => ({ text, isMet: value => value <= max })
const atLeast = (min: number, text: string): Goal => ({ text, isMet: value => value >= min })
const ratioAtMost = (max: number): Goal => ({ text: `<= ${max} x floor`, isMet: (_, ratio) => ratio <= max })
const ratioAtLeast = (min: number): Goal => ({ text: `>= ${min} x floor`, isMet: (_, ratio) => ratio >= min })
const REPORTED: Goal = { text: 'reported', isMet: () => true }

const over = (title: string, measure: string): More => ({ floor: { title, measure } })
const changeAtMost = (max: number): More => ({
  change: { text: `<= ${max} x`, isMet: ratio => ratio <= max },
})

type More = Partial<Pick<Figure, 'floor' | 'change'>>

/** A figure of a scenario. A measure is given by its name. */
type Line = readonly [title: string, measure: string, unit: string, goal: Goal, more?: More]

const LONGEST_COMMAND: Line = ['the same, longest Redis command', 'longestCommandMs', 'ms', atMost(5, '<= 5 ms')]

function fleet(keys: string, often: string): Record<string, readonly Line[]> {
  return {
    [`fleet of ${keys} keys`]: [
      [`fleet of ${keys} keys, ${often}: CPU of all processes per sample`, 'allCpuUs', 'us', REPORTED],
      ['the same, gateway', 'gatewayCpuUs', 'us', REPORTED],
      ['the same, analyzer', 'analyzerCpuUs', 'us', REPORTED],
      ['the same, Redis', 'redisCpuUs', 'us', REPORTED],
    ],
  }
}

const LINES: Readonly<Record<string, readonly Line[]>> = {
  single: [
    ['one sample per request, requests/s', 'gatewayPerS', '/s', ratioAtLeast(1.1), over('bare Hono', 'honoPerS')],
    ['the same', 'gatewayPerS', '/s', ratioAtLeast(0.7), over('bare node:http', 'httpPerS')],
    ['the same, gateway CPU per request', 'gatewayCpuUs', 'us', ratioAtMost(0.85), over('bare Hono', 'honoCpuUs')],
    ['the same', 'gatewayCpuUs', 'us', REPORTED, over('bare node:http with Redis', 'durableCpuUs')],
    ['the same, Redis CPU per request', 'gatewayRedisCpuUs', 'us', REPORTED, over('of the bare', 'durableRedisCpuUs')],
    ['bare node:http with Redis, requests/s', 'durablePerS', '/s', REPORTED, over('bare Hono', 'honoPerS')],
    ['the same, CPU per request', 'durableCpuUs', 'us', REPORTED, over('bare Hono', 'honoCpuUs')],
  ],
  guarded: [
    [
      'one sample per request with authentication and rate limits, gateway CPU per request',
      'guardedCpuUs',
      'us',
      ratioAtMost(1.03),
      over('without both', 'openCpuUs'),
    ],
  ],
  batches: [
    [
      '1,000 samples per request, gateway CPU per sample',
      'gatewayCpuUs',
      'us',
      atMost(1.2, '<= 1.2 us'),
      over('JSON.parse and zod', 'parseCpuUs'),
    ],
    ['the same', 'gatewayCpuUs', 'us', ratioAtMost(2.2), over('without Redis', 'noRedisCpuUs')],
    ['the same, samples/s', 'gatewayPerS', '/s', REPORTED, over('without Redis', 'noRedisPerS')],
  ],
  'drain 10,000': [
    ['drain, 10,000 keys, samples/s', 'samplesPerS', '/s', atLeast(500_000, '>= 500,000/s')],
    ['the same, analyzer CPU per sample', 'analyzerCpuUs', 'us', atMost(2, '<= 2.0 us'), changeAtMost(0.9)],
    ['the same, Redis CPU per sample', 'redisCpuUs', 'us', atMost(1, '<= 1.0 us'), changeAtMost(0.9)],
    LONGEST_COMMAND,
    ['Redis memory per unprocessed sample', 'bytesPerPending', 'bytes', atMost(50, '<= 50 bytes')],
  ],
  'drain 100,000': [
    [
      'drain, 100,000 keys, every sample of another key, samples/s',
      'samplesPerS',
      '/s',
      atLeast(200_000, '>= 200,000/s'),
    ],
    ['the same, analyzer CPU per sample', 'analyzerCpuUs', 'us', REPORTED, changeAtMost(0.7)],
    ['the same, Redis CPU per sample', 'redisCpuUs', 'us', REPORTED, changeAtMost(0.6)],
    LONGEST_COMMAND,
  ],
  'drain 1,000,000': [
    [
      'drain, 1,000,000 keys, analyzer CPU per sample',
      'analyzerCpuUs',
      'us',
      ratioAtMost(1.3),
      over('100,000 keys', 'drain 100,000 analyzerCpuUs'),
    ],
    ['the same, Redis CPU per sample', 'redisCpuUs', 'us', REPORTED],
    ['the same, analyzer memory per key', 'bytesPerKey', 'bytes', atMost(1024, '<= 1,024 bytes')],
    ['the same, Redis memory per key', 'redisBytesPerKey', 'bytes', atMost(1200, '<= 1,200 bytes')],
    LONGEST_COMMAND,
  ],
  'end to end': [
    [
      'end to end on this machine, samples/s',
      'samplesPerS',
      '/s',
      atLeast(294_000, '>= 300,000/s, minus 2 % for the last drain'),
    ],
    ['the same, maximum backlog', 'backlogMax', 'samples', atMost(300_000, 'stable: less than one second of samples')],
    ['the same, CPU of gateway, analyzer and Redis per sample', 'allCpuUs', 'us', REPORTED, changeAtMost(0.75)],
    ['the same, gateway', 'gatewayCpuUs', 'us', REPORTED],
    ['the same, analyzer', 'analyzerCpuUs', 'us', REPORTED],
    ['the same, Redis', 'redisCpuUs', 'us', REPORTED],
  ],
  ...fleet('1,000', 'each every second'),
  ...fleet('100,000', 'each every 10 s'),
  ...fleet('1,000,000', 'each every minute'),
  takeover: [
    [
      'takeover of a partition with 100,000 keys at work, from its lease to the first verdict',
      'firstVerdictMs',
      'ms',
      atMost(1000, '<= 1 s'),
      changeAtMost(1.1),
    ],
    ['the same, from SIGKILL to the first verdict, with leases of 5 s', 'outageMs', 'ms', REPORTED],
  ],
  latency: [
    ['latency from accepted to readable, 500 requests/s, p50', 'p50Ms', 'ms', atMost(3, '<= 3 ms')],
    ['the same, p99', 'p99Ms', 'ms', atMost(10, '<= 10 ms')],
    ['the same, failed requests', 'allFailed', '', atMost(0, 'none')],
    ['the same at 5,000 requests/s, p99', 'p99MsAt5000', 'ms', atMost(30, '<= 30 ms')],
  ],
  idle: [
    [
      'idle gateway, analyzer and Redis together, share of one core',
      'cpuPercent',
      '%',
      atMost(0.5, '<= 0.5 %'),
      over('Redis and two that ping it', 'barePercent'),
    ],
    ['the same, gateway', 'gatewayPercent', '%', REPORTED],
    ['the same, analyzer', 'analyzerPercent', '%', REPORTED],
    ['the same, Redis', 'redisPercent', '%', REPORTED],
    ['the same, Redis commands', 'commandsPerS', '/s', atMost(20, '<= 20/s')],
    ['the same, with the commands of scripts', 'executedPerS', '/s', REPORTED],
    ['a bare Redis and two bare processes that ping it twice a second', 'barePercent', '%', REPORTED],
  ],
  // Three busy processes share two cores here, so the rate of two analyzers is not a goal.
  scaling: [
    [
      'two analyzers, CPU per sample',
      'analyzerCpuUs',
      'us',
      ratioAtMost(1.2),
      over('one analyzer', 'drain 10,000 analyzerCpuUs'),
    ],
    ['two analyzers, samples/s', 'samplesPerS', '/s', REPORTED, over('one analyzer', 'drain 10,000 samplesPerS')],
  ],
  cluster: [
    [
      'drain from a cluster of 3 masters, analyzer CPU per sample',
      'analyzerCpuUs',
      'us',
      REPORTED,
      over('one Redis', 'drain 10,000 analyzerCpuUs'),
    ],
    [
      'the same, CPU of the 3 masters per sample',
      'redisCpuUs',
      'us',
      REPORTED,
      over('one Redis', 'drain 10,000 redisCpuUs'),
    ],
  ],
  redis: [
    ['Redis CPU of an XADD of one sample, pipelined', 'xaddCpuUs', 'us', REPORTED],
    ['10,000 short Redis commands beside two busy processes, the mean', 'shortCommandMs', 'ms', REPORTED],
    ['the same, the longest', 'longestShortCommandMs', 'ms', REPORTED],
    ['CPU of XREADGROUP and JSON.parse of packed entries, per sample', 'readCpuUs', 'us', REPORTED],
  ],
}

/** The figures of the table. */
export const FIGURES: readonly Figure[] = Object.entries(LINES).flatMap(([scenario, lines]) =>
  lines.map(([title, measure, unit, goal, { floor, change } = {}]) => {
    return { scenario, title, measure, unit, goal, floor, change }
  }),
)

/** The figures that are compared with another version: each measure once, whatever its floors. */
export const COMPARED: readonly Figure[] = FIGURES.filter(
  ({ scenario, measure }, at) =>
    at === FIGURES.findIndex(other => other.scenario === scenario && other.measure === measure),
)
