import { pause } from '@tidemark/shared/runtime/lifecycle'
import { compareEntryIds, parseReceipt } from '@tidemark/shared/sample/receipt'
import { Random } from '@tidemark/testkit/random'
import type { Claim } from './deployment.ts'
import { readPartitionStates } from './partition-state.ts'
import type { Role } from './process.ts'
import type { World } from './world.ts'

const READ_EVERY_MS = 20
const CONSERVE_EVERY_MS = 250
const MEASURE_EVERY_MS = 1000
const LOOK_WITHIN_MS = 15_000

/** A process of this product never needs as much: what grows beyond it leaks. */
export const RESIDENT_MAX_BYTES = 512 * 1024 * 1024

/** Metrics by which the services themselves tell of samples that are gone. */
const LOST = 'analyzer_samples_lost_total'
const ROLLED_BACK = 'analyzer_samples_rolled_back_total'

/**
 * Looks at a deployment from outside while it is being struck: as a reader of verdicts (they never go back), as an accountant
 * of Redis' counters (they always add up), and as whoever looks after memory and metrics.
 */
export class Observer implements AsyncDisposable {
  /** The most bytes of RAM that a process of each role had. */
  readonly resident: Record<Role, number> = { gateway: 0, analyzer: 0 }
  readonly reads = { ok: 0, unavailable: 0, other: 0 }
  conservations = 0
  readonly #world: World
  readonly #stop = new AbortController()
  readonly #done: Promise<unknown>
  readonly #counters = new Map<string, { metric: string; process: string; value: number; at: number }>()
  readonly #seen = new Map<string, { count: number; id: string }>()

  constructor(world: World, seed: number) {
    this.#world = world
    this.#done = Promise.all([
      this.#every(READ_EVERY_MS, this.#readVerdicts(new Random(seed))),
      this.#every(CONSERVE_EVERY_MS, () => this.#addUp()),
      this.#every(MEASURE_EVERY_MS, () => this.#measure()),
    ])
  }

  /** `analyzer_samples_lost_total` of all processes that ever were. */
  get toldLost(): number {
    return this.#told(LOST).reduce((sum, { value }) => sum + value, 0)
  }

  /** Where an analyzer's metric says something else than its log; it may not have been asked since it said the last. */
  unlikeClaims(claims: readonly Claim[]): string[] {
    return this.#told(ROLLED_BACK).flatMap(({ process, value, at }) => {
      const said = claims
        .filter(one => one.process === process && one.at <= at)
        .reduce((sum, { gone }) => sum + gone, 0)
      return value >= said ? [] : [`I2: ${ROLLED_BACK} of ${process} is ${value}, and it has said ${said}`]
    })
  }

  #told(metric: string): { process: string; value: number; at: number }[] {
    return [...this.#counters.values()].filter(counter => counter.metric === metric)
  }

  /** Looks once more, so that nothing that was told at the end is missed. */
  async measure(): Promise<void> {
    const done = new AbortController()
    await Promise.race([this.#measure(), pause(LOOK_WITHIN_MS, done.signal)])
    // The pause would keep a finished process.
    done.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #every(ms: number, look: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      // What cannot be asked now is asked again; Redis and gateways are away now and then.
      // A client that is given up in the middle of a question never answers it.
      await Promise.race([look().catch(() => {}), pause(LOOK_WITHIN_MS, this.#stop.signal)])
      await pause(ms, this.#stop.signal)
    }
  }

  /** I5: a reader sees no analysis older than one that it saw before, unless Redis lost data in between. */
  #readVerdicts(random: Random): () => Promise<void> {
    let losses = 0
    return async () => {
      const { traffic, deployment, losses: known, breach } = this.#world
      if (known.length !== losses) this.#seen.clear()
      losses = known.length
      const latest = traffic.latest.at(-1 - random.integer(0, 9))
      const gateway = deployment.gateways.find(({ process }) => process !== undefined && !process.isFrozen)?.process
      if (latest === undefined || gateway === undefined) return
      const isWaiting = random.uniform() < 0.3
      const query = new URLSearchParams({
        key: latest.key,
        ...(isWaiting ? { after: latest.receipt, wait: '2000' } : {}),
      })
      const response = await fetch(`http://127.0.0.1:${gateway.port}/analyze?${query}`, {
        signal: AbortSignal.timeout(10_000),
      })
      const analysis = (await response.json()) as {
        key: string
        count: number
        id: string
        value: number
        timestamp: number
      }
      if (losses !== known.length) return
      if (response.status === 503) this.reads.unavailable++
      else if (response.status === 200) this.reads.ok++
      else this.reads.other++
      if (response.status >= 500 && response.status !== 503)
        breach(`I12: GET /analyze was answered with ${response.status}`)
      if (response.status !== 200) return
      const { count, id } = analysis
      const before = this.#seen.get(latest.key)
      const isOlder = before !== undefined && (count < before.count || isBefore(id, before.id))
      // A verdict on a receipt is that sample's, which may be older than the newest one.
      if (isOlder && !isWaiting) {
        breach(
          `I5: the analysis of ${latest.key} went back from ${before.id}, count ${before.count}, to ${id}, count ${count}`,
        )
      }
      if (!isOlder) this.#seen.set(latest.key, { count, id })
      if (isWaiting && isBefore(id, latest.receipt)) {
        breach(`I5: after ${latest.receipt} the analysis of ${latest.key} was that of ${id}, which is older`)
      }
    }
  }

  /** I11: accepted = analysed + dead + lost + backlog, at every moment, and the backlog is what stands in the stream. */
  async #addUp(): Promise<void> {
    const { deployment, breach } = this.#world
    for (const state of await readPartitionStates(deployment.redis, deployment.options.partitions)) {
      const waiting = [...state.waiting.values()].reduce((sum, count) => sum + count, 0)
      if (state.accepted - state.offset !== waiting) {
        breach(
          `I11: partition ${state.partition} counts ${state.accepted - state.offset} samples as waiting, and ${waiting} do`,
        )
      }
      if (state.offset !== state.analysed + state.dead) {
        breach(
          `I11: partition ${state.partition} is at offset ${state.offset} with ${state.analysed} analysed and ${state.dead} dead`,
        )
      }
      this.conservations++
    }
  }

  async #measure(): Promise<void> {
    const { deployment, breach } = this.#world
    for (const { role, process } of deployment.slots) {
      if (process === undefined) continue
      const bytes = (await process.residentBytes()) ?? 0
      if (bytes > RESIDENT_MAX_BYTES && this.resident[role] <= RESIDENT_MAX_BYTES) {
        breach(`I10: ${process.name} takes ${Math.round(bytes / 1024 / 1024)} MiB`)
      }
      this.resident[role] = Math.max(this.resident[role], bytes)
      if (role !== 'analyzer' || process.isFrozen) continue
      for (const metric of [LOST, ROLLED_BACK]) {
        const at = performance.now()
        const value = await process.metric(metric)
        if (value !== undefined) {
          this.#counters.set(`${metric} ${process.name}`, { metric, process: process.name, value, at })
        }
      }
    }
  }
}

function isBefore(a: string, b: string): boolean {
  const [first, second] = [parseReceipt(a), parseReceipt(b)]
  return first !== undefined && second !== undefined && compareEntryIds(first.id, second.id) < 0
}
