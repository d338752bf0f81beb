import { runProgram } from '../program.ts'
import { startBenchRedis, startMeasuredAnalyzer, startMeasuredGateway } from '../stack.ts'

/** Measures the latency of verdicts at 500 and at 5,000 requests/s. */
export async function* latency({ slowS, fastS }: { slowS: number; fastS: number }) {
  await using redis = await startBenchRedis()
  await using _analyzer = await startMeasuredAnalyzer(redis)
  await using gateway = await startMeasuredGateway(redis)
  const measure = (rate: number, seconds: number) =>
    runProgram<Record<'p50Ms' | 'p99Ms' | 'failed', number>>('./load/latency.ts', [gateway.port, seconds, rate])
  // Warm-up: the code is compiled.
  await measure(1000, 3)
  for (;;) {
    const { p50Ms, p99Ms, failed } = await measure(500, slowS)
    const fast = await measure(5000, fastS)
    yield { p50Ms, p99Ms, p99MsAt5000: fast.p99Ms, allFailed: failed + fast.failed }
  }
}
