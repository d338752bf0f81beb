import { runProgram } from '../program.ts'
import { startBenchRedis, startMeasuredAnalyzer, startMeasuredGateway } from '../stack.ts'

/** What `tools/bench/load/delay.ts` prints. */
export interface Delay {
  readonly verdicts: number
  readonly failed: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly ingestP50Ms: number
  readonly ingestP99Ms: number
}

/** How long a verdict takes while `rate` requests come each second. */
export async function openDelay(): Promise<
  AsyncDisposable & { measure(rate: number, seconds: number): Promise<Delay> }
> {
  await using opening = new AsyncDisposableStack()
  const redis = opening.use(await startBenchRedis())
  opening.use(await startMeasuredAnalyzer(redis))
  const gateway = opening.use(await startMeasuredGateway(redis))
  const measure = (rate: number, seconds: number): Promise<Delay> =>
    runProgram<Delay>('./load/delay.ts', [gateway.port, seconds, rate])
  await measure(1000, 3)
  const resources = opening.move()
  return { measure, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
