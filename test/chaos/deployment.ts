import { rawClient } from '@tidemark/testkit/redis-probe'
import { ROLLED_BACK, RULES_LOST, UNREADABLE_ENTRY } from '../support/service-messages.ts'
import type { Audit } from './audit.ts'
import { Disturbances } from './disturbance.ts'
import type { History } from './history.ts'
import { type Role, ServiceProcess } from './process.ts'
import { type Interceptor, RedisProxy } from './proxy.ts'
import { PREFIX, type RedisClient } from './redis-client.ts'

/** Errors that runs cause on purpose: poison entries, and data losses of Redis. */
const EXPECTED_ERRORS = [UNREADABLE_ENTRY, ROLLED_BACK, RULES_LOST]

const RECONNECT_MS = 20

/** A place for one process, with its own proxy to Redis that outlives the process. */
export interface Slot {
  readonly role: Role
  readonly index: number
  readonly url: string
  /** Undefined if all processes share one address of Redis. */
  readonly proxy: RedisProxy | undefined
  process: ServiceProcess | undefined
  generation: number
  /** No process is to be started here: the deployment was scaled down. */
  isSpare?: boolean
}

export interface DeploymentOptions {
  /** The address of Redis, or of the nodes of a cluster, for clients outside of the deployment. */
  readonly redisUrl: string
  /** The address for the services if they have no proxies of their own. */
  readonly sharedUrl?: string
  readonly partitions: number
  readonly leaseTtlMs: number
  readonly env: Readonly<Record<string, string>>
  readonly audit: Audit
  /** Shared by all proxies. */
  readonly interceptors: Set<Interceptor>
  readonly history: History
  /** Called with every violation that a process causes by itself. */
  readonly onViolation: (violation: string) => void
}

/** The log line by which an analyzer reports that Redis lost accepted samples. */
export interface RollbackReport {
  readonly process: string
  readonly partition: number
  readonly lost: number
  readonly at: number
}

/** The processes of a run, their proxies to Redis, and a client that bypasses the proxies. */
export class Deployment implements AsyncDisposable {
  readonly options: DeploymentOptions
  readonly interceptors: Set<Interceptor>
  readonly slots: Slot[] = []
  /** A client that no fault affects. */
  redis: RedisClient
  /** What analyzers reported as lost by Redis. */
  readonly rollbackReports: RollbackReport[] = []
  /** When leases may have been late for a known reason. */
  readonly disturbances = new Disturbances()
  /** How often processes were killed, frozen, stopped and started. */
  readonly counts = { kills: 0, pauses: 0, stops: 0, starts: 0 }
  readonly #resources = new AsyncDisposableStack()
  readonly #added: Record<Role, number> = { gateway: 0, analyzer: 0 }
  #redisUrl: string
  #isEnding = false

  constructor(options: DeploymentOptions) {
    this.options = options
    this.interceptors = options.interceptors
    this.#redisUrl = options.redisUrl
    this.redis = connectTo(options.redisUrl)
    this.#resources.defer(() => this.redis.disconnect())
  }

  /** Points all proxies and the client at another Redis, after a failover. */
  moveTo(url: string): void {
    this.redis.disconnect()
    this.redis = connectTo(url)
    const { hostname, port } = new URL(url)
    for (const proxy of this.proxies) proxy.target = { host: hostname, port: Number(port) }
    this.#redisUrl = url
  }

  get analyzers(): Slot[] {
    return this.slots.filter(({ role }) => role === 'analyzer')
  }

  get gateways(): Slot[] {
    return this.slots.filter(({ role }) => role === 'gateway')
  }

  get proxies(): RedisProxy[] {
    return this.slots.flatMap(({ proxy }) => (proxy === undefined ? [] : [proxy]))
  }

  /** Starts an additional process of `role`. */
  async add(role: Role): Promise<Slot> {
    const { sharedUrl, audit } = this.options
    const redisUrl = this.#redisUrl
    // Incremented before the first await: several may be added concurrently.
    const index = this.#added[role]++
    let proxy: RedisProxy | undefined
    if (sharedUrl === undefined) {
      const { hostname, port } = new URL(redisUrl)
      const target = { host: hostname, port: Number(port) }
      proxy = this.#resources.use(
        await RedisProxy.open({ name: `${role}-${index}`, target, audit, interceptors: this.interceptors }),
      )
    }
    const url = proxy === undefined ? (sharedUrl ?? redisUrl) : `redis://127.0.0.1:${proxy.port}`
    const slot: Slot = { role, index, url, proxy, process: undefined, generation: 0 }
    this.slots.push(slot)
    await this.start(slot)
    return slot
  }

  /** Starts a process in an empty slot. */
  async start(slot: Slot): Promise<void> {
    const { partitions, leaseTtlMs, env, onViolation } = this.options
    slot.generation++
    this.counts.starts++
    const name = `${slot.role}-${slot.index}.${slot.generation}`
    // Partitions go from owners that commit by scripts to owners that commit by transactions.
    const transactionKeys = slot.index % 3 === 0 ? '0' : '1'
    const own: Readonly<Record<string, string>> =
      slot.role === 'analyzer'
        ? { ANALYZER_ID: name, LEASE_TTL_MS: String(leaseTtlMs), TRANSACTION_KEYS: transactionKeys }
        : {}
    const service = await ServiceProcess.start({
      role: slot.role,
      name,
      env: {
        REDIS_URL: slot.url,
        REDIS_CLUSTER: String(this.options.sharedUrl !== undefined),
        REDIS_PREFIX: PREFIX,
        PARTITIONS: String(partitions),
        ...env,
        ...own,
      },
      onError: line => {
        const { msg, partition, lost } = line
        if (msg === ROLLED_BACK) {
          this.rollbackReports.push({
            process: name,
            partition: Number(partition),
            lost: Number(lost),
            at: performance.now(),
          })
        }
        if (!EXPECTED_ERRORS.includes(String(msg)))
          onViolation(`a service logged an error: ${name}: ${JSON.stringify(line)}`)
      },
    })
    if (slot.role === 'analyzer') this.disturbances.note()
    if (this.#isEnding) {
      await service[Symbol.asyncDispose]()
      return
    }
    slot.process = service
    void service.crashed.then(({ code, lines }) => {
      if (slot.process !== service || this.#isEnding) return
      slot.process = undefined
      onViolation(`I9: ${name} exited on its own with code ${code}:\n${lines.join('\n')}`)
      void this.start(slot).catch(() => {})
    })
  }

  /** Kills the process of a slot, which is empty afterwards. Returns the name of the process. */
  kill(slot: Slot): string | undefined {
    const { process } = slot
    if (process === undefined) return undefined
    slot.process = undefined
    process.kill()
    if (slot.role === 'analyzer') this.disturbances.note()
    this.counts.kills++
    this.options.history.note('kill', { process: process.name })
    return process.name
  }

  /** Stops the process of a slot gracefully and waits until it has exited. */
  async stop(slot: Slot): Promise<void> {
    const { process } = slot
    if (process === undefined) return
    slot.process = undefined
    this.counts.stops++
    this.options.history.note('stop', { process: process.name })
    const end = slot.role === 'analyzer' ? this.disturbances.begin() : undefined
    const code = await process.stop()
    end?.()
    if (code !== 0) this.options.onViolation(`G1: ${process.name} exited with code ${code} after SIGTERM`)
  }

  /** Returns the slot of the running analyzer that the token of a lease names. */
  slotOf(token: string): Slot | undefined {
    return this.analyzers.find(({ process }) => process !== undefined && token.startsWith(`${process.name}:`))
  }

  slotAt(proxy: RedisProxy): Slot | undefined {
    return this.slots.find(slot => slot.proxy === proxy)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true
    await Promise.all(this.slots.map(async ({ process }) => process?.[Symbol.asyncDispose]()))
    await this.#resources.disposeAsync()
  }
}

/** Reconnects immediately and without a ready check: some faults depend on when Redis is back. */
function connectTo(url: string): RedisClient {
  const client = rawClient(url)
  client.on('error', () => {})
  const quick = { enableReadyCheck: false, retryStrategy: () => RECONNECT_MS, maxRetriesPerRequest: null }
  if (!url.includes(',')) Object.assign(client.options, quick)
  return client
}
