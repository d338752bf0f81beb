import { runProgram } from '../program.ts'
import { startBenchRedis, startMeasuredAnalyzer, startMeasuredGateway } from '../stack.ts'
import type { Subject } from '../subject.ts'

/** Measures the latency of verdicts at 500 and at 5,000 requests/s. */
export async function* latency(subject: Subject, seconds: number) {
  await using redis = await startBenchRedis({ subject })
  await using _analyzer = await startMeasuredAnalyzer(redis)
  await using gateway = await startMeasuredGateway(redis)
  const measure = (rate: number, forSeconds: number) =>
    runProgram<Record<'p50Ms' | 'p99Ms' | 'failed', number>>('./load/latency.ts', [gateway.port, forSeconds, rate])
  // Warm-up: the code is compiled.
  await measure(1000, 3)
  for (;;) {
    const { p50Ms, p99Ms, failed } = await measure(500, seconds)
    const fast = await measure(5000, seconds)
    yield { p50Ms, p99Ms, p99MsAt5000: fast.p99Ms, allFailed: failed + fast.failed }
  }
}
