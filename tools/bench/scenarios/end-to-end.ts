import { pause } from '@tidemark/shared/runtime/lifecycle'
import { runProgram } from '../program.ts'
import {
  analysedOf,
  backlogOf,
  drained,
  fillWindows,
  startBenchRedis,
  startMeasuredAnalyzer,
  startMeasuredGateway,
} from '../stack.ts'
import { spentBy } from '../usage.ts'
import type { Seen } from './batches.ts'

export type EndToEnd = Readonly<Record<'samplesPerS' | 'allCpuUs' | 'backlogMax', number>>

const KEYS = 10_000
const POLL_MS = 500

/** Measures a gateway, an analyzer and a Redis at a steady rate, up to committed verdicts. */
export async function endToEnd({ seconds, rate }: { seconds: number; rate: number }): Promise<EndToEnd> {
  await using redis = await startBenchRedis()
  await fillWindows(redis, KEYS)
  await using analyzer = await startMeasuredAnalyzer(redis)
  await using gateway = await startMeasuredGateway(redis)
  await runProgram<Seen>('./load/batches.ts', [gateway.port, 3, KEYS, rate])
  await drained(redis)
  const before = await analysedOf(redis)
  let backlogMax = 0
  const { cpuS, seconds: took } = await spentBy([gateway.pid, analyzer.pid, ...redis.pids], async () => {
    const isOver = new AbortController()
    const load = runProgram<Seen>('./load/batches.ts', [gateway.port, seconds, KEYS, rate])
    const polling = watchBacklog(isOver.signal)
    const { failed } = await load
    isOver.abort()
    await polling
    if (failed > 0) throw new Error(`${failed} requests failed`)
    await drained(redis)
  })
  async function watchBacklog(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      backlogMax = Math.max(backlogMax, await backlogOf(redis))
      await pause(POLL_MS, signal)
    }
  }
  const samples = (await analysedOf(redis)) - before
  return {
    samplesPerS: samples / took,
    allCpuUs: (cpuS.reduce((sum, s) => sum + s, 0) / samples) * 1e6,
    backlogMax,
  }
}
