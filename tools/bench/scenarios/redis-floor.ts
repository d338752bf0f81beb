import { partitionOf } from '@tidemark/shared/sample/partition'
import { Random } from '@tidemark/testkit/random'
import { runProgram, startFloor } from '../program.ts'
import { keyNumber, reading } from '../signal.ts'
import { PARTITIONS, startBenchRedis } from '../stack.ts'
import { spentBy } from '../usage.ts'

const ENTRIES = 100_000
const SAMPLES = 500_000
const PIPELINE = 500

/** It takes Redis a third of a millisecond on the machine of docs/performance.md. */
const SHORT_SCRIPT = "local sum = 0 for i = 1, 60000 do sum = sum + i end redis.call('SET', 'sum', sum)"
const SHORT_SCRIPTS = 10_000
const BUSY_PROCESSES = 2

/**
 * Measures Redis' CPU for XADD of one sample, the reader's for XREADGROUP and parsing, and the
 * longest of short commands beside busy processes.
 */
export async function* redisFloor() {
  for (;;) yield { ...(await measure()), ...(await longestShortCommand()) }
}

/** Redis measures commands by the clock, so they contain the time in which others had its core. */
async function longestShortCommand() {
  await using redis = await startBenchRedis()
  await using busy = new AsyncDisposableStack()
  for (let i = 0; i < BUSY_PROCESSES; i++) busy.use(await startFloor('./floors/busy.ts', []))
  await redis.forgetSlowCommands()
  const begin = performance.now()
  for (let n = 0; n < SHORT_SCRIPTS; n += PIPELINE) {
    await Promise.all(Array.from({ length: PIPELINE }, () => redis.client.eval(SHORT_SCRIPT, 0)))
  }
  const shortCommandMs = (performance.now() - begin) / SHORT_SCRIPTS
  return { longestShortCommandMs: await redis.longestCommandMs(), shortCommandMs }
}

async function measure() {
  await using redis = await startBenchRedis()
  const { client } = redis
  const random = new Random(3)
  const { cpuS } = await spentBy({ redis: redis.pids }, async () => {
    for (let n = 0; n < ENTRIES; n += PIPELINE) {
      const pipeline = client.pipeline()
      for (let i = 0; i < PIPELINE; i++) {
        pipeline.xadd('floor', '*', 'k', keyNumber(i), 'v', reading(random), 't', 1_700_000_000_000)
      }
      await pipeline.exec()
    }
  })
  const streams = Array.from({ length: PARTITIONS }, (_, n) => `packed-${n}`)
  for (const stream of streams) await client.xgroup('CREATE', stream, 'bench', '0', 'MKSTREAM')
  for (let done = 0; done < SAMPLES; done += 1000) {
    const keys = Array.from({ length: 1000 }, (_, i) => keyNumber((done + i) % 10_000))
    const byPartition = Map.groupBy(keys, key => partitionOf(key, PARTITIONS))
    await Promise.all(
      [...byPartition].map(([partition, ones]) => {
        const flat = ones.flatMap(key => [key, reading(random), 1_700_000_000_000])
        return client.xadd(`packed-${partition}`, '*', 's', JSON.stringify(flat))
      }),
    )
  }
  const { cpuUs } = await runProgram<{ cpuUs: number }>('./floors/read.ts', [redis.url, ...streams])
  return { xaddCpuUs: (cpuS.redis / ENTRIES) * 1e6, readCpuUs: cpuUs }
}
