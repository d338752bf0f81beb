import { runProgram, startProgram } from '../program.ts'
import { type BenchRedis, startBenchRedis, startMeasuredGateway } from '../stack.ts'
import { spentBy } from '../usage.ts'

/** The output of `tools/bench/load/single.ts`. */
interface Seen {
  readonly requests: number
  readonly perSecond: number
  readonly failed: number
  readonly p99Ms: number
}

export type Single = Readonly<
  Record<'gatewayPerS' | 'gatewayCpuUs' | 'honoPerS' | 'honoCpuUs' | 'httpPerS' | 'httpCpuUs' | 'redisCpuUs', number>
>

/** One sample per request over 64 connections: the gateway with its Redis, and the two floors. */
export async function openSingle(seconds: number): Promise<AsyncDisposable & { measure(): Promise<Single> }> {
  await using opening = new AsyncDisposableStack()
  const redis: BenchRedis = opening.use(await startBenchRedis())
  const gateway = opening.use(await startMeasuredGateway(redis))
  const hono = opening.use(await startProgram('./floors/hono.ts'))
  const http = opening.use(await startProgram('./floors/http.ts'))
  const ports = {
    hono: (await hono.next<{ port: number }>()).port,
    http: (await http.next<{ port: number }>()).port,
  }

  async function load(pid: number, port: number, forSeconds: number) {
    const { cpuS, result } = await spentBy([pid, ...redis.pids], () =>
      runProgram<Seen>('./load/single.ts', [port, forSeconds]),
    )
    if (result.failed > 0) throw new Error(`${result.failed} of ${result.requests} requests failed`)
    const [serverS = 0, redisS = 0] = cpuS
    return {
      perS: result.perSecond,
      cpuUs: (serverS / result.requests) * 1e6,
      redisCpuUs: (redisS / result.requests) * 1e6,
    }
  }
  async function round(forSeconds: number): Promise<Single> {
    const floor = await load(http.pid, ports.http, forSeconds)
    const middle = await load(hono.pid, ports.hono, forSeconds)
    const ours = await load(gateway.pid, gateway.port, forSeconds)
    // No analyzer runs: the backlog would grow from round to round.
    await redis.flush()
    return {
      gatewayPerS: ours.perS,
      gatewayCpuUs: ours.cpuUs,
      redisCpuUs: ours.redisCpuUs,
      honoPerS: middle.perS,
      honoCpuUs: middle.cpuUs,
      httpPerS: floor.perS,
      httpCpuUs: floor.cpuUs,
    }
  }
  // Warm-up: the code is compiled.
  await round(2)
  const resources = opening.move()
  return { measure: () => round(seconds), [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
