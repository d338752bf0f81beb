import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type RedisFixture, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { type Interceptor, type ProxyAudit, RedisProxy } from './proxy.ts'

const ONLINE_WITHIN_MS = 60_000

export interface ReplicaOptions {
  readonly args: readonly string[]
  readonly audit: ProxyAudit
  readonly interceptors: Set<Interceptor>
}

/**
 * A replica behind a proxy, which can hold back the replication stream. The replica itself is never
 * frozen, because the kernel would buffer the stream for it.
 */
export class Replica implements AsyncDisposable {
  readonly redis: RedisFixture
  readonly #client: ReturnType<typeof rawClient>
  readonly #proxy: RedisProxy
  readonly #resources: AsyncDisposableStack

  private constructor(
    { redis, client, proxy }: { redis: RedisFixture; client: ReturnType<typeof rawClient>; proxy: RedisProxy },
    resources: AsyncDisposableStack,
  ) {
    this.redis = redis
    this.#client = client
    this.#proxy = proxy
    this.#resources = resources
  }

  /** Starts a replica and resolves when it is in sync with the primary. */
  static async follow(primary: RedisFixture, { args, audit, interceptors }: ReplicaOptions): Promise<Replica> {
    await using opening = new AsyncDisposableStack()
    const target = { host: '127.0.0.1', port: primary.port }
    const proxy = opening.use(await RedisProxy.open({ name: 'replication', target, audit, interceptors }))
    const redis = await startRedis({ which: primary.which, args })
    opening.defer(() => redis[Symbol.asyncDispose]())
    const client = opening.adopt(rawClient(redis.url), one => one.disconnect())
    client.on('error', () => {})
    // Set by a command instead of an argument, so that it stays primary after a restart.
    await client.replicaof('127.0.0.1', proxy.port)
    const deadline = performance.now() + ONLINE_WITHIN_MS
    while (!String(await client.info('replication')).includes('master_link_status:up')) {
      if (performance.now() > deadline) throw new Error('the replica did not synchronise with the primary')
      await pause(20)
    }
    return new Replica({ redis, client, proxy }, opening.move())
  }

  /** Holds back the replication stream from now on, without an error. */
  lag(): void {
    this.#proxy.mode = 'hole'
  }

  /** Promotes the replica. The caller then owns the new primary. */
  async promote(): Promise<RedisFixture> {
    await this.#client.replicaof('NO', 'ONE')
    this.#client.disconnect()
    await this.#proxy[Symbol.asyncDispose]()
    return this.redis
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }
}
