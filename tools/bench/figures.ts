import type { Measures } from './scenarios.ts'

/** One row of the table of figures. */
export interface Figure {
  readonly title: string
  readonly scenario: string
  /** Computes the figure from one round. */
  readonly value: (of: Measures) => number
  readonly unit: string
  /** What it is compared with, from the same round. */
  readonly floor?: { readonly title: string; readonly value: (of: Measures) => number }
  readonly goal: { readonly text: string; readonly isMet: (value: number, ratio: number) => boolean }
  /** The ratio to a floor of the same run that --check compares. Less is better. */
  readonly watched?: (of: Measures) => number
}

const get =
  (name: string) =>
  (of: Measures): number =>
    of[name] ?? Number.NaN

const atMost = (max: number, text: string) => ({ text, isMet: (value: number) => value <= max })
const atLeast = (min: number, text: string) => ({ text, isMet: (value: number) => value >= min })

/** The figures of the table, with their goals. */
export const FIGURES: readonly Figure[] = [
  {
    title: 'one sample per request, requests/s',
    scenario: 'single',
    value: get('gatewayPerS'),
    unit: '/s',
    floor: { title: 'bare Hono', value: get('honoPerS') },
    goal: { text: '>= 1.1 x bare Hono', isMet: (_, ratio) => ratio >= 1.1 },
  },
  {
    title: 'the same',
    scenario: 'single',
    value: get('gatewayPerS'),
    unit: '/s',
    floor: { title: 'bare node:http', value: get('httpPerS') },
    goal: { text: '>= 0.7 x bare node:http', isMet: (_, ratio) => ratio >= 0.7 },
  },
  {
    title: 'the same, gateway CPU per request',
    scenario: 'single',
    value: get('gatewayCpuUs'),
    unit: 'us',
    floor: { title: 'bare Hono', value: get('honoCpuUs') },
    goal: { text: '<= 0.95 x bare Hono', isMet: (_, ratio) => ratio <= 0.95 },
    watched: of => get('gatewayCpuUs')(of) / get('honoCpuUs')(of),
  },
  {
    title: '1,000 samples per request, gateway CPU per sample',
    scenario: 'batches',
    value: get('cpuUs'),
    unit: 'us',
    floor: { title: 'JSON.parse and zod', value: get('parseCpuUs') },
    goal: atMost(1.2, '<= 1.2 us'),
    watched: of => get('cpuUs')(of) / get('parseCpuUs')(of),
  },
  {
    title: 'the same',
    scenario: 'batches',
    value: get('cpuUs'),
    unit: 'us',
    floor: { title: 'without Redis', value: get('noRedisCpuUs') },
    goal: { text: '<= 2.2 x without Redis', isMet: (_, ratio) => ratio <= 2.2 },
  },
  {
    title: 'the same, samples/s',
    scenario: 'batches',
    value: get('samplesPerS'),
    unit: '/s',
    floor: { title: 'without Redis', value: get('noRedisPerS') },
    goal: atLeast(0, 'reported'),
  },
  {
    title: 'drain, 10,000 keys, samples/s',
    scenario: 'drain 10,000',
    value: get('samplesPerS'),
    unit: '/s',
    goal: atLeast(500_000, '>= 500,000/s'),
  },
  {
    title: 'the same, analyzer CPU per sample',
    scenario: 'drain 10,000',
    value: get('analyzerCpuUs'),
    unit: 'us',
    goal: atMost(2, '<= 2.0 us'),
  },
  {
    title: 'the same, Redis CPU per sample',
    scenario: 'drain 10,000',
    value: get('redisCpuUs'),
    unit: 'us',
    goal: atMost(1, '<= 1.0 us'),
  },
  {
    title: 'Redis memory per unprocessed sample',
    scenario: 'drain 10,000',
    value: get('bytesPerPending'),
    unit: 'bytes',
    goal: atMost(50, '<= 50 bytes'),
  },
  {
    title: 'drain, 100,000 keys, every sample of another key, samples/s',
    scenario: 'drain 100,000',
    value: get('samplesPerS'),
    unit: '/s',
    goal: atLeast(200_000, '>= 200,000/s'),
  },
  {
    title: 'the same, analyzer CPU per sample',
    scenario: 'drain 100,000',
    value: get('analyzerCpuUs'),
    unit: 'us',
    goal: atMost(Number.POSITIVE_INFINITY, 'reported'),
  },
  {
    title: 'drain, 1,000,000 keys, analyzer CPU per sample',
    scenario: 'drain 1,000,000',
    value: get('analyzerCpuUs'),
    unit: 'us',
    floor: { title: '100,000 keys', value: get('drain 100,000 analyzerCpuUs') },
    goal: { text: '<= 1.5 x 100,000 keys', isMet: (_, ratio) => ratio <= 1.5 },
  },
  {
    title: 'the same, analyzer memory per key',
    scenario: 'drain 1,000,000',
    value: get('bytesPerKey'),
    unit: 'bytes',
    goal: atMost(1024, '<= 1 KiB'),
  },
  {
    title: 'end to end on this machine for 60 s, samples/s',
    scenario: 'end to end',
    value: get('samplesPerS'),
    unit: '/s',
    goal: atLeast(294_000, '>= 300,000/s, minus 2 % for the last drain'),
  },
  {
    title: 'the same, maximum backlog',
    scenario: 'end to end',
    value: get('backlogMax'),
    unit: 'samples',
    goal: atMost(300_000, 'stable: less than one second of samples'),
  },
  {
    title: 'the same, CPU of gateway, analyzer and Redis per sample',
    scenario: 'end to end',
    value: of => get('gatewayCpuUs')(of) + get('analyzerCpuUs')(of) + get('redisCpuUs')(of),
    unit: 'us',
    goal: atMost(Number.POSITIVE_INFINITY, 'reported'),
  },
  {
    title: 'latency from accepted to readable, 500 requests/s, p50',
    scenario: 'latency',
    value: get('p50Ms'),
    unit: 'ms',
    goal: atMost(3, '<= 3 ms'),
  },
  { title: 'the same, p99', scenario: 'latency', value: get('p99Ms'), unit: 'ms', goal: atMost(10, '<= 10 ms') },
  {
    title: 'the same, failed requests',
    scenario: 'latency',
    value: of => get('failed')(of) + get('failedAt5000')(of),
    unit: '',
    goal: atMost(0, 'none'),
  },
  {
    title: 'the same at 5,000 requests/s, p99',
    scenario: 'latency',
    value: get('p99MsAt5000'),
    unit: 'ms',
    goal: atMost(30, '<= 30 ms'),
  },
  {
    title: 'two analyzers, CPU per sample',
    scenario: 'scaling',
    value: get('analyzerCpuUs'),
    unit: 'us',
    floor: { title: 'one analyzer', value: get('drain 10,000 analyzerCpuUs') },
    goal: { text: '<= 1.2 x one analyzer: three busy processes, two cores', isMet: (_, ratio) => ratio <= 1.2 },
  },
  {
    title: 'two analyzers, samples/s',
    scenario: 'scaling',
    value: get('samplesPerS'),
    unit: '/s',
    floor: { title: 'one analyzer', value: get('drain 10,000 samplesPerS') },
    goal: atLeast(0, 'reported'),
  },
  {
    title: 'drain from a cluster of 3 masters, analyzer CPU per sample',
    scenario: 'cluster',
    value: get('analyzerCpuUs'),
    unit: 'us',
    floor: { title: 'one Redis', value: get('drain 10,000 analyzerCpuUs') },
    goal: atLeast(0, 'reported'),
  },
  {
    title: 'the same, CPU of the 3 masters per sample',
    scenario: 'cluster',
    value: get('redisCpuUs'),
    unit: 'us',
    floor: { title: 'one Redis', value: get('drain 10,000 redisCpuUs') },
    goal: atLeast(0, 'reported'),
  },
  {
    title: 'Redis CPU of an XADD of one sample, pipelined',
    scenario: 'redis',
    value: get('xaddCpuUs'),
    unit: 'us',
    goal: atLeast(0, 'a floor'),
  },
  {
    title: 'CPU of XREADGROUP and JSON.parse of packed entries, per sample',
    scenario: 'redis',
    value: get('readCpuUs'),
    unit: 'us',
    goal: atLeast(0, 'a floor'),
  },
]
