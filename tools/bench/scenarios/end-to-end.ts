import { pause } from '@tidemark/shared/runtime/lifecycle'
import { openFiller } from '../filler.ts'
import { runProgram } from '../program.ts'
import {
  type BenchRedis,
  drained,
  progressOf,
  startBenchRedis,
  startMeasuredAnalyzer,
  startMeasuredGateway,
} from '../stack.ts'
import type { Subject } from '../subject.ts'
import { spentBy } from '../usage.ts'
import type { Sent } from './requests.ts'

const POLL_MS = 500

export interface EndToEndOptions {
  readonly keys: number
  /** Samples/s. */
  readonly rate: number
  readonly seconds: number
}

/** Measures a gateway, an analyzer and a Redis at a steady rate, up to committed verdicts. */
export async function* endToEnd(subject: Subject, { keys, rate, seconds: forSeconds }: EndToEndOptions) {
  await using redis = await startBenchRedis({ subject })
  {
    await using filler = await openFiller(redis)
    await filler.history(keys)
  }
  await using analyzer = await startMeasuredAnalyzer(redis)
  await using gateway = await startMeasuredGateway(redis)
  let cycle = 0
  const pids = { gateway: [gateway.pid], analyzer: [analyzer.pid], redis: redis.pids }

  async function round(sendFor: number) {
    await redis.releaseFiles()
    const before = await progressOf(redis)
    const isOver = new AbortController()
    const polling = maxBacklog(redis, isOver.signal)
    const { cpuS, seconds } = await spentBy(pids, async () => {
      const { failed } = await runProgram<Sent>('./load/steady.ts', [gateway.port, sendFor, rate, keys, cycle])
      cycle += Math.ceil((sendFor * rate) / keys) + 1
      isOver.abort()
      if (failed > 0) throw new Error(`${failed} requests failed`)
      await drained(redis)
    })
    const samples = (await progressOf(redis)).analysed - before.analysed
    const perSample = (cpu: number): number => (cpu / samples) * 1e6
    return {
      samplesPerS: samples / seconds,
      gatewayCpuUs: perSample(cpuS.gateway),
      analyzerCpuUs: perSample(cpuS.analyzer),
      redisCpuUs: perSample(cpuS.redis),
      allCpuUs: perSample(cpuS.gateway + cpuS.analyzer + cpuS.redis),
      backlogMax: await polling,
    }
  }
  // Warm-up: every key is loaded once, and the code is compiled.
  await round(Math.max(5, (1.2 * keys) / rate))
  for (;;) yield await round(forSeconds)
}

/** Resolves with the largest backlog when `signal` is aborted. */
async function maxBacklog(redis: BenchRedis, signal: AbortSignal): Promise<number> {
  let max = 0
  while (!signal.aborted) {
    max = Math.max(max, (await progressOf(redis)).backlog)
    await pause(POLL_MS, signal)
  }
  return max
}
