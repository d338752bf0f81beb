import { formatCount } from '../lib/format.ts'
import { formatTable } from '../lib/table.ts'
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

/** Bytes on the network and in Redis, from which docs/performance.md extrapolates. */
export interface Footprint {
  readonly keys: number
  readonly bytesPerSample: { readonly [way: string]: number }
  /** For each kind of Redis key, including all members. */
  readonly bytesPerKey: { readonly [kind: string]: number }
}

/** Measures bytes per key in Redis, and per sample on the network if all keys differ. */
export async function measureFootprint(): Promise<Footprint> {
  await using redis = await startBenchRedis()
  await fillWindows(redis, KEYS)
  await using analyzer = await startMeasuredAnalyzer(redis)
  // Warm-up: every window is loaded once.
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
  const perKey = Object.entries(kinds).filter(([, bytes]) => bytes > 0)
  const total = perKey.reduce((sum, [, bytes]) => sum + bytes, 0)
  return [
    formatTable(['per sample, all of different keys', 'bytes'], Object.entries(bytesPerSample), { align: 'right' }),
    '',
    formatTable([`per key in Redis, of ${formatCount(keys)} keys`, 'bytes'], [...perKey, ['total', total]], {
      align: 'right',
    }),
    '',
  ].join('\n')
}

async function traffic({ clients }: BenchRedis): Promise<{ in: number; out: number }> {
  const stats = (await clients[0]?.info('stats')) ?? ''
  const field = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1])
  return { in: field('total_net_input_bytes'), out: field('total_net_output_bytes') }
}

/** The kinds that grow with the number of keys. Settings bound the others. */
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
