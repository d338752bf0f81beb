import { pause } from '@tidemark/shared/runtime/lifecycle'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { parseReceipt } from '@tidemark/shared/sample/receipt'
import type { Sample } from '@tidemark/shared/sample/sample'
import type { DurabilityLevel } from '@tidemark/shared/store/ports/store'
import { derivedSeed, Random } from '@tidemark/testkit/random'
import type { Deployment } from './deployment.ts'
import type { History } from './history.ts'
import { type Attempt, type Attempts, afterRepeat, REFUSED, UNKNOWN } from './knowledge.ts'
import type { Loss } from './loss.ts'
import type { ServiceProcess } from './process.ts'
import { type Answer, type IngestRequest, makeRequest, post } from './request.ts'
import type { SamplePlan } from './sample-plan.ts'

/** What a client waits at most after a 503, so that a run does not stand still; and after a connection that broke. */
const RETRY_AFTER_MAX_MS = 250
const BROKEN_WAIT_MS = 30

/** Of all requests those that bring an Idempotency-Key and are sent again until they are answered 202. */
const REPEATABLE_SHARE = 0.3

/** A client that has sent a request so often gives up. */
const SENDS_MAX = 40

export interface TrafficOptions {
  readonly deployment: Deployment
  readonly plan: SamplePlan
  readonly history: History
  readonly seed: number
  /** Samples in one request, at most. */
  readonly batchMax: number
  /** What every 202 has to name. */
  readonly durability: DurabilityLevel
  readonly onBreach: (breach: string) => void
}

/** A request with an Idempotency-Key that was answered 202. */
export interface AcceptedRequest {
  readonly request: IngestRequest
  readonly receipts: readonly string[]
}

/** Writers that post samples through all gateways in every shape, and know what they were answered. */
export class Traffic {
  readonly answers = { ok: 0, unavailable: 0, broken: 0, repeats: 0 }
  readonly repeatable: AcceptedRequest[] = []
  accepted = 0
  sent = 0
  /** Samples a second, all writers together; Infinity is as fast as it goes. */
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

  /** Samples that were accepted a moment ago, newest last. */
  get latest(): readonly { key: string; receipt: string; value: number; timestamp: number }[] {
    return this.#latest
  }

  /** Redis lost data: the newest samples may be among it, and nobody can wait for their verdicts. */
  noteLoss(loss: Loss): void {
    this.#losses.push(loss)
    this.#latest.length = 0
  }

  /** Resolves when every writer has its last answer. */
  async end(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #write(writer: number): Promise<void> {
    const { plan, seed, batchMax } = this.#options
    const random = new Random(derivedSeed(seed, 1000 + writer))
    while (!this.#stop.signal.aborted) {
      // Mostly small batches, now and then a large one.
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
      const isRepeatable = random.uniform() < REPEATABLE_SHARE
      const waitMs = await this.#deliver(makeRequest({ writer, samples, isRepeatable, random }), random)
      const paceMs = (size * plan.options.writers * 1000) / this.rate
      await pause(Math.max(waitMs, paceMs - (performance.now() - begin)), this.#stop.signal)
    }
  }

  /** Sends a request, again and again where it may be; resolves with the milliseconds to wait before the next. */
  async #deliver(request: IngestRequest, random: Random): Promise<number> {
    const { deployment, onBreach } = this.#options
    let known: Attempt[] | undefined
    for (let sends = 0; ; ) {
      const gateways = deployment.gateways.flatMap(({ process }) => (process === undefined ? [] : [process]))
      const gateway = gateways[Math.floor(random.uniform() * gateways.length)]
      if (gateway === undefined) {
        await pause(50)
        continue
      }
      sends++
      if (sends > 1) this.answers.repeats++
      const answer = await this.#post(request, gateway)
      const now = this.#judge(request, answer)
      known =
        known?.map((before, i) => afterRepeat(before, now[i] ?? UNKNOWN, { losses: this.#losses, breach: onBreach })) ??
        now
      const isAccepted = answer.kind === 'answered' && answer.status === 202
      const waitMs = isAccepted ? 0 : waitMsAfter(answer)
      if (isAccepted || request.idempotencyKey === undefined || sends === SENDS_MAX) {
        if (isAccepted && request.idempotencyKey !== undefined) {
          this.repeatable.push({ request, receipts: answer.result.receipts ?? [] })
        }
        this.#note(request.samples, known)
        return waitMs
      }
      await pause(waitMs)
    }
  }

  async #post(request: IngestRequest, gateway: ServiceProcess): Promise<Answer> {
    const answer = await post(request, gateway.port)
    const { shape, samples, idempotencyKey } = request
    const numbers = samples.map(({ key, timestamp }) => [key, timestamp])
    this.#options.history.note('answer', { gateway: gateway.name, shape, idempotencyKey, answer, samples: numbers })
    return answer
  }

  /** What an answer says of each sample of its request. */
  #judge({ samples }: IngestRequest, answer: Answer): Attempt[] {
    const { onBreach, deployment, durability } = this.#options
    if (answer.kind === 'broken') {
      this.answers.broken++
      return samples.map(() => UNKNOWN)
    }
    const { status, retryAfter, result } = answer
    const { receipts = [], rejected = [], accepted } = result
    const said = JSON.stringify(result).slice(0, 300)
    const byPartition = new Map(receipts.map(receipt => [parseReceipt(receipt)?.partition, receipt]))
    const storedAt = ({ key }: Sample): Attempt => {
      const receipt = byPartition.get(partitionOf(key, deployment.options.partitions))
      if (receipt === undefined) onBreach(`I12: an accepted sample of ${key} has no receipt`)
      return { knowledge: 'accepted', receipt }
    }

    if (status === 202) {
      this.answers.ok++
      const isWhole = accepted === samples.length && rejected.length === 0
      if (!isWhole) onBreach(`I12: 202 for ${samples.length} good samples says ${said}`)
      if (result.durability !== durability) onBreach(`I12: 202 where ${durability} is wanted says ${said}`)
      return samples.map(storedAt)
    }
    this.answers.unavailable++
    if (status !== 503) onBreach(`I12: our own outage was answered with ${status} ${said}`)
    else if (!/^[1-9]\d*$/.test(retryAfter ?? '')) onBreach(`I12: a 503 without a Retry-After in seconds: ${said}`)
    const reasons = new Map(rejected.map(({ index, reason }) => [index, reason]))
    return samples.map((sample, i) => {
      const reason = reasons.get(i)
      if (accepted === undefined || reason?.includes('may or may not be stored')) return UNKNOWN
      return reason === undefined ? storedAt(sample) : REFUSED
    })
  }

  #note(samples: readonly Sample[], attempts: readonly Attempt[]): void {
    this.sent += samples.length
    for (const [i, sample] of samples.entries()) {
      const attempt = attempts[i] ?? UNKNOWN
      const known = this.#attempts.get(sample.key)
      if (known === undefined) this.#attempts.set(sample.key, [attempt])
      else known.push(attempt)
      if (attempt.knowledge !== 'accepted') continue
      this.accepted++
      if (attempt.receipt !== undefined && i === samples.length - 1) {
        this.#latest.push({ ...sample, receipt: attempt.receipt })
      }
    }
    if (this.#latest.length > 100) this.#latest.splice(0, 50)
  }
}

function waitMsAfter(answer: Answer): number {
  if (answer.kind === 'broken') return BROKEN_WAIT_MS
  return Math.min(RETRY_AFTER_MAX_MS, 1000 * Number(answer.retryAfter ?? 1))
}
