import { pause } from '@tidemark/shared/lifecycle'
import { partitionOf } from '@tidemark/shared/partition'
import { parseReceipt } from '@tidemark/shared/receipt'
import type { Sample } from '@tidemark/shared/sample'
import type { Deployment } from './deployment.ts'
import type { History } from './history.ts'
import { derivedSeed, Random } from './random.ts'
import type { SamplePlan } from './sample-plan.ts'

/**
 * What a client knows of a sample that it sent.
 *
 *     accepted  202, or named as accepted in a 503
 *     refused   a 503 that says that it was not stored
 *     unknown   a 503 that leaves it open, or no answer: it may be stored or not
 */
export type Knowledge = 'accepted' | 'refused' | 'unknown'

export interface Attempt {
  readonly knowledge: Knowledge
  /** Where it is stored, when that is known. */
  readonly receipt: string | undefined
}

/** Every sample that was sent, by key and number, with what is known of it. Nothing is ever sent twice. */
export type Attempts = ReadonlyMap<string, readonly Attempt[]>

const SHAPES = ['sample', 'array', 'ndjson', 'form', 'device'] as const

/** A client that gets no answer within this gives up. */
const ANSWER_WITHIN_MS = 15_000

/** What a client waits at most after a 503, so that a run does not stand still. */
const RETRY_AFTER_MAX_MS = 250

export interface TrafficOptions {
  readonly deployment: Deployment
  readonly plan: SamplePlan
  readonly history: History
  readonly seed: number
  /** Samples in one request, at most. */
  readonly batchMax: number
  readonly onBreach: (breach: string) => void
}

/** Writers that post samples through all gateways in every shape, and know what they were answered. */
export class Traffic {
  readonly answers = { ok: 0, unavailable: 0, broken: 0 }
  accepted = 0
  sent = 0
  /** Samples a second, all writers together; Infinity is as fast as it goes. */
  rate: number
  readonly #options: TrafficOptions
  readonly #attempts = new Map<string, Attempt[]>()
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
  forgetLatest(): void {
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
      const size = 1 + Math.floor(random.next() ** 4 * batchMax)
      const begin = performance.now()
      const samples: Sample[] = []
      const taken = new Map<string, number>()
      for (let i = 0; i < size; i++) {
        const key = plan.keyOf(writer, random)
        const n = (this.#attempts.get(key)?.length ?? 0) + (taken.get(key) ?? 0)
        taken.set(key, (taken.get(key) ?? 0) + 1)
        samples.push(plan.sample(key, n))
      }
      const waitMs = await this.#post(writer, samples, random)
      const paceMs = (size * plan.options.writers * 1000) / this.rate
      await pause(Math.max(waitMs, paceMs - (performance.now() - begin)), this.#stop.signal)
    }
  }

  /** Posts one request; resolves with the milliseconds to wait before the next. */
  async #post(writer: number, samples: readonly Sample[], random: Random): Promise<number> {
    const { deployment, history } = this.#options
    const shape = samples.length === 1 ? 'sample' : SHAPES[random.integer(1, SHAPES.length - 1)]
    const gateways = deployment.gateways.flatMap(({ process }) => (process === undefined ? [] : [process]))
    const choice = random.next()
    if (gateways.length === 0) return 50
    const gateway = gateways[Math.floor(choice * gateways.length)]
    if (gateway === undefined) return 50
    const { body, type } = bodyOf(shape ?? 'array', writer, samples)
    let response: Response
    let answer: unknown
    try {
      response = await fetch(`http://127.0.0.1:${gateway.port}/ingest`, {
        method: 'POST',
        body,
        headers: { 'content-type': type },
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      })
      answer = await response.json()
    } catch (error) {
      this.answers.broken++
      this.#note(samples, () => ({ knowledge: 'unknown', receipt: undefined }))
      history.note('answer', {
        gateway: gateway.name,
        shape,
        status: 0,
        error: String(error),
        samples: numbers(samples),
      })
      return 30
    }
    const retryAfter = response.headers.get('retry-after')
    history.note('answer', {
      gateway: gateway.name,
      shape,
      status: response.status,
      retryAfter,
      answer,
      samples: numbers(samples),
    })
    this.#take(samples, response, answer)
    return response.status === 202 ? 0 : Math.min(RETRY_AFTER_MAX_MS, 1000 * Number(retryAfter ?? 1))
  }

  #take(samples: readonly Sample[], response: Response, answer: unknown): void {
    const { onBreach, deployment } = this.#options
    const { receipts = [], rejected = [], accepted } = toResult(answer)
    const byPartition = new Map(receipts.map(receipt => [parseReceipt(receipt)?.partition, receipt]))
    const receiptOf = ({ key }: Sample): string | undefined =>
      byPartition.get(partitionOf(key, deployment.options.partitions))

    if (response.status === 202) {
      this.answers.ok++
      if (accepted !== samples.length || rejected.length > 0) {
        onBreach(
          `I12: 202 for ${samples.length} good samples says ${JSON.stringify({ accepted, rejected }).slice(0, 300)}`,
        )
      }
      this.#note(samples, sample => ({ knowledge: 'accepted', receipt: receiptOf(sample) }))
      return
    }
    if (response.status !== 503) {
      onBreach(`I12: our own outage was answered with ${response.status} ${JSON.stringify(answer).slice(0, 300)}`)
    } else if (!/^[1-9]\d*$/.test(response.headers.get('retry-after') ?? '')) {
      onBreach(`I12: a 503 without a Retry-After in seconds: ${JSON.stringify(answer).slice(0, 300)}`)
    }
    this.answers.unavailable++
    const reasons = new Map(rejected.map(({ index, reason }) => [index, reason]))
    const isResult = accepted !== undefined
    this.#note(samples, (sample, i) => {
      const reason = reasons.get(i)
      if (!isResult || reason?.includes('may be stored or not')) return { knowledge: 'unknown', receipt: undefined }
      if (reason !== undefined) return { knowledge: 'refused', receipt: undefined }
      return { knowledge: 'accepted', receipt: receiptOf(sample) }
    })
  }

  #note(samples: readonly Sample[], attemptAt: (sample: Sample, index: number) => Attempt): void {
    this.sent += samples.length
    for (const [i, sample] of samples.entries()) {
      const attempt = attemptAt(sample, i)
      const known = this.#attempts.get(sample.key)
      if (known === undefined) this.#attempts.set(sample.key, [attempt])
      else known.push(attempt)
      if (attempt.knowledge !== 'accepted') continue
      this.accepted++
      if (attempt.receipt === undefined)
        this.#options.onBreach(`I12: an accepted sample of ${sample.key} has no receipt`)
      else if (i === samples.length - 1) this.#latest.push({ ...sample, receipt: attempt.receipt })
    }
    if (this.#latest.length > 100) this.#latest.splice(0, 50)
  }
}

function bodyOf(
  shape: (typeof SHAPES)[number],
  writer: number,
  samples: readonly Sample[],
): { body: string; type: string } {
  const lines = samples.map(sample => JSON.stringify(sample)).join('\n')
  switch (shape) {
    case 'sample':
      return { body: lines, type: 'application/json' }
    case 'array':
      return { body: JSON.stringify(samples), type: 'application/json' }
    case 'ndjson':
      return { body: `${lines}\n`, type: 'application/x-ndjson' }
    case 'form':
      return { body: lines, type: 'application/x-www-form-urlencoded' }
    case 'device': {
      const device = `edge-${writer}`
      const items = samples.map(({ key, value, timestamp }) => ({
        device,
        timestamp,
        metrics: { [key.slice(device.length + 1)]: value },
      }))
      return { body: JSON.stringify(items), type: 'application/json' }
    }
  }
}

interface Result {
  readonly accepted?: number
  readonly rejected?: readonly { readonly index: number; readonly reason: string }[]
  readonly receipts?: readonly string[]
}

function toResult(answer: unknown): Result {
  return typeof answer === 'object' && answer !== null ? answer : {}
}

function numbers(samples: readonly Sample[]): (readonly [string, number])[] {
  return samples.map(({ key, timestamp }) => [key, timestamp])
}
