import type { KeyLimits } from '@tidemark/shared/access/api-key'
import type { Principal } from '../access/principal.ts'
import { limitedAddress } from './client-address.ts'
import type { Share } from './fair-budget.ts'
import { type BucketContext, TokenBucket } from './token-bucket.ts'

/** Clients remembered at one time. Beyond it the oldest is forgotten, with its share of budgets. */
const CLIENTS_MAX = 100_000

/** Unused tokens are given back, and idle clients forgotten, at this interval. */
const SWEEP_MS = 1000

const MINUTE_S = 60

/** A limit must neither restart a pod nor hide the limits from monitoring. */
export const UNLIMITED_ROUTES: ReadonlySet<string> = new Set(['/livez', '/readyz', '/health', '/metrics'])

/** Limits of everybody, unless the API key has its own. 0 means unlimited. */
export interface RateDefaults {
  readonly requestsPerS: number
  readonly samplesPerS: number
  /** The seconds of a rate that may be used at once. */
  readonly burstS: number
  /** Failed authentications of one address. */
  readonly failuresPerMin: number
}

export type RatePolicy = 'requests' | 'samples' | 'failed-authentications'

/** A rate limit, under its name in the RateLimit headers. */
export interface RateLimit {
  readonly policy: RatePolicy
  readonly bucket: TokenBucket
}

/** What limits one client: an API key, or an address without a key. */
export class Client {
  /** Its rate limits; undefined where it has none. */
  requests: RateLimit | undefined
  samples: RateLimit | undefined
  /** What the limits follow from, besides the defaults. */
  keyLimits: KeyLimits | undefined
  /** Whether it has sent something since the last sweep. */
  isActive = true
  /** Its shares of the budgets that all clients have in common. */
  readonly queue: Share = { used: 0 }
  readonly claims: Share = { used: 0 }
  readonly newKeys: Share = { used: 0 }
  readonly bodies: Share = { used: 0 }
  readonly waiters: Share = { used: 0 }
  readonly pages: Share = { used: 0 }
  readonly feeds: Share = { used: 0 }

  readonly isKey: boolean

  constructor(isKey: boolean) {
    this.isKey = isKey
  }

  get isIdle(): boolean {
    const { queue, claims, newKeys, bodies, waiters, pages, feeds } = this
    const waiting = claims.used + newKeys.used
    return !this.isActive && queue.used + waiting + bodies.used + waiters.used + pages.used + feeds.used === 0
  }
}

/** Of requests that are refused before their client is known. */
export const NO_CLIENT = new Client(false)

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
  /** Set while there is something to sweep. */
  #timer: NodeJS.Timeout | undefined

  constructor(options: ClientsOptions) {
    this.#options = options
  }

  /** Returns the client of a request: its API key's, or without one its address's. */
  of({ via, id, limits }: Principal, address: string): Client {
    if (via === 'open') return this.#ofAddress(address, limits)
    let client = this.#byKey.get(id)
    if (client === undefined) {
      client = new Client(true)
      this.#remember(this.#byKey, id, client)
    }
    client.isActive = true
    if (client.keyLimits !== limits) this.#limit(client, `key:${id}`, limits)
    return client
  }

  /** Counts a failed authentication; returns the limit of its address, undefined for none. */
  authenticationFailed(address: string): RateLimit | undefined {
    const { defaults, context } = this.#options
    const { failuresPerMin } = defaults
    if (failuresPerMin === 0) return undefined
    const name = limitedAddress(address)
    let bucket = this.#failures.get(name)
    if (bucket === undefined) {
      // Without a store decisions are synchronous.
      const local = { take: undefined, gateways: 1, now: context.now, onFailure: context.onFailure }
      bucket = new TokenBucket(local, name, failuresPerMin / MINUTE_S, failuresPerMin)
      this.#remember(this.#failures, name, bucket)
    }
    return bucket.take(1) === 0 ? undefined : { policy: 'failed-authentications', bucket }
  }

  /** Gives unused tokens back and forgets idle clients. */
  sweep(): void {
    for (const clients of [this.#byKey, this.#byAddress]) {
      for (const [name, client] of clients) {
        if (client.isActive) continue
        client.requests?.bucket.release()
        client.samples?.bucket.release()
        if (client.isIdle) clients.delete(name)
      }
      for (const client of clients.values()) client.isActive = false
    }
    for (const [address, bucket] of this.#failures) if (bucket.isFull) this.#failures.delete(address)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
  }

  #remember<T>(all: Map<string, T>, name: string, one: T): void {
    const [oldest] = all.size >= CLIENTS_MAX ? all.keys() : []
    if (oldest !== undefined) all.delete(oldest)
    all.set(name, one)
    this.#sweepLater()
  }

  #sweepLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.sweep()
      if (this.#byKey.size + this.#byAddress.size + this.#failures.size > 0) this.#sweepLater()
    }, SWEEP_MS).unref()
  }

  #ofAddress(address: string, limits: KeyLimits): Client {
    let client = this.#byAddress.get(address)
    if (client === undefined) {
      const name = limitedAddress(address)
      client = this.#byAddress.get(name) ?? new Client(false)
      this.#remember(this.#byAddress, name, client)
      // The other addresses of the network are found at once next time.
      if (name !== address) this.#remember(this.#byAddress, address, client)
      this.#limit(client, `address:${name}`, limits)
    }
    client.isActive = true
    return client
  }

  /** Applies the limits of an API key, which may have changed, or the defaults. */
  #limit(client: Client, name: string, limits: KeyLimits): void {
    const { requestsPerS, samplesPerS } = this.#options.defaults
    client.keyLimits = limits
    client.requests = this.#limitOf('requests', name, limits.requestsPerS ?? requestsPerS, client.requests)
    client.samples = this.#limitOf('samples', name, limits.samplesPerS ?? samplesPerS, client.samples)
  }

  #limitOf(policy: RatePolicy, name: string, perS: number, before: RateLimit | undefined): RateLimit | undefined {
    if (perS === 0) return undefined
    const burst = Math.max(1, perS * this.#options.defaults.burstS)
    if (before === undefined) {
      return { policy, bucket: new TokenBucket(this.#options.context, `${policy}:${name}`, perS, burst) }
    }
    const { bucket } = before
    if (bucket.perS !== perS || bucket.burst !== burst) bucket.change(perS, burst)
    return before
  }
}
