import { runProgram } from '../program.ts'
import { startBenchRedis, startMeasuredAnalyzer, startMeasuredGateway } from '../stack.ts'

/** The output of `tools/bench/load/latency.ts`. */
export type Latency = Readonly<
  Record<'verdicts' | 'failed' | 'p50Ms' | 'p99Ms' | 'ingestP50Ms' | 'ingestP99Ms', number>
>

export interface LatencyBench extends AsyncDisposable {
  /** Measures the latency of verdicts at a rate of requests per second. */
  measure(rate: number, seconds: number): Promise<Latency>
}

export async function openLatency(): Promise<LatencyBench> {
  await using opening = new AsyncDisposableStack()
  const redis = opening.use(await startBenchRedis())
  opening.use(await startMeasuredAnalyzer(redis))
  const gateway = opening.use(await startMeasuredGateway(redis))
  const measure = (rate: number, seconds: number): Promise<Latency> =>
    runProgram<Latency>('./load/latency.ts', [gateway.port, seconds, rate])
  // Warm-up: the code is compiled.
  await measure(1000, 3)
  const resources = opening.move()
  return { measure, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
