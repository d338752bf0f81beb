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

export type EndToEnd = Readonly<
  Record<'samplesPerS' | 'gatewayCpuUs' | 'analyzerCpuUs' | 'redisCpuUs' | 'backlogMax' | 'backlogEnd', number>
>

const KEYS = 10_000
const LOOK_EVERY_MS = 500

/** HTTP in, verdicts out, all committed: one gateway, one analyzer, one Redis, at a steady rate. */
export async function endToEnd({ seconds, rate }: { seconds: number; rate: number }): Promise<EndToEnd> {
  await using redis = await startBenchRedis()
  await fillWindows(redis, KEYS)
  await using analyzer = await startMeasuredAnalyzer(redis)
  await using gateway = await startMeasuredGateway(redis)
  await runProgram<Seen>('./load/batches.ts', [gateway.port, 3, KEYS, rate])
  await drained(redis)
  const before = await analysedOf(redis)
  let backlogMax = 0
  let backlogEnd = 0
  const { cpuS, seconds: took } = await spentBy([gateway.pid, analyzer.pid, ...redis.pids], async () => {
    const isOver = new AbortController()
    const load = runProgram<Seen>('./load/batches.ts', [gateway.port, seconds, KEYS, rate])
    const looking = look(isOver.signal)
    const { failed } = await load
    isOver.abort()
    await looking
    if (failed > 0) throw new Error(`${failed} requests failed`)
    backlogEnd = await backlogOf(redis)
    await drained(redis)
  })
  async function look(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      backlogMax = Math.max(backlogMax, await backlogOf(redis))
      await pause(LOOK_EVERY_MS, signal)
    }
  }
  const samples = (await analysedOf(redis)) - before
  const [gatewayS = 0, analyzerS = 0, redisS = 0] = cpuS
  const us = (s: number): number => (s / samples) * 1e6
  return {
    samplesPerS: samples / took,
    gatewayCpuUs: us(gatewayS),
    analyzerCpuUs: us(analyzerS),
    redisCpuUs: us(redisS),
    backlogMax,
    backlogEnd,
  }
}
