import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type RedisFixture, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { type ProxyAudit, RedisProxy, type Rule } from './proxy.ts'

const ONLINE_WITHIN_MS = 15_000

export interface ReplicaOptions {
  readonly args: readonly string[]
  readonly audit: ProxyAudit
  readonly rules: Set<Rule>
}

/**
 * A replica of a primary. What it hears passes a proxy, which can stop passing it on; the replica itself is never stopped,
 * because the kernel would hold the bytes for it.
 */
export class Replica implements AsyncDisposable {
  readonly redis: RedisFixture
  readonly #client: ReturnType<typeof rawClient>
  readonly #way: RedisProxy
  readonly #resources: AsyncDisposableStack

  private constructor(
    { redis, client, way }: { redis: RedisFixture; client: ReturnType<typeof rawClient>; way: RedisProxy },
    resources: AsyncDisposableStack,
  ) {
    this.redis = redis
    this.#client = client
    this.#way = way
    this.#resources = resources
  }

  /** Resolves when the replica has everything that the primary has. */
  static async follow(primary: RedisFixture, { args, audit, rules }: ReplicaOptions): Promise<Replica> {
    await using opening = new AsyncDisposableStack()
    const target = { host: '127.0.0.1', port: primary.port }
    const way = opening.use(await RedisProxy.open({ name: 'replication', target, audit, rules }))
    const redis = await startRedis({ which: primary.which, args })
    opening.defer(() => redis[Symbol.asyncDispose]())
    const client = opening.adopt(rawClient(redis.url), one => one.disconnect())
    client.on('error', () => {})
    // By command and not by argument: it is to stay the primary when it is started again.
    await client.replicaof('127.0.0.1', way.port)
    const deadline = performance.now() + ONLINE_WITHIN_MS
    while (!String(await client.info('replication')).includes('master_link_status:up')) {
      if (performance.now() > deadline) throw new Error('the replica did not get what the primary has')
      await pause(20)
    }
    return new Replica({ redis, client, way }, opening.move())
  }

  /** From now on it hears nothing, and nobody is told. */
  lag(): void {
    this.#way.mode = 'hole'
  }

  /** Makes it a primary, which is the caller's from then on. */
  async promote(): Promise<RedisFixture> {
    await this.#client.replicaof('NO', 'ONE')
    this.#client.disconnect()
    await this.#way[Symbol.asyncDispose]()
    return this.redis
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }
}
