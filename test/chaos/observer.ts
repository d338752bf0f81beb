import { pause } from '@tidemark/shared/runtime/lifecycle'
import { compareEntryIds, parseReceipt } from '@tidemark/shared/sample/receipt'
import { Random } from '@tidemark/testkit/random'
import { AUTHORIZATION } from './api-key.ts'
import type { RollbackReport } from './deployment.ts'
import { readPartitionStates } from './partition-state.ts'
import type { Role } from './process.ts'
import type { World } from './world.ts'

const READ_EVERY_MS = 20
const ADD_UP_EVERY_MS = 250
const MEASURE_EVERY_MS = 1000
const LOOK_WITHIN_MS = 15_000

/** A service never needs this much memory. Growth beyond it is a leak. */
export const RESIDENT_MAX_BYTES = 512 * 1024 * 1024

/** Metrics by which the analyzers report lost samples. */
const LOST = 'analyzer_samples_lost_total'
const ROLLED_BACK = 'analyzer_samples_rolled_back_total'

/**
 * Observes a deployment from outside during the faults: it reads verdicts, which must never go
 * back, checks that the counters in Redis add up, and records memory and metrics.
 */
export class Observer implements AsyncDisposable {
  /** The maximum resident memory of a process of each role, in bytes. */
  readonly resident: Record<Role, number> = { gateway: 0, analyzer: 0 }
  readonly reads = { ok: 0, unavailable: 0, other: 0 }
  readonly #world: World
  readonly #stop = new AbortController()
  readonly #done: Promise<unknown>
  readonly #counters = new Map<string, { metric: string; process: string; value: number; at: number }>()
  readonly #seen = new Map<string, { count: number; id: string }>()

  constructor(world: World, seed: number) {
    this.#world = world
    this.#done = Promise.all([
      this.#every(READ_EVERY_MS, this.#readVerdicts(new Random(seed))),
      this.#every(ADD_UP_EVERY_MS, () => this.#addUp()),
      this.#every(MEASURE_EVERY_MS, () => this.#measure()),
    ])
  }

  /** The sum of `analyzer_samples_lost_total` over all processes of the run. */
  get reportedLost(): number {
    return this.#countersOf(LOST).reduce((sum, { value }) => sum + value, 0)
  }

  /** Compares metrics with log lines. A metric may have been read before the last log line. */
  checkRollbackReports(rollbackReports: readonly RollbackReport[]): string[] {
    return this.#countersOf(ROLLED_BACK).flatMap(({ process, value, at }) => {
      const reported = rollbackReports
        .filter(one => one.process === process && one.at <= at)
        .reduce((sum, { lost }) => sum + lost, 0)
      return value >= reported ? [] : [`I2: ${ROLLED_BACK} of ${process} is ${value}, but its log says ${reported}`]
    })
  }

  #countersOf(metric: string): { process: string; value: number; at: number }[] {
    return [...this.#counters.values()].filter(counter => counter.metric === metric)
  }

  /** Measures once more, so that the last changes are not missed. */
  async measure(): Promise<void> {
    const done = new AbortController()
    await Promise.race([this.#measure(), pause(LOOK_WITHIN_MS, done.signal)])
    // The timer of the pause would keep the process alive.
    done.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #every(ms: number, look: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      // Failures are retried: Redis and gateways are unavailable at times.
      // A client that is closed during a request never settles the request's promise.
      await Promise.race([look().catch(() => {}), pause(LOOK_WITHIN_MS, this.#stop.signal)])
      await pause(ms, this.#stop.signal)
    }
  }

  /** Checks I5: no read returns an older analysis than an earlier read, unless Redis lost data. */
  #readVerdicts(random: Random): () => Promise<void> {
    let losses = 0
    return async () => {
      const { traffic, deployment, losses: known, violation } = this.#world
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
        headers: AUTHORIZATION,
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
      if (response.status >= 500 && response.status !== 503) violation(`I12: GET /analyze returned ${response.status}`)
      if (response.status !== 200) return
      const { count, id } = analysis
      const before = this.#seen.get(latest.key)
      const isOlder = before !== undefined && (count < before.count || isBefore(id, before.id))
      // A read with a receipt returns that sample's verdict, which may be older than the newest.
      if (isOlder && !isWaiting) {
        violation(
          `I5: the analysis of ${latest.key} went back from ${before.id}, count ${before.count}, to ${id}, count ${count}`,
        )
      }
      if (!isOlder) this.#seen.set(latest.key, { count, id })
      if (isWaiting && isBefore(id, latest.receipt)) {
        violation(`I5: a read after ${latest.receipt} of ${latest.key} returned the older analysis ${id}`)
      }
    }
  }

  /** Checks I11 at any moment: accepted = analysed + dead + lost + backlog, as in the stream. */
  async #addUp(): Promise<void> {
    const { deployment, violation } = this.#world
    for (const state of await readPartitionStates(deployment.redis, deployment.options.partitions)) {
      const unprocessed = [...state.unprocessed.values()].reduce((sum, count) => sum + count, 0)
      if (state.accepted - state.offset !== unprocessed) {
        violation(
          `I11: partition ${state.partition} counts ${state.accepted - state.offset} samples as unprocessed, its stream has ${unprocessed}`,
        )
      }
      if (state.offset !== state.analysed + state.dead) {
        violation(
          `I11: partition ${state.partition} is at offset ${state.offset} with ${state.analysed} analysed and ${state.dead} dead`,
        )
      }
    }
  }

  async #measure(): Promise<void> {
    const { deployment, violation } = this.#world
    for (const { role, process } of deployment.slots) {
      if (process === undefined) continue
      const bytes = (await process.residentBytes()) ?? 0
      if (bytes > RESIDENT_MAX_BYTES && this.resident[role] <= RESIDENT_MAX_BYTES) {
        violation(`I10: ${process.name} uses ${Math.round(bytes / 1024 / 1024)} MiB`)
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
