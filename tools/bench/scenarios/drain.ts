import { openFiller } from '../filler.ts'
import { drained, startBenchRedis, startMeasuredAnalyzer } from '../stack.ts'
import type { Subject } from '../subject.ts'
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
 * Analyzers drain backlogs, with all windows full and in memory. They are stopped (SIGSTOP) while a
 * backlog is appended. CPU covers all analyzers, or all masters; `bytesPerKey` is of one analyzer.
 */
export async function* drain(subject: Subject, { keys, samples, analyzers = 1, masters = 1 }: DrainOptions) {
  await using redis = await startBenchRedis({ subject, masters })
  await using filler = await openFiller(redis)
  const empty = await redis.usedMemory()
  await filler.history(keys)
  await using started = new AsyncDisposableStack()
  const pids: number[] = []
  for (let i = 0; i < analyzers; i++) pids.push(started.use(await startMeasuredAnalyzer(redis)).pid)
  const signal = (name: NodeJS.Signals): void => {
    for (const pid of pids) process.kill(pid, name)
  }
  started.defer(() => signal('SIGCONT'))
  const { rss } = await usageOf(pids[0] ?? 0)

  async function round(amount: number) {
    signal('SIGSTOP')
    const before = await redis.usedMemory()
    await filler.backlog(amount, keys)
    const full = await redis.usedMemory()
    await redis.releaseFiles()
    await redis.forgetSlowCommands()
    const { cpuS, seconds } = await spentBy({ redis: redis.pids, analyzers: pids }, async () => {
      signal('SIGCONT')
      await drained(redis)
    })
    const longestCommandMs = await redis.longestCommandMs()
    const { rss: now } = await usageOf(pids[0] ?? 0)
    return {
      samplesPerS: amount / seconds,
      analyzerCpuUs: (cpuS.analyzers / amount) * 1e6,
      redisCpuUs: (cpuS.redis / amount) * 1e6,
      bytesPerKey: (now - rss) / (keys / analyzers),
      redisBytesPerKey: ((await redis.usedMemory()) - empty) / keys,
      bytesPerPending: (full - before) / amount,
      longestCommandMs,
    }
  }
  // Warm-up: every key is loaded once, and the code is compiled.
  await round(Math.max(keys, 400_000))
  for (;;) yield await round(samples)
}
