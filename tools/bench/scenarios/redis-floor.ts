import { partitionOf } from '@tidemark/shared/sample/partition'
import { Random } from '@tidemark/testkit/random'
import { runProgram } from '../program.ts'
import { keyNumber, reading } from '../signal.ts'
import { PARTITIONS, startBenchRedis } from '../stack.ts'
import { spentBy } from '../usage.ts'

export type RedisFloor = Readonly<Record<'xaddCpuUs' | 'readCpuUs', number>>

const ENTRIES = 100_000
const PIPELINE = 500

/** Measures Redis' CPU for XADD of one sample, and the reader's for XREADGROUP and parsing. */
export async function redisFloor(samples: number): Promise<RedisFloor> {
  await using redis = await startBenchRedis()
  const random = new Random(3)
  const [client] = redis.clients
  if (client === undefined) throw new Error('the Redis of the bench has no client')
  const { cpuS } = await spentBy(redis.pids, async () => {
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
  for (let done = 0; done < samples; done += 1000) {
    const flats = new Map<string, (string | number)[]>()
    for (let i = 0; i < 1000; i++) {
      const key = keyNumber((done + i) % 10_000)
      const stream = streams[partitionOf(key, PARTITIONS)] ?? ''
      const flat = flats.get(stream) ?? []
      flats.set(stream, flat)
      flat.push(key, reading(random), 1_700_000_000_000)
    }
    await Promise.all([...flats].map(([stream, flat]) => client.xadd(stream, '*', 's', JSON.stringify(flat))))
  }
  const { cpuUs } = await runProgram<{ cpuUs: number }>('./floors/read.ts', [redis.url, ...streams])
  return { xaddCpuUs: ((cpuS[0] ?? 0) / ENTRIES) * 1e6, readCpuUs: cpuUs }
}
