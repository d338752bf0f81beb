import { keysUnder, type PartitionKeys } from '@tidemark/shared/store/keys'
import { formatCount } from '../lib/format.ts'
import { type Cell, formatTable } from '../lib/table.ts'
import { openFiller, REQUEST_SAMPLES } from './filler.ts'
import { requestBody } from './signal.ts'
import { type BenchRedis, drained, startBenchRedis, startMeasuredAnalyzer } from './stack.ts'

const KEYS = 100_000
const SAMPLES = 1_000_000

/** The kinds of Redis keys that grow with the number of keys. Settings bound the others. */
const KINDS: readonly (keyof PartitionKeys)[] = [
  'windows',
  'windowTails',
  'guardMemories',
  'lastAnalysis',
  'keys',
  'timers',
  'aggregates',
  'aggregatesHours',
  'aggregatesDays',
]

/** Redis is asked for the sizes of so many keys at a time. */
const SIZES_AT_ONCE = 1000

/** Returns tables of bytes per key in Redis, and per sample on the network if all keys differ. */
export async function measureFootprint(): Promise<string> {
  await using redis = await startBenchRedis()
  await using filler = await openFiller(redis)
  await filler.history(KEYS)
  await using analyzer = await startMeasuredAnalyzer(redis)
  // Warm-up: every window is loaded once.
  await filler.backlog(KEYS, KEYS)
  await drained(redis)
  const before = await traffic(redis)
  process.kill(analyzer.pid, 'SIGSTOP')
  await filler.backlog(SAMPLES, KEYS)
  const appended = await traffic(redis)
  process.kill(analyzer.pid, 'SIGCONT')
  await drained(redis)
  const analysed = await traffic(redis)
  const body = requestBody({ samples: REQUEST_SAMPLES, keys: KEYS, seed: 1 })
  const perSample: Cell[][] = [
    ['HTTP body', Math.round(body.length / REQUEST_SAMPLES)],
    ['append, into Redis', Math.round((appended.in - before.in) / SAMPLES)],
    ['read, out of Redis', Math.round((analysed.out - appended.out) / SAMPLES)],
    ['commit, into Redis', Math.round((analysed.in - appended.in) / SAMPLES)],
  ]
  const perKey = await bytesPerKey(redis)
  const total = perKey.reduce((sum, [, bytes]) => sum + bytes, 0)
  const keys = `per key in Redis, of ${formatCount(KEYS)} keys`
  return [
    formatTable(['per sample, all of different keys', 'bytes'], perSample, { align: 'right' }),
    '',
    formatTable([keys, 'bytes'], [...perKey, ['total', total]], { align: 'right' }),
    '',
  ].join('\n')
}

async function traffic({ client }: BenchRedis): Promise<{ in: number; out: number }> {
  const stats = await client.info('stats')
  const field = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1])
  return { in: field('total_net_input_bytes'), out: field('total_net_output_bytes') }
}

/** Returns the bytes of each kind that occurs, including all members. */
async function bytesPerKey({ client }: BenchRedis): Promise<[kind: string, bytes: number][]> {
  const bytes = new Map(KINDS.map(kind => [nameOf(keysUnder('tm').partition(0)[kind]), 0]))
  const names = (await client.keys('*')).filter(name => bytes.has(nameOf(name)))
  for (let at = 0; at < names.length; at += SIZES_AT_ONCE) {
    const together = names.slice(at, at + SIZES_AT_ONCE)
    const sizes = await Promise.all(together.map(name => client.memory('USAGE', name, 'SAMPLES', 0)))
    for (const [i, name] of together.entries()) {
      bytes.set(nameOf(name), (bytes.get(nameOf(name)) ?? 0) + Number(sizes[i]))
    }
  }
  return [...bytes].filter(([, all]) => all > 0).map(([kind, all]) => [kind, Math.round(all / KEYS)])
}

/** Returns the name of a key without its partition, and without the key that a ring is of. */
function nameOf(name: string): string {
  return name.replace(/^.*}:/, '').replace(/:.*$/s, '')
}
