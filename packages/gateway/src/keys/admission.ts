import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { KeyInPartition } from '@tidemark/shared/store/ports/gateway'
import type { KeyCounts, KeyStore, NewKey } from '@tidemark/shared/store/ports/keys'
import { ANONYMOUS } from '../access/principal.ts'
import { RequestFault } from '../http/problem.ts'
import { outageRetryAfterS } from '../http/retry-after.ts'
import { FairBudget } from '../limits/fair-budget.ts'
import type { RejectionReason } from '../metrics.ts'
import type { KeyAdmitter, KeyLimit, KeySender, LocatedKeys, RefusedKeys } from '../services.ts'
import { KeyCache } from './key-cache.ts'

/** How often the counts are read while requests arrive, and how old they may be. */
const COUNT_EVERY_MS = 1000
const COUNTS_OLD_MS = 3000

/**
 * With less room than this, keys are counted before each admission: other gateways may have
 * admitted so many since the last count.
 */
const ROOM_NEAR = 200_000

interface KeyAdmissionOptions {
  readonly store: KeyStore
  readonly partitions: number
  /** Keys of the deployment, and of an API key without a limit of its own. */
  readonly keysMax: number
  readonly keysPerOwnerMax: number | undefined
  /** Samples of all requests that wait here. */
  readonly samplesMax: number
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number
  readonly onRejected: (reason: RejectionReason, samples: number) => void
  /** Called for a count that failed. */
  readonly onFailure: (error: unknown) => void
}

interface AdmissionRequest {
  readonly keys: readonly KeyInPartition[]
  readonly owner: string
  readonly limit: KeyLimit | undefined
  readonly resolve: (refused: RefusedKeys | 'no-memory') => void
  readonly reject: (error: unknown) => void
}

/**
 * Admits new keys while there is room for them, before their samples are stored. One gateway never
 * exceeds a limit: it admits the keys of concurrent requests one batch after another. Several
 * gateways may exceed it by what they admit in the same few milliseconds.
 */
export class KeyAdmission implements KeyAdmitter {
  readonly #options: KeyAdmissionOptions
  readonly #cache: KeyCache
  #counts: KeyCounts | undefined
  #countedAt = Number.NEGATIVE_INFINITY
  /** Keys in all, and of each owner with a limit: as counted, and what was admitted since. */
  #total = 0
  #ofOwner = new Map<string, number>()
  #wantsCount = false
  #requests: AdmissionRequest[] = []
  #isWorking = false
  readonly #waiting: FairBudget

  constructor(options: KeyAdmissionOptions) {
    this.#options = options
    this.#waiting = new FairBudget(options.samplesMax)
    this.#cache = new KeyCache(options)
  }

  /** Registered keys of the deployment, as they were counted last. */
  get total(): number {
    return this.#total
  }

  locate(items: readonly { readonly key: string }[]): LocatedKeys {
    this.#countNowAndThen()
    const partitions = this.#cache.find(items)
    let unknown: Map<string, KeyInPartition> | undefined
    for (let i = 0; i < partitions.length; i++) {
      const found = partitions[i] as number
      if (found >= 0) continue
      const { key } = items[i] as { readonly key: string }
      partitions[i] = ~found
      unknown ??= new Map()
      unknown.set(key, { partition: ~found, key })
    }
    return { partitions, unknown: unknown && [...unknown.values()] }
  }

  /**
   * Counts once a second, which shows whether keys were evicted. After a while without requests no
   * key is known until then.
   */
  #countNowAndThen(): void {
    const { now, partitions } = this.#options
    const age = now() - this.#countedAt
    if (age < COUNT_EVERY_MS) return
    if (age > COUNTS_OLD_MS) for (let number = 0; number < partitions; number++) this.#cache.forget(number)
    this.#wantsCount = true
    void this.#work()
  }

  async admit(
    keys: readonly KeyInPartition[],
    { principal: { id, limits }, share, samples }: KeySender,
  ): Promise<RefusedKeys> {
    const { keysPerOwnerMax, onRejected } = this.#options
    // These samples are not in the batcher's queue yet, so they have a bound of their own.
    if (this.#waiting.used > 0 && !this.#waiting.hasRoomFor(share, samples)) {
      onRejected('queue', samples)
      throw new RequestFault({ kind: 'overloaded', reason: 'too many samples wait for the store' })
    }
    this.#waiting.take(share, samples)
    try {
      const owner = id === ANONYMOUS.id ? '' : id
      const limit = owner === '' ? undefined : limitOf(limits.keysMax, keysPerOwnerMax)
      const outcome = await new Promise<RefusedKeys | 'no-memory'>((resolve, reject) => {
        this.#requests.push({ keys, owner, limit, resolve, reject })
        void this.#work()
      })
      if (outcome !== 'no-memory') return outcome
      onRejected('memory', samples)
      const retryAfterS = outageRetryAfterS()
      throw new RequestFault({ kind: 'overloaded', reason: "the store's memory is at its limit", retryAfterS })
    } catch (error) {
      if (!(error instanceof RequestFault)) onRejected(error instanceof StoreError ? 'store' : 'internal', samples)
      throw error
    } finally {
      this.#waiting.giveBack(share, samples)
    }
  }

  async #work(): Promise<void> {
    if (this.#isWorking) return
    this.#isWorking = true
    // One after another, so that a count never misses what is being admitted.
    while (this.#requests.length > 0 || this.#wantsCount) {
      const requests = this.#requests
      this.#requests = []
      try {
        if (requests.length > 0) await this.#serve(requests)
        else await this.#count([...this.#ofOwner.keys()])
      } catch (error) {
        this.#wantsCount = false
        this.#countedAt = Number.NEGATIVE_INFINITY
        if (requests.length === 0) this.#options.onFailure(error)
        for (const { reject } of requests) reject(error)
      }
    }
    this.#isWorking = false
  }

  async #serve(requests: readonly AdmissionRequest[]): Promise<void> {
    const { store } = this.#options
    const unknown = new Map(requests.flatMap(({ keys }) => keys.map(one => [one.key, one] as const)))
    const list = [...unknown.values()]
    // The counts are read first: an eviction between the two is noticed with the next count.
    const counting = this.#needsCount(requests) ? this.#count(limitedOwners(requests)) : undefined
    // In a function: if it threw, the rejection of the count would go unhandled.
    const lookUp = async () => store.lookUp(list)
    const [states] = await Promise.all([lookUp(), counting])
    const isNew = new Set(list.filter((_, i) => states[i] === 'new').map(({ key }) => key))
    const toRegister: NewKey[] = []
    const ownerOf = new Map(
      requests.flatMap(({ keys, owner }) => keys.map(({ key }) => [key, owner] as const)).toReversed(),
    )
    for (const [i, { partition, key }] of list.entries()) {
      if (states[i] === 'stored') toRegister.push({ partition, key, owner: ownerOf.get(key) ?? '' })
    }
    const refusedOf = requests.map(request => this.#decide(request, isNew, toRegister))
    const outcome = toRegister.length === 0 ? 'registered' : await store.register(toRegister)
    for (const [i, { keys, resolve }] of requests.entries()) {
      const refused = refusedOf[i] as RefusedKeys
      if (outcome === 'no-memory') {
        // Some of them may be registered: the next count says so.
        this.#countedAt = Number.NEGATIVE_INFINITY
        resolve(outcome)
        continue
      }
      for (const { key } of keys) if (!refused.has(key)) this.#cache.add(key)
      resolve(refused)
    }
  }

  /** Admits the new keys of a request, in order. Returns those beyond a limit. */
  #decide({ keys, owner, limit }: AdmissionRequest, isNew: Set<string>, toRegister: NewKey[]): RefusedKeys {
    const { keysMax } = this.#options
    const refused = new Map<string, KeyLimit>()
    for (const { partition, key } of keys) {
      if (!isNew.has(key)) continue
      const owned = this.#ofOwner.get(owner) ?? 0
      if (this.#total >= keysMax) refused.set(key, { setting: 'KEYS_MAX', max: keysMax })
      else if (limit !== undefined && owned >= limit.max) refused.set(key, limit)
      else {
        isNew.delete(key)
        toRegister.push({ partition, key, owner })
        this.#total++
        if (limit !== undefined) this.#ofOwner.set(owner, owned + 1)
      }
    }
    return refused
  }

  #needsCount(requests: readonly AdmissionRequest[]): boolean {
    const { keysMax, now } = this.#options
    if (now() - this.#countedAt >= COUNT_EVERY_MS || keysMax - this.#total < ROOM_NEAR) return true
    return requests.some(({ owner, limit }) => {
      if (limit === undefined) return false
      return limit.max - (this.#ofOwner.get(owner) ?? limit.max) < ROOM_NEAR
    })
  }

  async #count(owners: readonly string[]): Promise<void> {
    const counts = await this.#options.store.counts(owners)
    for (const [partition, { keys, evicted }] of counts.partitions.entries()) {
      const before = this.#counts?.partitions[partition]
      // Fewer keys without an eviction: Redis lost data.
      if (before !== undefined && (evicted !== before.evicted || keys < before.keys)) this.#cache.forget(partition)
    }
    this.#wantsCount = false
    this.#counts = counts
    this.#countedAt = this.#options.now()
    this.#total = counts.partitions.reduce((sum, { keys }) => sum + keys, 0)
    this.#ofOwner = new Map(owners.map((owner, i) => [owner, counts.owners[i] ?? 0]))
  }
}

function limitOf(own: number | undefined, ofAll: number | undefined): KeyLimit | undefined {
  if (own !== undefined) return { setting: 'keys_max', max: own }
  return ofAll === undefined ? undefined : { setting: 'KEYS_PER_API_KEY_MAX', max: ofAll }
}

function limitedOwners(requests: readonly AdmissionRequest[]): string[] {
  return [...new Set(requests.filter(({ limit }) => limit !== undefined).map(({ owner }) => owner))]
}
