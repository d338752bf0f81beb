import type { KeyLimits } from '@tidemark/shared/access/api-key'
import type { Principal } from '../access/principal.ts'
import type { Share } from './fair-budget.ts'
import { type BucketContext, TokenBucket } from './token-bucket.ts'

/** Clients remembered at one time. Beyond it the oldest is forgotten, with its share of budgets. */
const CLIENTS_MAX = 100_000

/** Unused tokens are given back, and idle clients forgotten, at this interval. */
const SWEEP_MS = 1000

const MINUTE_S = 60

/** Limits of everybody, unless the API key has its own. 0 means unlimited. */
export interface RateDefaults {
  readonly requestsPerS: number
  readonly samplesPerS: number
  /** The seconds of a rate that may be used at once. */
  readonly burstS: number
  /** Failed authentications of one address. */
  readonly failuresPerMin: number
}

/** A rate limit of one client. */
export interface RateLimit {
  /** Its name in the RateLimit headers. */
  readonly policy: 'requests' | 'samples'
  readonly bucket: TokenBucket
}

/** What limits one client: an API key, or an address without a key. */
export class Client {
  readonly limits: RateLimit[] = []
  requests: TokenBucket | undefined
  samples: TokenBucket | undefined
  /** Its shares of the budgets that all clients have in common. */
  readonly queue: Share = { used: 0 }
  readonly claims: Share = { used: 0 }
  readonly bodies: Share = { used: 0 }
  readonly waiters: Share = { used: 0 }
  readonly pages: Share = { used: 0 }
  /** What the buckets were made of. */
  keyLimits: KeyLimits | undefined
  /** Whether it has sent something since the last sweep. */
  isActive = true

  get isIdle(): boolean {
    const { queue, claims, bodies, waiters, pages } = this
    return !this.isActive && queue.used + claims.used + bodies.used + waiters.used + pages.used === 0
  }
}

/** Of requests that are refused before their client is known. */
export const NO_CLIENT = new Client()

interface ClientsOptions {
  readonly defaults: RateDefaults
  readonly context: BucketContext
}

/** Knows the limits and shares of every client that sent something lately. */
export class Clients implements Disposable {
  readonly #options: ClientsOptions
  readonly #byKey = new Map<string, Client>()
  readonly #byAddress = new Map<string, Client>()
  /** Failed authentications by address: each gateway counts for itself. */
  readonly #failures = new Map<string, TokenBucket>()
  readonly #sweep: NodeJS.Timeout

  constructor(options: ClientsOptions) {
    this.#options = options
    this.#sweep = setInterval(() => this.sweep(), SWEEP_MS).unref()
  }

  /** Returns the client of a request: its API key's, or without one its address's. */
  of({ via, id, limits }: Principal, address: string): Client {
    const [clients, name] = via === 'open' ? [this.#byAddress, address] : [this.#byKey, id]
    const client = clients.get(name)
    if (client === undefined) return this.#add(clients, name, limits)
    client.isActive = true
    if (client.keyLimits !== limits) this.#limit(client, this.#nameOf(clients, name), limits)
    return client
  }

  /** Counts a failed authentication. Returns the seconds to wait before the next, 0 for none. */
  authenticationFailed(address: string): number {
    const { defaults, context } = this.#options
    const { failuresPerMin } = defaults
    if (failuresPerMin === 0) return 0
    let bucket = this.#failures.get(address)
    if (bucket === undefined) {
      const local = { ...context, now: context.now, take: undefined, gateways: 1 }
      bucket = new TokenBucket(local, address, failuresPerMin / MINUTE_S, failuresPerMin)
      remember(this.#failures, address, bucket)
    }
    // Synchronous: the bucket has no store.
    return bucket.take(1) as number
  }

  /** Gives unused tokens back and forgets idle clients. */
  sweep(): void {
    for (const clients of [this.#byKey, this.#byAddress]) {
      for (const [name, client] of clients) {
        if (client.isIdle) clients.delete(name)
        if (!client.isActive) for (const { bucket } of client.limits) bucket.release()
        client.isActive = false
      }
    }
    for (const [address, bucket] of this.#failures) if (bucket.isFull) this.#failures.delete(address)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep)
  }

  #add(clients: Map<string, Client>, name: string, limits: KeyLimits): Client {
    const client = new Client()
    this.#limit(client, this.#nameOf(clients, name), limits)
    remember(clients, name, client)
    return client
  }

  #nameOf(clients: Map<string, Client>, name: string): string {
    return `${clients === this.#byKey ? 'key' : 'address'}:${name}`
  }

  /** Applies the limits of an API key, which may have changed, or the defaults. */
  #limit(client: Client, name: string, limits: KeyLimits): void {
    const { requestsPerS, samplesPerS } = this.#options.defaults
    client.keyLimits = limits
    client.requests = this.#bucket(client.requests, `requests:${name}`, limits.requestsPerS ?? requestsPerS)
    client.samples = this.#bucket(client.samples, `samples:${name}`, limits.samplesPerS ?? samplesPerS)
    client.limits.length = 0
    if (client.requests !== undefined) client.limits.push({ policy: 'requests', bucket: client.requests })
    if (client.samples !== undefined) client.limits.push({ policy: 'samples', bucket: client.samples })
  }

  #bucket(existing: TokenBucket | undefined, name: string, perS: number): TokenBucket | undefined {
    if (perS === 0) return undefined
    const burst = Math.max(1, perS * this.#options.defaults.burstS)
    if (existing === undefined) return new TokenBucket(this.#options.context, name, perS, burst)
    if (existing.perS !== perS || existing.burst !== burst) existing.change(perS, burst)
    return existing
  }
}

function remember<T>(all: Map<string, T>, name: string, one: T): void {
  const [oldest] = all.size >= CLIENTS_MAX ? all.keys() : []
  if (oldest !== undefined) all.delete(oldest)
  all.set(name, one)
}
