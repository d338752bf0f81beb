import { requestBody } from './signal.ts'
import {
  type BenchRedis,
  drained,
  fillBacklog,
  fillWindows,
  REQUEST_SAMPLES,
  startBenchRedis,
  startMeasuredAnalyzer,
} from './stack.ts'

const KEYS = 100_000
const SAMPLES = 1_000_000

/** What docs/performance.md's capacity page extrapolates from. Bytes are those of the network, or of Redis' memory. */
export interface Footprint {
  readonly keys: number
  readonly bytesPerSample: { readonly [way: string]: number }
  /** Of each kind of Redis key, all of its members counted. */
  readonly bytesPerKey: { readonly [kind: string]: number }
}

/** Measures what a key occupies in Redis, and what a sample moves over the network when each of a batch is another key's. */
export async function measureFootprint(): Promise<Footprint> {
  await using redis = await startBenchRedis()
  await fillWindows(redis, KEYS)
  await using analyzer = await startMeasuredAnalyzer(redis)
  // Every window is loaded once.
  await fillBacklog(redis, KEYS, KEYS)
  await drained(redis)
  const before = await traffic(redis)
  process.kill(analyzer.pid, 'SIGSTOP')
  await fillBacklog(redis, SAMPLES, KEYS, 2)
  const appended = await traffic(redis)
  process.kill(analyzer.pid, 'SIGCONT')
  await drained(redis)
  const analysed = await traffic(redis)
  return {
    keys: KEYS,
    bytesPerSample: {
      'HTTP body': Math.round(requestBody({ samples: REQUEST_SAMPLES, keys: KEYS, seed: 1 }).length / REQUEST_SAMPLES),
      'append, into Redis': Math.round((appended.in - before.in) / SAMPLES),
      'read, out of Redis': Math.round((analysed.out - appended.out) / SAMPLES),
      'commit, into Redis': Math.round((analysed.in - appended.in) / SAMPLES),
    },
    bytesPerKey: await bytesPerKey(redis),
  }
}

export function footprintText({ keys, bytesPerSample, bytesPerKey: kinds }: Footprint): string {
  const lines = (figures: Readonly<Record<string, number>>): string[] =>
    Object.entries(figures).map(([name, bytes]) => `  ${name.padEnd(20)} ${String(bytes).padStart(5)}`)
  const perKey = Object.entries(kinds)
  const total = perKey.reduce((sum, [, bytes]) => sum + bytes, 0)
  return [
    'bytes a sample, each of a batch of another key',
    ...lines(bytesPerSample),
    '',
    `bytes a key in Redis, of ${keys.toLocaleString('en')} keys`,
    ...lines({ ...Object.fromEntries(perKey.filter(([, bytes]) => bytes > 0)), together: total }),
    '',
  ].join('\n')
}

async function traffic({ clients }: BenchRedis): Promise<{ in: number; out: number }> {
  const stats = (await clients[0]?.info('stats')) ?? ''
  const field = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1])
  return { in: field('total_net_input_bytes'), out: field('total_net_output_bytes') }
}

/** What grows with the keys: the rest (streams, anomalies, verdicts) is bounded by its own settings. */
const OF_KEYS = ['windows', 'window_tails', 'last_analysis', 'due']

async function bytesPerKey({ clients }: BenchRedis): Promise<Record<string, number>> {
  const [client] = clients
  const bytes = Object.fromEntries(OF_KEYS.map(kind => [kind, 0]))
  for (const name of (await client?.keys('*')) ?? []) {
    const kind = name.replace(/^.*}:/, '')
    if (!OF_KEYS.includes(kind)) continue
    bytes[kind] = (bytes[kind] ?? 0) + Number(await client?.memory('USAGE', name, 'SAMPLES', 0))
  }
  return Object.fromEntries(Object.entries(bytes).map(([kind, all]) => [kind, Math.round(all / KEYS)]))
}
