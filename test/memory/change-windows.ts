import { setInterval } from 'node:timers/promises'
import { EMPTY_DOCUMENT, type RuleDocument, withRule } from '@tidemark/shared/detection/rules/document'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { openFiller } from '@tidemark/tools/bench/filler'
import { type BenchRedis, drained, startBenchRedis } from '@tidemark/tools/bench/stack'
import { usageOf } from '@tidemark/tools/bench/usage'
import { startAnalyzer } from '@tidemark/tools/stack/service-process'
import type { MemoryLimit } from './cgroup.ts'

/** Samples of each key in each phase. */
const SAMPLES_PER_KEY = 2

/** The windows that a rule for all keys sets, one after the other. */
export const WINDOWS = [500, 499]

const CHANGE = { who: 'memory run', why: 'test', at: 0 }
const MEASURE_MS = 20
const ADOPTED_WITHIN_MS = 100_000

export interface MemoryOptions {
  readonly keys: number
  readonly windowsBytesMax: number
  /** The analyzer runs in it. */
  readonly limit: MemoryLimit | undefined
  readonly onPhase?: (phase: Phase) => void
}

export interface Phase {
  readonly title: string
  readonly seconds: number
  /** The most in the phase. */
  readonly rss: number
  /** At its end. */
  readonly windowsBytes: number
  readonly windows: number
  readonly evicted: number
}

export interface MemoryResult {
  readonly phases: readonly Phase[]
  /** Keys with another count of samples than they were sent: windows that were lost. */
  readonly wrongKeys: number
}

/**
 * Gives an analyzer samples of many keys, and then twice a rule for all of them with a much larger
 * window. In each phase the analyzer is frozen until all samples wait, as after an outage. Rejects
 * when the analyzer does not survive.
 */
export async function changeWindows({ keys, windowsBytesMax, limit, onPhase }: MemoryOptions): Promise<MemoryResult> {
  await using redis = await startBenchRedis()
  await using filler = await openFiller(redis)
  const settings = { WINDOWS_BYTES_MAX: String(windowsBytesMax), LEASE_TTL_MS: '300000', STORE_TIMEOUT_MS: '30000' }
  const start = () => startAnalyzer({ ...redis.env, ...settings })
  await using analyzer = await (limit === undefined ? start() : limit.startIn(start))
  const metrics = async (): Promise<string> => (await fetch(`http://127.0.0.1:${analyzer.metricsPort}/metrics`)).text()
  const read = (text: string, name: string): number => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1])

  const phases: Phase[] = []
  async function run(title: string): Promise<void> {
    process.kill(analyzer.pid, 'SIGSTOP')
    await filler.backlog(keys * SAMPLES_PER_KEY, keys)
    process.kill(analyzer.pid, 'SIGCONT')
    const begin = performance.now()
    const rss = await peakDuring(analyzer.pid, drained(redis))
    // Measured once a second; every partition has evicted what it must by then.
    await pause(2500)
    const text = await metrics()
    const phase = {
      title,
      seconds: (performance.now() - begin) / 1000,
      rss,
      windowsBytes: read(text, 'analyzer_windows_bytes'),
      windows: read(text, 'analyzer_windows_kept'),
      evicted: read(text, 'analyzer_windows_evicted_total'),
    }
    phases.push(phase)
    onPhase?.(phase)
  }

  await run('windows of 50')
  let document: RuleDocument = EMPTY_DOCUMENT
  for (const window of WINDOWS) {
    document = withRule(document, { id: 'all', pattern: '*', window }, CHANGE)
    const { version } = document
    const change = { ...CHANGE, version, kind: 'rule_put', id: 'all', content: { pattern: '*', window } } as const
    const { rules } = redis.store
    if (!(await rules.replace(document, change, await rules.digest())))
      throw new Error('the rules could not be replaced')
    const deadline = performance.now() + ADOPTED_WITHIN_MS
    while (read(await metrics(), 'analyzer_rules_version') !== version) {
      if (performance.now() > deadline) throw new Error(`rules ${version} were not adopted`)
      await pause(50)
    }
    await run(`windows of ${window}`)
  }
  return { phases, wrongKeys: await countWrong(redis, keys, phases.length * SAMPLES_PER_KEY) }
}

/** Returns the most resident bytes of a process until `work` is done. */
async function peakDuring(pid: number, work: Promise<void>): Promise<number> {
  const done = new AbortController()
  const finished = work.finally(() => done.abort())
  let peak = 0
  try {
    for await (const _ of setInterval(MEASURE_MS, undefined, { signal: done.signal })) {
      peak = Math.max(peak, (await usageOf(pid)).rss)
    }
  } catch (error) {
    if (!done.signal.aborted)
      throw new Error('the analyzer was killed: it needed more memory than its limit', { cause: error })
  }
  await finished
  return peak
}

/** Counts the keys whose newest analysis is not their `count`-th. */
async function countWrong({ store, partitions }: BenchRedis, keys: number, count: number): Promise<number> {
  let right = 0
  for (const partition of partitions) {
    const seen = new Set<string>()
    for (let cursor = '0'; ; ) {
      const { analyses, next } = await store.gateway.scanAnalyses(partition, cursor)
      for (const { key, analysis } of analyses) if (JSON.parse(analysis).count === count) seen.add(key)
      if (next === '0') break
      cursor = next
    }
    right += seen.size
  }
  return keys - right
}
