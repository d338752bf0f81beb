import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type RedisFixture, startRedisCluster } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { type PartitionState, readPartitionState } from './partition-state.ts'
import { type Interceptor, type ProxyAudit, RedisProxy } from './proxy.ts'
import { keys } from './redis-client.ts'
import { REDIS_ARGS } from './redis-server.ts'

const MASTERS = 3

/** Covers the node timeout of the cluster, an election, and delays of a busy machine. */
const PROMOTION_WITHIN_MS = 60_000

interface Node {
  readonly fixture: RedisFixture
  readonly proxy: RedisProxy
  readonly client: ReturnType<typeof rawClient>
  readonly id: string
}

/**
 * A cluster of three masters and three replicas. Each node announces the port of its proxy, so all
 * commands and the replication pass the proxies.
 */
export class ChaosCluster implements AsyncDisposable {
  /** The proxies of all nodes. */
  readonly url: string
  readonly #nodes: readonly Node[]
  readonly #resources: AsyncDisposableStack

  private constructor(nodes: readonly Node[], resources: AsyncDisposableStack) {
    this.#nodes = nodes
    this.#resources = resources
    this.url = nodes.map(({ proxy }) => `redis://127.0.0.1:${proxy.port}`).join(',')
  }

  static async open({
    audit,
    interceptors,
  }: {
    audit: ProxyAudit
    interceptors: Set<Interceptor>
  }): Promise<ChaosCluster> {
    await using opening = new AsyncDisposableStack()
    const proxies: RedisProxy[] = []
    for (let i = 0; i < 2 * MASTERS; i++) {
      const target = { host: '127.0.0.1', port: 0 }
      proxies.push(opening.use(await RedisProxy.open({ name: `node-${i}`, target, audit, interceptors })))
    }
    const fixtures = await startRedisCluster({
      masters: MASTERS,
      replicas: MASTERS,
      argsOf: index => {
        const proxy = proxies[index]
        // The announced port: replicas and clients connect to the proxy of the node.
        return [...REDIS_ARGS, '--cluster-announce-port', String(proxy?.port ?? 0)]
      },
      onStarted: (index, { port }) => {
        const proxy = proxies[index]
        if (proxy !== undefined) proxy.target = { host: '127.0.0.1', port }
      },
    })
    opening.use(fixtures)
    const nodes: Node[] = []
    for (const [i, fixture] of fixtures.nodes.entries()) {
      const proxy = proxies[i]
      if (proxy === undefined) continue
      const client = rawClient(fixture.url)
      client.on('error', () => {})
      opening.defer(() => client.disconnect())
      nodes.push({ fixture, proxy, client, id: String(await client.cluster('MYID')) })
    }
    return new ChaosCluster(nodes, opening.move())
  }

  get version(): string {
    return this.#nodes[0]?.fixture.version ?? ''
  }

  /** Kills a master. Returns what its replica has of the partitions that the master held. */
  async killMaster(
    which: number,
    partitions: number,
  ): Promise<{ killedAt: number; states: PartitionState[]; restart: () => Promise<void> }> {
    const masters = await this.#masters()
    const master = masters[which % masters.length]
    if (master === undefined) throw new Error('the cluster has no master')
    const owned: number[] = []
    for (let partition = 0; partition < partitions; partition++) {
      if ((await this.#ownerOf(partition))?.id === master.id) owned.push(partition)
    }
    const replica = await this.#replicaOf(master)
    await replica.client.readonly()
    await master.fixture.kill()
    const killedAt = Date.now()
    // Bytes that the kernel and the proxy still held for the replica arrive within this time.
    await pause(200)
    const states = await Promise.all(owned.map(partition => readPartitionState(replica.client, partition)))
    const deadline = performance.now() + PROMOTION_WITHIN_MS
    while (!String(await replica.client.call('ROLE')).startsWith('master')) {
      if (performance.now() > deadline) throw new Error('the replica was not promoted')
      await pause(50)
    }
    await replica.client.readwrite()
    return { killedAt, states, restart: () => master.fixture.start() }
  }

  /** Moves the slot of a partition to another master, key by key, while it is in use. */
  async move(partition: number): Promise<void> {
    const source = await this.#ownerOf(partition)
    const target = (await this.#masters()).find(({ id }) => id !== source?.id)
    if (source === undefined || target === undefined) throw new Error(`partition ${partition} has no master`)
    const slot = String(await source.client.cluster('KEYSLOT', keys.partition(partition).samples))
    await target.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id)
    await source.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target.id)
    for (;;) {
      const found = (await source.client.call('CLUSTER', 'GETKEYSINSLOT', slot, '2')) as string[]
      if (found.length === 0) break
      const port = String(target.fixture.port)
      await source.client.call('MIGRATE', '127.0.0.1', port, '', '0', '5000', 'REPLACE', 'KEYS', ...found)
      // Commands that arrive meanwhile find some keys here and some on the other master.
      await pause(30)
    }
    for (const node of [target, source, ...(await this.#masters())]) {
      await node.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', target.id).catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }

  async #masters(): Promise<Node[]> {
    const nodes: Node[] = []
    for (const node of this.#nodes) {
      const role = await Promise.race([node.client.call('ROLE').catch(() => ''), pause(500)])
      if (String(role).startsWith('master')) nodes.push(node)
    }
    return nodes
  }

  async #replicaOf(master: Node): Promise<Node> {
    const text = String(await master.client.cluster('NODES'))
    const line = text.split('\n').find(one => one.includes(` ${master.id} `) && one.includes('slave'))
    const replica = this.#nodes.find(({ id }) => line?.startsWith(id))
    if (replica === undefined) throw new Error(`${master.id} has no replica`)
    return replica
  }

  async #ownerOf(partition: number): Promise<Node | undefined> {
    for (const node of await this.#masters()) {
      const reply = await node.client.call('EXISTS', keys.partition(partition).samples).catch((error: unknown) => error)
      if (!(reply instanceof Error)) return node
    }
    return undefined
  }
}
