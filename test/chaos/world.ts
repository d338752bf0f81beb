import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import type { RedisFixture } from '@tidemark/testkit/redis-fixture'
import type { Audit } from './audit.ts'
import type { ChaosCluster } from './cluster.ts'
import type { Deployment, Slot } from './deployment.ts'
import type { History } from './history.ts'
import { isLostBy, type Loss } from './loss.ts'
import { type PartitionState, readPartitionStates } from './partition-state.ts'
import type { Effect, Exchange, Point } from './proxy.ts'
import { PASS } from './proxy.ts'
import type { Replica } from './replication.ts'
import type { Traffic } from './traffic.ts'

/** How long a fault waits for an opportunity. */
export const OPPORTUNITY_TIMEOUT_MS = 20_000

export interface Kill {
  readonly process: string
  readonly at: number
  /** The partitions whose leases it held. */
  readonly partitions: readonly number[]
}

export interface WorldOptions {
  readonly deployment: Deployment
  readonly audit: Audit
  readonly traffic: Traffic
  readonly history: History
  /** Undefined for a cluster. */
  readonly redis: RedisFixture | undefined
  /** Undefined if the durability level needs none. */
  readonly replica: Replica | undefined
  readonly cluster: ChaosCluster | undefined
  readonly durability: DurabilityLevel
  readonly violation: (text: string) => void
}

/** What faults act on, and what they record for the verifier. */
export class World {
  readonly deployment: Deployment
  readonly audit: Audit
  readonly traffic: Traffic
  readonly history: History
  readonly violation: (text: string) => void
  /** The Redis that serves; replaced at a failover. */
  redis: RedisFixture | undefined
  /** Its permanent replica; replaced at a failover. */
  replica: Replica | undefined
  readonly cluster: ChaosCluster | undefined
  readonly durability: DurabilityLevel
  readonly losses: Loss[] = []
  readonly kills: Kill[] = []
  /** Entries that were appended past the gateways, as `partition:id`. */
  readonly poisons: string[] = []
  readonly injected = new Map<string, number>()
  /** How often Redis lost the rules; others were put each time. */
  rulesLost = 0
  /** The intended number of analyzers. */
  analyzers = 3

  constructor({ deployment, audit, traffic, history, redis, replica, cluster, durability, violation }: WorldOptions) {
    this.deployment = deployment
    this.audit = audit
    this.traffic = traffic
    this.history = history
    this.redis = redis
    this.replica = replica
    this.cluster = cluster
    this.durability = durability
    this.violation = violation
  }

  get leaseMs(): number {
    return this.deployment.options.leaseTtlMs
  }

  /** Counts an injected fault. */
  count(what: string): void {
    this.injected.set(what, (this.injected.get(what) ?? 0) + 1)
  }

  /** Kills the process in a slot and records its leases, for the takeover times. */
  kill(slot: Slot): void {
    const { audit, deployment } = this
    const at = performance.now()
    const prefix = `${slot.process?.name}:`
    const { partitions } = deployment.options
    const held = Array.from({ length: partitions }, (_, i) => i).filter(
      i => audit.holder(i)?.startsWith(prefix) === true,
    )
    const process = deployment.kill(slot)
    if (process !== undefined && slot.role === 'analyzer') this.kills.push({ process, at, partitions: held })
  }

  /** Waits for one exchange and acts on it. Returns false if none matched in time. */
  async interceptOnce(interception: {
    readonly point: Point
    readonly nth: number
    readonly matches: (exchange: Exchange) => boolean
    readonly act: (exchange: Exchange) => Effect | Promise<Effect>
  }): Promise<boolean> {
    const { interceptors } = this.deployment
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const interceptor = {
      point: interception.point,
      matches: interception.matches,
      remaining: interception.nth,
      async act(exchange: Exchange): Promise<Effect> {
        try {
          return await interception.act(exchange)
        } catch {
          return PASS
        } finally {
          resolve(true)
        }
      },
    }
    interceptors.add(interceptor)
    const timer = setTimeout(() => {
      // An interceptor that is already acting is no longer in the set and has its own timeout.
      if (interceptors.delete(interceptor)) resolve(false)
    }, OPPORTUNITY_TIMEOUT_MS)
    const intercepted = await promise
    clearTimeout(timer)
    return intercepted
  }

  /**
   * Records what Redis lost, from its state now or as `seen` earlier. No other client may write
   * meanwhile. `atMs` is Redis' clock at the loss.
   */
  async noteLoss(cause: string, atMs: number, seen?: readonly PartitionState[]): Promise<void> {
    const { deployment, audit, losses, history, traffic } = this
    const states = seen ?? (await readPartitionStates(deployment.redis, deployment.options.partitions))
    const loss: Loss = {
      cause,
      at: performance.now(),
      atMs,
      before: new Map(audit.appended),
      lastCommits: audit.lastCommits,
      states: new Map(states.map(state => [state.partition, state])),
    }
    for (const state of states) audit.rollBack(state)
    losses.push(loss)
    traffic.noteLoss(loss)
    const lost = [...traffic.attempts.values()]
      .flat()
      .filter(({ receipt }) => receipt !== undefined && isLostBy(loss, receipt))
    history.note('loss', {
      cause,
      lost: lost.length,
      states: states.map(({ unprocessed, ...state }) => ({ ...state, unprocessed: unprocessed.size })),
    })
  }
}
