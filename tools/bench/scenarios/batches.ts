import { runProgram, startProgram } from '../program.ts'
import { type BenchRedis, startBenchRedis, startMeasuredGateway } from '../stack.ts'
import { spentBy } from '../usage.ts'

export interface Seen {
  readonly accepted: number
  readonly failed: number
  readonly perSecond: number
}

export type Batches = Readonly<
  Record<'samplesPerS' | 'cpuUs' | 'redisCpuUs' | 'noRedisPerS' | 'noRedisCpuUs' | 'parseCpuUs', number>
>

/** 1,000 samples per request: the gateway with Redis, without, and JSON.parse and zod alone. */
export async function openBatches(seconds: number): Promise<AsyncDisposable & { measure(): Promise<Batches> }> {
  await using opening = new AsyncDisposableStack()
  const redis: BenchRedis = opening.use(await startBenchRedis())
  const gateway = opening.use(await startMeasuredGateway(redis))
  const without = opening.use(await startProgram('./floors/no-redis.ts'))
  const { port } = await without.next<{ port: number }>()

  async function load(pid: number, at: number, forSeconds: number) {
    const { cpuS, result } = await spentBy([pid, ...redis.pids], () =>
      runProgram<Seen>('./load/batches.ts', [at, forSeconds, 10_000]),
    )
    if (result.failed > 0) throw new Error(`${result.failed} requests failed`)
    const [serverS = 0, redisS = 0] = cpuS
    const us = (s: number): number => (s / result.accepted) * 1e6
    return { perS: result.perSecond, cpuUs: us(serverS), redisCpuUs: us(redisS) }
  }
  async function round(forSeconds: number): Promise<Batches> {
    const floor = await load(without.pid, port, forSeconds)
    const ours = await load(gateway.pid, gateway.port, forSeconds)
    await redis.flush()
    const { cpuUs: parseCpuUs } = await runProgram<{ cpuUs: number }>('./floors/parse.ts')
    return {
      samplesPerS: ours.perS,
      cpuUs: ours.cpuUs,
      redisCpuUs: ours.redisCpuUs,
      noRedisPerS: floor.perS,
      noRedisCpuUs: floor.cpuUs,
      parseCpuUs,
    }
  }
  await round(2)
  const resources = opening.move()
  return { measure: () => round(seconds), [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
