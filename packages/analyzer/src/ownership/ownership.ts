import { randomUUID } from 'node:crypto'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import { PartitionWorker, type PartitionWorkerOptions } from '../partition/partition-worker.ts'
import { attempt, repeat } from '../repeat.ts'
import { Assignment } from './assignment.ts'

/** The share of its TTL in which a lease is trusted: clocks run at different speeds. */
const TRUSTED_SHARE = 0.8

/** Renewals per TTL: two in a row may fail. */
const RENEWALS = 3

/**
 * The heartbeats of an analyzer that is alone are so many times as far apart, within this share of
 * the TTL: there is no other whose partitions it may have to take over. One that joins waits.
 */
const ALONE = { factor: 4, ttlShare: 0.2 }

export interface OwnershipOptions extends Omit<PartitionWorkerOptions, 'lease' | 'holdsLease'> {
  /** The name of this analyzer, which no other has; it changes if another process takes it. */
  readonly member: () => Promise<string>
  readonly partitions: number
  readonly leaseTtlMs: number
  readonly heartbeatMs: number
}

interface Owned {
  readonly worker: PartitionWorker
  readonly lease: Lease
  /** By the monotonic clock, counted from before the last renewal was requested. */
  trustedUntil: number
  /** Resolves when the worker has ended; set when it starts to end. */
  leaving?: Promise<void>
}

/**
 * Keeps this analyzer a member and rebalances: takes over the partitions that it should own as
 * their leases become free, hands off those that it should not, and renews the other leases. An
 * owner commits its current batch before it releases the lease, so a hand-off loses no work.
 */
export class Ownership {
  readonly #options: OwnershipOptions
  readonly #owned = new Map<number, Owned>()
  readonly #heartbeats: AsyncDisposable
  readonly #assignment: Assignment
  #renewedAt = 0
  #isAlone = false

  constructor(options: OwnershipOptions) {
    this.#options = options
    this.#assignment = new Assignment(options.partitions)
    this.#heartbeats = repeat(
      () => this.#beat(),
      options.clock,
      () => this.#paceMs,
    )
  }

  get workers(): PartitionWorker[] {
    return [...this.#owned.values()].map(({ worker }) => worker)
  }

  /** The leases that are still trusted and not about to be released. */
  get leases(): Lease[] {
    const now = this.#options.clock.monotonicMs()
    return [...this.#owned.values()]
      .filter(({ leaving, trustedUntil }) => leaving === undefined && now < trustedUntil)
      .map(({ lease }) => lease)
  }

  /** The store's clock where a partition is, Unix milliseconds; undefined while it is not known. */
  storeNow(partition: number): number | undefined {
    return this.#owned.get(partition)?.worker.storeNow
  }

  /** Leaves the members first, so that others take over each lease as soon as it is released. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { store, member } = this.#options
    await this.#heartbeats[Symbol.asyncDispose]()
    await attempt('leaving the members', async () => store.leave(await member()), this.#options)
    await Promise.all([...this.#owned.values()].map(owned => this.#handOff(owned)))
  }

  /** What fails here is retried with the next heartbeat, or ends with the lease. */
  async #beat(): Promise<void> {
    await this.#renew()
    await attempt('the heartbeat', () => this.#rebalance(), this.#options)
    this.#options.metrics.partitionsOwned.set(this.#owned.size)
  }

  async #rebalance(): Promise<void> {
    const { store, leaseTtlMs, metrics, clock } = this.#options
    const member = await this.#options.member()
    const members = await store.heartbeat(member, leaseTtlMs)
    this.#isAlone = members.length === 1 && members[0] === member
    metrics.members.set(members.length)
    const assigned = new Set(this.#assignment.of(member, members))
    for (const owned of this.#owned.values()) {
      const { worker, trustedUntil } = owned
      if (worker.isLost || clock.monotonicMs() > trustedUntil) void this.#abandon(owned)
      else if (!assigned.has(worker.partition)) void this.#handOff(owned)
    }
    const missing = [...assigned].filter(partition => !this.#owned.has(partition))
    await Promise.all(missing.map(partition => this.#takeOver(partition, member)))
  }

  /** The pause before the next heartbeat. */
  get #paceMs(): number {
    return this.#isAtRest ? this.#paceAloneMs : this.#options.heartbeatMs
  }

  get #paceAloneMs(): number {
    const { leaseTtlMs, heartbeatMs } = this.#options
    return Math.max(heartbeatMs, Math.min(ALONE.factor * heartbeatMs, ALONE.ttlShare * leaseTtlMs))
  }

  /** Whether there is nothing to take over, hand off or abandon until another analyzer joins. */
  get #isAtRest(): boolean {
    const now = this.#options.clock.monotonicMs()
    const owned = [...this.#owned.values()]
    const isSettled = owned.every(
      ({ worker, leaving, trustedUntil }) => !worker.isLost && leaving === undefined && now <= trustedUntil,
    )
    return this.#isAlone && isSettled && owned.length === this.#options.partitions
  }

  async #takeOver(partition: number, member: string): Promise<void> {
    const { store, leaseTtlMs, log, metrics, clock } = this.#options
    const lease: Lease = { partition, token: `${member}:${randomUUID()}` }
    const sentAt = clock.monotonicMs()
    if (!(await store.acquireLease(partition, lease.token, leaseTtlMs))) return
    log.info({ partition }, 'took over the partition')
    metrics.takeovers.inc()
    const holdsLease = (): boolean => clock.monotonicMs() < (this.#owned.get(partition)?.trustedUntil ?? 0)
    const worker = new PartitionWorker({ ...this.#options, lease, holdsLease })
    this.#owned.set(partition, { worker, lease, trustedUntil: sentAt + TRUSTED_SHARE * leaseTtlMs })
  }

  async #renew(): Promise<void> {
    const { store, leaseTtlMs, log, clock } = this.#options
    const sentAt = clock.monotonicMs()
    const owned = [...this.#owned.values()]
    // Not with the next heartbeat, which would be too late.
    const isDue = sentAt + this.#paceAloneMs - this.#renewedAt > leaseTtlMs / RENEWALS
    if (owned.length === 0 || !isDue) return
    const leases = owned.map(({ lease }) => lease)
    const renew = async (): Promise<void> => {
      const renewed = await store.renewLeases(leases, leaseTtlMs)
      this.#renewedAt = sentAt
      owned.forEach((one, i) => {
        if (renewed[i] === true) one.trustedUntil = sentAt + TRUSTED_SHARE * leaseTtlMs
        else if (one.leaving === undefined) {
          log.warn({ partition: one.worker.partition }, 'lost the lease of the partition')
          void this.#abandon(one)
        }
      })
    }
    await attempt('renewing leases', renew, this.#options)
  }

  /** Lets the worker commit its current batch, then releases the lease. */
  #handOff(owned: Owned): Promise<void> {
    const { store, log } = this.#options
    const { worker, lease } = owned
    owned.leaving ??= (async () => {
      await worker.stop()
      await attempt('releasing a lease', () => store.releaseLease(lease), this.#options)
      this.#owned.delete(worker.partition)
      log.info({ partition: worker.partition }, 'handed off the partition')
    })()
    return owned.leaving
  }

  /** Ends the worker of a partition whose lease is lost. */
  #abandon(owned: Owned): Promise<void> {
    owned.leaving ??= owned.worker.abandon().then(() => void this.#owned.delete(owned.worker.partition))
    return owned.leaving
  }
}
