import { rawClient } from '@tidemark/testkit/redis-probe'
import type { Audit } from './audit.ts'
import { Disturbances } from './disturbance.ts'
import type { History } from './history.ts'
import { type Role, ServiceProcess } from './process.ts'
import { RedisProxy, type Rule } from './proxy.ts'
import { PREFIX, type RedisClient } from './redis-client.ts'

/** What an analyzer says, as an error, of each poison that a run feeds it, and of what Redis loses in a run that makes it lose. */
const FORGOTTEN = 'Redis lost accepted samples'
const EXPECTED_ERRORS = ['an entry became a dead letter', FORGOTTEN]

const RECONNECT_MS = 20

/** A place for a process, with a way to Redis of its own that stays when the process is replaced. */
export interface Slot {
  readonly role: Role
  readonly index: number
  readonly url: string
  /** Undefined where the way to Redis is shared by all. */
  readonly proxy: RedisProxy | undefined
  process: ServiceProcess | undefined
  generation: number
  /** Nobody is to start a process here: there are enough. */
  isSpare?: boolean
}

export interface DeploymentOptions {
  /** Of a Redis, or of the nodes of a cluster, for whoever looks at it from outside. */
  readonly redisUrl: string
  /** Where the services find it when they have no proxies of their own. */
  readonly sharedUrl?: string
  readonly partitions: number
  readonly leaseTtlMs: number
  readonly env: Readonly<Record<string, string>>
  readonly audit: Audit
  /** Of all proxies together. */
  readonly rules: Set<Rule>
  readonly history: History
  /** Told of every breach that a process commits by itself. */
  readonly onBreach: (breach: string) => void
}

/** An analyzer said that Redis has forgotten accepted samples. */
export interface Claim {
  readonly process: string
  readonly partition: number
  readonly gone: number
  readonly at: number
}

/** The processes of a run, their ways to Redis, and a way of our own past those. */
export class Deployment implements AsyncDisposable {
  readonly options: DeploymentOptions
  readonly rules: Set<Rule>
  readonly slots: Slot[] = []
  /** A client that no fault strikes. */
  redis: RedisClient
  /** What analyzers said that Redis has forgotten. */
  readonly claims: Claim[] = []
  /** When leases may have come late for a reason. */
  readonly disturbances = new Disturbances()
  /** How often something was done to a process, by what. */
  readonly counts = { kills: 0, pauses: 0, stops: 0, starts: 0 }
  readonly #resources = new AsyncDisposableStack()
  readonly #added: Record<Role, number> = { gateway: 0, analyzer: 0 }
  #redisUrl: string
  #isEnding = false

  constructor(options: DeploymentOptions) {
    this.options = options
    this.rules = options.rules
    this.#redisUrl = options.redisUrl
    this.redis = connectTo(options.redisUrl)
    this.#resources.defer(() => this.redis.disconnect())
  }

  /** From now on another Redis serves: all ways lead there. */
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

  /** Starts one more process of `role`. */
  async add(role: Role): Promise<Slot> {
    const { sharedUrl, audit } = this.options
    const redisUrl = this.#redisUrl
    // Counted at once: several may be added at the same time.
    const index = this.#added[role]++
    let proxy: RedisProxy | undefined
    if (sharedUrl === undefined) {
      const { hostname, port } = new URL(redisUrl)
      const target = { host: hostname, port: Number(port) }
      proxy = this.#resources.use(await RedisProxy.open({ name: `${role}-${index}`, target, audit, rules: this.rules }))
    }
    const url = proxy === undefined ? (sharedUrl ?? redisUrl) : `redis://127.0.0.1:${proxy.port}`
    const slot: Slot = { role, index, url, proxy, process: undefined, generation: 0 }
    this.slots.push(slot)
    await this.start(slot)
    return slot
  }

  /** Starts a process in a slot that has none. */
  async start(slot: Slot): Promise<void> {
    const { partitions, leaseTtlMs, env, onBreach } = this.options
    slot.generation++
    this.counts.starts++
    const name = `${slot.role}-${slot.index}.${slot.generation}`
    const own: Readonly<Record<string, string>> =
      slot.role === 'analyzer' ? { ANALYZER_ID: name, LEASE_TTL_MS: String(leaseTtlMs) } : {}
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
        if (msg === FORGOTTEN) {
          this.claims.push({ process: name, partition: Number(partition), gone: Number(lost), at: performance.now() })
        }
        if (!EXPECTED_ERRORS.includes(String(msg)))
          onBreach(`a service says that something is badly wrong: ${name}: ${JSON.stringify(line)}`)
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
      onBreach(`I9: ${name} ended by itself with ${code}:\n${lines.join('\n')}`)
      void this.start(slot).catch(() => {})
    })
  }

  /** Kills the process of a slot at once; the slot is empty then. Tells which process that was. */
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

  /** Asks the process of a slot to stop and waits for it; the slot is empty then. */
  async stop(slot: Slot): Promise<void> {
    const { process } = slot
    if (process === undefined) return
    slot.process = undefined
    this.counts.stops++
    this.options.history.note('stop', { process: process.name })
    const end = slot.role === 'analyzer' ? this.disturbances.begin() : undefined
    const code = await process.stop()
    end?.()
    if (code !== 0) this.options.onBreach(`G1: ${process.name} ended with ${code} when it was asked to stop`)
  }

  /** The slot of an analyzer that a lease's token names, while it still runs there. */
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

/** Comes back at once and asks nobody whether it may: how long Redis is away is what some faults depend on. */
function connectTo(url: string): RedisClient {
  const client = rawClient(url)
  client.on('error', () => {})
  const quick = { enableReadyCheck: false, retryStrategy: () => RECONNECT_MS, maxRetriesPerRequest: null }
  if (!url.includes(',')) Object.assign(client.options, quick)
  return client
}
