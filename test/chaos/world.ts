import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import type { RedisFixture } from '@tidemark/testkit/redis-fixture'
import type { Audit } from './audit.ts'
import type { Traffic } from './client.ts'
import type { ChaosCluster } from './cluster.ts'
import type { Deployment, Slot } from './deployment.ts'
import type { History } from './history.ts'
import { isLostBy, type Loss } from './loss.ts'
import { type PartitionState, readPartitionStates } from './partition-state.ts'
import type { Effect, Exchange, Point } from './proxy.ts'
import { PASS } from './proxy.ts'
import type { Replica } from './replication.ts'

/** How long a fault may take to find the moment that it waits for. */
export const BITE_WITHIN_MS = 20_000

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
  /** Undefined when it is a cluster. */
  readonly redis: RedisFixture | undefined
  /** Undefined where the level of durability needs none. */
  readonly replica: Replica | undefined
  readonly cluster: ChaosCluster | undefined
  readonly durability: DurabilityLevel
  readonly breach: (text: string) => void
}

/** What the faults work on, and what they leave behind for the verifier. */
export class World {
  readonly deployment: Deployment
  readonly audit: Audit
  readonly traffic: Traffic
  readonly history: History
  readonly breach: (text: string) => void
  /** The Redis that serves; another one after a fail-over. */
  redis: RedisFixture | undefined
  /** The one that follows it all the time; another one after a fail-over. */
  replica: Replica | undefined
  readonly cluster: ChaosCluster | undefined
  readonly durability: DurabilityLevel
  readonly losses: Loss[] = []
  readonly kills: Kill[] = []
  /** Entries that were put into streams past the gateways, `partition:id`. */
  readonly poisons: string[] = []
  readonly struck = new Map<string, number>()
  /** Analyzers that there should be. */
  analyzers = 3

  constructor({ deployment, audit, traffic, history, redis, replica, cluster, durability, breach }: WorldOptions) {
    this.deployment = deployment
    this.audit = audit
    this.traffic = traffic
    this.history = history
    this.redis = redis
    this.replica = replica
    this.cluster = cluster
    this.durability = durability
    this.breach = breach
  }

  get leaseMs(): number {
    return this.deployment.options.leaseTtlMs
  }

  /** Counts one more of what struck. */
  count(what: string): void {
    this.struck.set(what, (this.struck.get(what) ?? 0) + 1)
  }

  /** Kills the process in a slot and remembers what it held, for the take-over times. */
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

  /** Waits for one exchange and acts on it; false when none came in time. */
  async strikeOnce(strike: {
    readonly point: Point
    readonly nth: number
    readonly matches: (exchange: Exchange) => boolean
    readonly act: (exchange: Exchange) => Effect | Promise<Effect>
  }): Promise<boolean> {
    const { rules } = this.deployment
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const rule = {
      point: strike.point,
      matches: strike.matches,
      left: strike.nth,
      async act(exchange: Exchange): Promise<Effect> {
        try {
          return await strike.act(exchange)
        } catch {
          return PASS
        } finally {
          resolve(true)
        }
      },
    }
    rules.add(rule)
    const timer = setTimeout(() => {
      // A rule that is at work already is not in the set any more, and has a time of its own.
      if (rules.delete(rule)) resolve(false)
    }, BITE_WITHIN_MS)
    const struck = await promise
    clearTimeout(timer)
    return struck
  }

  /**
   * Notes what Redis lost, from what it has now or was `seen` to have: nobody else may write to it meanwhile. `atMs` is Redis' clock when it lost it.
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
      states: states.map(({ waiting, ...state }) => ({ ...state, waiting: waiting.size })),
    })
  }
}
