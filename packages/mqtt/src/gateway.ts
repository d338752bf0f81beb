import { randomUUID } from 'node:crypto'
import { backoffMs, type Clock } from '@tidemark/shared/runtime/clock'
import { z } from 'zod'

/** A sample as `POST /ingest` takes it. */
export interface Sample {
  readonly key: string
  readonly value: number
  /** Unix milliseconds; the time of arrival if it is missing. */
  readonly timestamp?: number
}

/** What became of samples: none is left out. */
export interface Sent {
  readonly accepted: number
  /** Samples that the gateway refused for good, each with the reason. */
  readonly rejected: readonly string[]
}

export interface GatewayOptions {
  readonly url: string
  readonly apiKey: () => string | undefined
  readonly clock: Clock
  /** Called for each attempt that failed and is repeated. */
  readonly onFailure: (reason: string) => void
  readonly stop: AbortSignal
}

const TIMEOUT_MS = 15_000
const BACKOFF = { minMs: 100, maxMs: 5000 }
const RETRY_AFTER_MAX_MS = 60_000

/** Client errors that say nothing about the samples: credentials, a wrong address, the rate. */
const UNRELATED = new Set([401, 403, 404, 405, 407, 408, 421, 425, 429])

const accepted = z.object({
  accepted: z.number(),
  rejected: z.array(z.object({ reason: z.string() })).default([]),
})

const problem = z.object({
  type: z.string().default(''),
  detail: z.string().default(''),
  rejected: z.array(z.object({ reason: z.string() })).default([]),
})

type Reply = { readonly kind: 'sent'; readonly sent: Sent } | { readonly kind: 'too-large' } | Again
type Again = { readonly kind: 'again'; readonly reason: string; readonly retryAfterMs: number }

/** Sends samples to a gateway until it has stored or refused each of them. */
export class Gateway {
  readonly #options: GatewayOptions
  readonly #address: URL

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#address = new URL('ingest', options.url.endsWith('/') ? options.url : `${options.url}/`)
  }

  /**
   * Sends samples in one request, and repeats it under its Idempotency-Key for as long as nothing
   * certain is known. A request that is too large is divided. Rejects only when stopped.
   */
  async send(samples: readonly Sample[]): Promise<Sent> {
    const key = randomUUID()
    for (let attempt = 1; ; attempt++) {
      const reply = await this.#post(samples, key)
      if (reply.kind === 'sent') return reply.sent
      if (reply.kind === 'too-large') return this.#sendInParts(samples)
      const { clock, stop, onFailure } = this.#options
      stop.throwIfAborted()
      onFailure(reply.reason)
      await clock.pause(Math.max(reply.retryAfterMs, backoffMs(attempt, BACKOFF, clock.random)), stop)
      stop.throwIfAborted()
    }
  }

  async #sendInParts(samples: readonly Sample[]): Promise<Sent> {
    if (samples.length === 1) return { accepted: 0, rejected: ['the sample is larger than the gateway takes'] }
    const middle = Math.ceil(samples.length / 2)
    const first = await this.send(samples.slice(0, middle))
    const second = await this.send(samples.slice(middle))
    return { accepted: first.accepted + second.accepted, rejected: [...first.rejected, ...second.rejected] }
  }

  async #post(samples: readonly Sample[], idempotencyKey: string): Promise<Reply> {
    const { apiKey, stop } = this.#options
    const token = apiKey()
    try {
      const response = await fetch(this.#address, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          'Idempotency-Key': idempotencyKey,
          'User-Agent': 'tidemark-mqtt',
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify(samples),
        redirect: 'manual',
        signal: AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]),
      })
      return toReply(response, await response.text(), samples.length)
    } catch (error) {
      const { cause } = error as Error
      const reason = cause instanceof Error ? cause.message || String((cause as { code?: string }).code) : String(error)
      return { kind: 'again', reason: `the gateway does not respond: ${reason}`, retryAfterMs: 0 }
    }
  }
}

function toReply(response: Response, text: string, samples: number): Reply {
  const { status } = response
  const body = parse(text)
  if (status === 202) {
    const result = accepted.safeParse(body)
    if (result.success) {
      const { rejected } = result.data
      return { kind: 'sent', sent: { accepted: result.data.accepted, rejected: rejected.map(({ reason }) => reason) } }
    }
    return again(response, 'the gateway returned 202 with a body that is not its own: is GATEWAY_URL right?')
  }
  if (status === 413) return { kind: 'too-large' }
  const { type, detail, rejected } = problem.safeParse(body).data ?? { type: '', detail: '', rejected: [] }
  const isAboutKeys = type.endsWith('keys-limit-reached') || type.endsWith('key-forbidden')
  if (status >= 400 && status < 500 && (isAboutKeys || !UNRELATED.has(status))) {
    const reasons = rejected.map(({ reason }) => reason)
    const unnamed = Array<string>(Math.max(0, samples - reasons.length)).fill(`${status}: ${detail}`)
    return { kind: 'sent', sent: { accepted: 0, rejected: [...reasons, ...unnamed] } }
  }
  return again(response, `the gateway responded with ${status}${detail === '' ? '' : `: ${detail}`}`)
}

function again({ headers }: Response, reason: string): Again {
  const seconds = Number(headers.get('Retry-After') ?? 0)
  const ms = Number.isFinite(seconds) ? seconds * 1000 : 0
  return { kind: 'again', reason, retryAfterMs: Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS) }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
