import { randomUUID } from 'node:crypto'
import type { Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/analyzer'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Logger } from 'pino'
import type { AnalyzerMetrics } from '../metrics.ts'
import { PartitionWorker, type PartitionWorkerOptions } from '../partition/partition-worker.ts'
import { assignedTo } from './assignment.ts'

/** The part of a lease's life in which its owner trusts it: clocks of two machines run at slightly different speeds. */
const TRUSTED_SHARE = 0.8

/** Leases are renewed this often within their life, so that two attempts may fail. */
const RENEWALS = 3

export interface OwnershipOptions {
  readonly member: string
  readonly partitions: number
  readonly store: AnalyzerStore
  readonly metrics: AnalyzerMetrics
  readonly log: Logger
  readonly logFailure: FailureLog
  readonly clock: Clock
  readonly leaseTtlMs: number
  readonly heartbeatMs: number
  /** What a worker needs besides its lease. */
  readonly workerOptions: Omit<PartitionWorkerOptions, 'lease' | 'holdsLease'>
}

interface Owned {
  readonly worker: PartitionWorker
  readonly lease: Lease
  /** By the monotonic clock, counted from before the last renewal was sent. */
  trustedUntil: number
  /** The end of its work, once that has begun to end. */
  leaving?: Promise<void>
}

/**
 * Keeps this analyzer a member, takes the partitions that it should own as their leases come free, gives up those it
 * should not, and renews the leases of the others. A partition changes hands without a gap in its work: its owner commits
 * what it has at work and only then releases the lease.
 */
export class Ownership {
  readonly #options: OwnershipOptions
  readonly #owned = new Map<number, Owned>()
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #renewedAt = 0

  constructor(options: OwnershipOptions) {
    this.#options = options
    this.#done = this.#run()
  }

  get workers(): PartitionWorker[] {
    return [...this.#owned.values()].map(({ worker }) => worker)
  }

  /** Leases that may be acted under: ours as far as we know, and not about to be given up. */
  get leases(): Lease[] {
    const now = this.#options.clock.monotonicMs()
    return [...this.#owned.values()]
      .filter(({ leaving, trustedUntil }) => leaving === undefined && now < trustedUntil)
      .map(({ lease }) => lease)
  }

  /** Leaves the members first, so that others may take over the moment a lease is released; then gives up everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { store, member } = this.#options
    this.#stop.abort()
    await this.#done
    await this.#attempt('leaving the members', () => store.leave(member))
    await Promise.all([...this.#owned.values()].map(owned => this.#handOver(owned)))
  }

  async #run(): Promise<void> {
    const { heartbeatMs, clock } = this.#options
    while (!this.#stop.signal.aborted) {
      await this.#renew()
      await this.#attempt('the heartbeat', () => this.#balance())
      this.#options.metrics.partitionsOwned.set(this.#owned.size)
      await clock.pause(heartbeatMs, this.#stop.signal)
    }
  }

  /** Compares what should be owned with what is, and starts to mend the difference. */
  async #balance(): Promise<void> {
    const { store, member, partitions, leaseTtlMs, metrics, clock } = this.#options
    const members = await store.heartbeat(member, leaseTtlMs)
    metrics.members.set(members.length)
    const assigned = new Set(assignedTo(member, members, partitions))
    for (const owned of this.#owned.values()) {
      const { worker } = owned
      if (worker.isLost || clock.monotonicMs() > owned.trustedUntil) void this.#abandon(owned)
      else if (!assigned.has(worker.partition)) void this.#handOver(owned)
    }
    await Promise.all(
      [...assigned].filter(partition => !this.#owned.has(partition)).map(partition => this.#take(partition)),
    )
  }

  async #take(partition: number): Promise<void> {
    const { store, member, leaseTtlMs, log, metrics, clock, workerOptions } = this.#options
    const lease: Lease = { partition, token: `${member}:${randomUUID()}` }
    const sentAt = clock.monotonicMs()
    if (!(await store.acquireLease(partition, lease.token, leaseTtlMs))) return
    log.info({ partition }, 'partition taken')
    metrics.takeovers.inc()
    const trustedUntil = sentAt + TRUSTED_SHARE * leaseTtlMs
    const holdsLease = (): boolean => clock.monotonicMs() < (this.#owned.get(partition)?.trustedUntil ?? 0)
    const worker = new PartitionWorker({ ...workerOptions, lease, holdsLease })
    this.#owned.set(partition, { worker, lease, trustedUntil })
  }

  async #renew(): Promise<void> {
    const { store, leaseTtlMs, log, clock } = this.#options
    const sentAt = clock.monotonicMs()
    const owned = [...this.#owned.values()]
    if (owned.length === 0 || sentAt - this.#renewedAt < leaseTtlMs / RENEWALS) return
    await this.#attempt('renewing leases', async () => {
      const renewed = await store.renewLeases(
        owned.map(({ lease }) => lease),
        leaseTtlMs,
      )
      this.#renewedAt = sentAt
      owned.forEach((one, i) => {
        if (renewed[i] === true) one.trustedUntil = sentAt + TRUSTED_SHARE * leaseTtlMs
        else if (one.leaving === undefined) {
          log.warn({ partition: one.worker.partition }, 'the lease was gone')
          void this.#abandon(one)
        }
      })
    })
  }

  /** Lets the worker commit what it has at work, then frees the partition for others. */
  #handOver(owned: Owned): Promise<void> {
    const { store, log } = this.#options
    owned.leaving ??= (async () => {
      await owned.worker.stop()
      await this.#attempt('releasing a lease', () => store.releaseLease(owned.lease))
      this.#owned.delete(owned.worker.partition)
      log.info({ partition: owned.worker.partition }, 'partition handed over')
    })()
    return owned.leaving
  }

  /** Ends the work on a partition that is not ours any more. */
  #abandon(owned: Owned): Promise<void> {
    owned.leaving ??= (async () => {
      await owned.worker.abandon()
      this.#owned.delete(owned.worker.partition)
    })()
    return owned.leaving
  }

  /** Whatever fails here is tried again at the next heartbeat, or settled by the lease running out. */
  async #attempt(what: string, action: () => Promise<unknown>): Promise<void> {
    try {
      await action()
    } catch (error) {
      this.#options.metrics.storeErrors.inc()
      this.#options.logFailure(error, `${what} failed`)
    }
  }
}
