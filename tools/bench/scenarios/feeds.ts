import { runProgram, startProgram } from '../program.ts'
import { startBenchRedis, startMeasuredAnalyzer, startMeasuredGateway } from '../stack.ts'
import type { Subject } from '../subject.ts'

const FEEDS = 2000
const KEYS = 1000
const RATE = 500

/** Measures how open live feeds, each of one key, change the latency of requests. */
export async function* feeds(subject: Subject, seconds: number) {
  await using redis = await startBenchRedis({ subject })
  await using _analyzer = await startMeasuredAnalyzer(redis)
  await using gateway = await startMeasuredGateway(redis)
  const measure = () =>
    runProgram<Record<'ingestP50Ms' | 'p50Ms' | 'failed', number>>('./load/latency.ts', [gateway.port, seconds, RATE])
  // Warm-up: the code is compiled.
  await measure()
  for (;;) {
    const without = await measure()
    await using _feeds = await startProgram('./load/feeds.ts', [gateway.port, FEEDS, KEYS])
    const { ingestP50Ms, p50Ms, failed } = await measure()
    yield {
      ingestP50Ms,
      withoutIngestP50Ms: without.ingestP50Ms,
      p50Ms,
      withoutP50Ms: without.p50Ms,
      allFailed: failed + without.failed,
    }
  }
}
