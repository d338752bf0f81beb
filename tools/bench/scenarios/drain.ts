import { type BenchRedis, drained, fillBacklog, fillWindows, startBenchRedis, startMeasuredAnalyzer } from '../stack.ts'
import { spentBy, usageOf } from '../usage.ts'

export interface DrainOptions {
  readonly keys: number
  readonly samples: number
  /** Analyzers that share the backlog. */
  readonly analyzers?: number
  /** Redis masters that share the partitions. */
  readonly masters?: number
}

/**
 * CPU figures cover all analyzers, or all masters. `bytesPerKey` is the growth of one analyzer's
 * memory; `bytesPerPending` is Redis memory per unprocessed sample.
 */
export type Drain = Readonly<
  Record<'samplesPerS' | 'analyzerCpuUs' | 'redisCpuUs' | 'bytesPerKey' | 'bytesPerPending', number>
>

export interface DrainBench extends AsyncDisposable {
  /** Lets the analyzers drain another backlog. */
  measure(): Promise<Drain>
}

/**
 * Starts analyzers that drain backlogs, with all windows full and in memory. They are stopped
 * (SIGSTOP) while a backlog is appended. The first backlog warms them up.
 */
export async function openDrain({
  keys,
  samples,
  analyzers: count = 1,
  masters = 1,
}: DrainOptions): Promise<DrainBench> {
  await using opening = new AsyncDisposableStack()
  const redis: BenchRedis = opening.use(await startBenchRedis(masters))
  await fillWindows(redis, keys)
  const analyzers = await Promise.all(Array.from({ length: count }, () => startMeasuredAnalyzer(redis)))
  for (const analyzer of analyzers) opening.use(analyzer)
  const pids = analyzers.map(({ pid }) => pid)
  const signal = (name: NodeJS.Signals): void => {
    for (const pid of pids) process.kill(pid, name)
  }
  opening.defer(() => signal('SIGCONT'))
  const { rss } = await usageOf(pids[0] ?? 0)
  let seed = 1

  async function measure(amount: number): Promise<Drain> {
    signal('SIGSTOP')
    const empty = await redis.usedMemory()
    await fillBacklog(redis, amount, keys, ++seed)
    const full = await redis.usedMemory()
    const { cpuS, seconds } = await spentBy([...redis.pids, ...pids], async () => {
      signal('SIGCONT')
      await drained(redis)
    })
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
    const [redisS, analyzerS] = [sum(cpuS.slice(0, masters)), sum(cpuS.slice(masters))]
    const { rss: now } = await usageOf(pids[0] ?? 0)
    return {
      samplesPerS: amount / seconds,
      analyzerCpuUs: (analyzerS / amount) * 1e6,
      redisCpuUs: (redisS / amount) * 1e6,
      bytesPerKey: (now - rss) / (keys / count),
      bytesPerPending: (full - empty) / amount,
    }
  }
  // Warm-up: every key is loaded once, and the code is compiled.
  await measure(Math.max(keys, 400_000))
  const resources = opening.move()
  return { measure: () => measure(samples), [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
