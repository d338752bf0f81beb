import { pause } from '@tidemark/shared/runtime/lifecycle'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { parseReceipt } from '@tidemark/shared/sample/receipt'
import type { Sample } from '@tidemark/shared/sample/sample'
import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import { derivedSeed, Random } from '@tidemark/testkit/random'
import { MAY_BE_STORED } from '../support/service-messages.ts'
import { type Attempt, type Attempts, afterRetry, REJECTED, UNKNOWN } from './attempt.ts'
import type { Deployment } from './deployment.ts'
import type { History } from './history.ts'
import type { Loss } from './loss.ts'
import type { ServiceProcess } from './process.ts'
import { type IngestRequest, type IngestResponse, makeRequest, post } from './request.ts'
import type { SamplePlan } from './sample-plan.ts'

/** Upper bound of a client's wait after a 503, and its wait after a broken connection. */
const RETRY_AFTER_MAX_MS = 250
const BROKEN_WAIT_MS = 30

/** Share of the requests that have an Idempotency-Key and are retried until they get 202. */
const IDEMPOTENT_SHARE = 0.3

/** A client gives up after this many attempts. */
const SENDS_MAX = 40

export interface TrafficOptions {
  readonly deployment: Deployment
  readonly plan: SamplePlan
  readonly history: History
  readonly seed: number
  /** Maximum number of samples in one request. */
  readonly batchMax: number
  /** The level that every 202 must name. */
  readonly durability: DurabilityLevel
  readonly onViolation: (violation: string) => void
}

/** A request with an Idempotency-Key that got 202. */
export interface CompletedRequest {
  readonly request: IngestRequest
  readonly receipts: readonly string[]
}

/** Clients that post samples through all gateways in every format and record the responses. */
export class Traffic {
  readonly responses = { ok: 0, unavailable: 0, broken: 0, retries: 0 }
  readonly completedRequests: CompletedRequest[] = []
  accepted = 0
  sent = 0
  /** Samples per second of all writers together; Infinity means as fast as possible. */
  rate: number
  readonly #options: TrafficOptions
  readonly #attempts = new Map<string, Attempt[]>()
  readonly #losses: Loss[] = []
  readonly #stop = new AbortController()
  readonly #done: Promise<unknown>
  readonly #latest: { key: string; receipt: string; value: number; timestamp: number }[] = []

  constructor(options: TrafficOptions & { readonly rate: number }) {
    this.#options = options
    this.rate = options.rate
    const { writers } = options.plan.options
    this.#done = Promise.all(Array.from({ length: writers }, (_, writer) => this.#write(writer)))
  }

  get attempts(): Attempts {
    return this.#attempts
  }

  /** Recently accepted samples, newest last. */
  get latest(): readonly { key: string; receipt: string; value: number; timestamp: number }[] {
    return this.#latest
  }

  /** Forgets the newest samples: Redis may have lost them, so their verdicts may never come. */
  noteLoss(loss: Loss): void {
    this.#losses.push(loss)
    this.#latest.length = 0
  }

  /** Resolves when every writer has its last response. */
  async end(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #write(writer: number): Promise<void> {
    const { plan, seed, batchMax } = this.#options
    const random = new Random(derivedSeed(seed, 1000 + writer))
    while (!this.#stop.signal.aborted) {
      // Mostly small batches, occasionally a large one.
      const size = 1 + Math.floor(random.uniform() ** 4 * batchMax)
      const begin = performance.now()
      const samples: Sample[] = []
      const taken = new Map<string, number>()
      for (let i = 0; i < size; i++) {
        const key = plan.keyOf(writer, random)
        const n = (this.#attempts.get(key)?.length ?? 0) + (taken.get(key) ?? 0)
        taken.set(key, (taken.get(key) ?? 0) + 1)
        samples.push(plan.sample(key, n))
      }
      const isIdempotent = random.uniform() < IDEMPOTENT_SHARE
      const waitMs = await this.#deliver(makeRequest({ writer, samples, isIdempotent, random }), random)
      const paceMs = (size * plan.options.writers * 1000) / this.rate
      await pause(Math.max(waitMs, paceMs - (performance.now() - begin)), this.#stop.signal)
    }
  }

  /** Sends a request, with retries if allowed. Returns the wait before the next request, in ms. */
  async #deliver(request: IngestRequest, random: Random): Promise<number> {
    const { deployment, onViolation } = this.#options
    let known: Attempt[] | undefined
    for (let sends = 0; ; ) {
      const gateways = deployment.gateways.flatMap(({ process }) => (process === undefined ? [] : [process]))
      const gateway = gateways[Math.floor(random.uniform() * gateways.length)]
      if (gateway === undefined) {
        await pause(50)
        continue
      }
      sends++
      if (sends > 1) this.responses.retries++
      const response = await this.#post(request, gateway)
      const now = this.#interpret(request, response)
      known =
        known?.map((before, i) =>
          afterRetry(before, now[i] ?? UNKNOWN, { losses: this.#losses, violation: onViolation }),
        ) ?? now
      const isAccepted = response.kind === 'completed' && response.status === 202
      const waitMs = isAccepted ? 0 : waitMsAfter(response)
      if (isAccepted || request.idempotencyKey === undefined || sends === SENDS_MAX) {
        if (isAccepted && request.idempotencyKey !== undefined) {
          this.completedRequests.push({ request, receipts: response.result.receipts ?? [] })
        }
        this.#note(request.samples, known)
        return waitMs
      }
      await pause(waitMs)
    }
  }

  async #post(request: IngestRequest, gateway: ServiceProcess): Promise<IngestResponse> {
    const response = await post(request, gateway.port)
    const { format, samples, idempotencyKey } = request
    const numbers = samples.map(({ key, timestamp }) => [key, timestamp])
    this.#options.history.note('response', {
      gateway: gateway.name,
      format,
      idempotencyKey,
      response,
      samples: numbers,
    })
    return response
  }

  /** Returns what a response says about each sample of its request. */
  #interpret({ samples }: IngestRequest, response: IngestResponse): Attempt[] {
    const { onViolation, deployment, durability } = this.#options
    if (response.kind === 'broken') {
      this.responses.broken++
      return samples.map(() => UNKNOWN)
    }
    const { status, retryAfter, result } = response
    const { receipts = [], rejected = [], accepted } = result
    const shown = JSON.stringify(result).slice(0, 300)
    const byPartition = new Map(receipts.map(receipt => [parseReceipt(receipt)?.partition, receipt]))
    const storedAt = ({ key }: Sample): Attempt => {
      const receipt = byPartition.get(partitionOf(key, deployment.options.partitions))
      if (receipt === undefined) onViolation(`I12: an accepted sample of ${key} has no receipt`)
      return { outcome: 'accepted', receipt }
    }

    if (status === 202) {
      this.responses.ok++
      const isComplete = accepted === samples.length && rejected.length === 0
      if (!isComplete) onViolation(`I12: 202 for ${samples.length} valid samples, body: ${shown}`)
      if (result.durability !== durability) onViolation(`I12: 202 without durability ${durability}, body: ${shown}`)
      return samples.map(storedAt)
    }
    this.responses.unavailable++
    if (status !== 503) onViolation(`I12: an internal failure got the status ${status}, body: ${shown}`)
    else if (!/^[1-9]\d*$/.test(retryAfter ?? ''))
      onViolation(`I12: 503 without Retry-After in seconds, body: ${shown}`)
    const reasons = new Map(rejected.map(({ index, reason }) => [index, reason]))
    return samples.map((sample, i) => {
      const reason = reasons.get(i)
      if (accepted === undefined || reason?.includes(MAY_BE_STORED)) return UNKNOWN
      return reason === undefined ? storedAt(sample) : REJECTED
    })
  }

  #note(samples: readonly Sample[], attempts: readonly Attempt[]): void {
    this.sent += samples.length
    for (const [i, sample] of samples.entries()) {
      const attempt = attempts[i] ?? UNKNOWN
      const known = this.#attempts.get(sample.key)
      if (known === undefined) this.#attempts.set(sample.key, [attempt])
      else known.push(attempt)
      if (attempt.outcome !== 'accepted') continue
      this.accepted++
      if (attempt.receipt !== undefined && i === samples.length - 1) {
        this.#latest.push({ ...sample, receipt: attempt.receipt })
      }
    }
    if (this.#latest.length > 100) this.#latest.splice(0, 50)
  }
}

function waitMsAfter(response: IngestResponse): number {
  if (response.kind === 'broken') return BROKEN_WAIT_MS
  return Math.min(RETRY_AFTER_MAX_MS, 1000 * Number(response.retryAfter ?? 1))
}
