import { randomUUID } from 'node:crypto'
import { REDIS_STORE_DEFAULTS, type RedisStoreOptions } from '@tidemark/shared/store/redis/options'
import { openRedisStore } from '@tidemark/shared/store/redis/store'
import { afterAll, beforeAll, describe } from 'vitest'
import { redisAvailable, redisClusterAvailable, startRedis, startRedisCluster } from '../../src/redis-fixture.ts'
import { rawClient, redisProbe, removeKeys } from '../../src/redis-probe.ts'
import { CONTRACT_OPTIONS, describeStoreContract } from '../../src/store-contract/contract.ts'
import type { StoreUnderTest } from '../../src/store-contract/harness.ts'

/**
 * Redis trims its bounded streams by whole nodes, which hold up to 100 entries
 * (stream-node-max-entries).
 */
const TRIM_SLACK = 100

/** Random sequences of calls: each call of the model takes about twenty of Redis. */
const MODEL_RUNS = 20

describe.skipIf(!(await redisAvailable()))('on Redis', () => {
  describeContractOn('a single Redis', () => startRedis())
  describeContractOn('a single Redis, with transactions', () => startRedis(), { transactionKeys: 1 })
})

describe.skipIf(!(await redisClusterAvailable()))('on a Redis cluster', () => {
  describeContractOn('a cluster of three', () => startRedisCluster({ masters: 3 }))
  describeContractOn('a cluster of three, with transactions', () => startRedisCluster({ masters: 3 }), {
    transactionKeys: 1,
  })
})

function describeContractOn(
  name: string,
  start: () => Promise<AsyncDisposable & { readonly url: string }>,
  settings: Partial<RedisStoreOptions> = {},
): void {
  const resources = new AsyncDisposableStack()
  let url = ''
  let client: ReturnType<typeof rawClient>
  beforeAll(async () => {
    url = resources.use(await start()).url
    client = resources.adopt(rawClient(url), one => one.disconnect())
  })
  afterAll(() => resources.disposeAsync())

  async function open(): Promise<StoreUnderTest> {
    const prefix = `test-${randomUUID()}`
    const connect = () =>
      openRedisStore({
        ...REDIS_STORE_DEFAULTS,
        ...CONTRACT_OPTIONS,
        url,
        cluster: url.includes(','),
        prefix,
        onFailure: () => {},
        ...settings,
      })
    const store = await connect()
    return {
      store,
      probe: redisProbe(client, prefix),
      limits: { ...CONTRACT_OPTIONS, trimSlack: TRIM_SLACK },
      connect,
      async [Symbol.asyncDispose]() {
        await store[Symbol.asyncDispose]()
        await removeKeys(client, prefix, CONTRACT_OPTIONS.partitions)
      },
    }
  }

  describeStoreContract(name, open, { modelRuns: MODEL_RUNS })
}
