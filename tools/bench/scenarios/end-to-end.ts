import { pause } from '@tidemark/shared/runtime/lifecycle'
import { runProgram } from '../program.ts'
import {
  drained,
  fillWindows,
  progressOf,
  startBenchRedis,
  startMeasuredAnalyzer,
  startMeasuredGateway,
} from '../stack.ts'
import { spentBy } from '../usage.ts'
import type { Sent } from './requests.ts'

const SECONDS = 60
const RATE = 300_000
const POLL_MS = 500

/** Measures a gateway, an analyzer and a Redis at a steady rate, up to committed verdicts. */
export async function endToEnd() {
  await using redis = await startBenchRedis()
  await fillWindows(redis, 10_000)
  await using analyzer = await startMeasuredAnalyzer(redis)
  await using gateway = await startMeasuredGateway(redis)
  await runProgram<Sent>('./load/batches.ts', [gateway.port, 3, RATE])
  await drained(redis)
  const before = await progressOf(redis)
  let backlogMax = 0
  const pids = [gateway.pid, analyzer.pid, ...redis.pids]
  const { cpuS, seconds } = await spentBy({ all: pids }, async () => {
    const isOver = new AbortController()
    const polling = watchBacklog(isOver.signal)
    const { failed } = await runProgram<Sent>('./load/batches.ts', [gateway.port, SECONDS, RATE])
    isOver.abort()
    await polling
    if (failed > 0) throw new Error(`${failed} requests failed`)
    await drained(redis)
  })
  async function watchBacklog(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      backlogMax = Math.max(backlogMax, (await progressOf(redis)).backlog)
      await pause(POLL_MS, signal)
    }
  }
  const samples = (await progressOf(redis)).analysed - before.analysed
  return { samplesPerS: samples / seconds, allCpuUs: (cpuS.all / samples) * 1e6, backlogMax }
}
