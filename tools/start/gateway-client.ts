import type { Analysis } from '@tidemark/shared/verdict/analysis'

/** Longer than the gateway's own wait for a verdict, so that it is the gateway that says what is wrong. */
const REQUEST_TIMEOUT_MS = 30_000
const RETRY_AFTER_DEFAULT_MS = 1000

export interface Rejection {
  readonly index: number
  readonly reason: string
}

/** What became of a request's samples. */
export interface IngestResult {
  readonly accepted: number
  readonly rejected: readonly Rejection[]
  /** One for each partition that got some. */
  readonly receipts: readonly string[]
}

export type IngestOutcome =
  | { readonly kind: 'accepted'; readonly result: IngestResult }
  /** Overload or an outage; what was not stored may be sent again after a while. Without a result nothing was stored. */
  | {
      readonly kind: 'busy'
      readonly retryAfterMs: number
      readonly reason: string
      readonly result: IngestResult | undefined
    }
  | { readonly kind: 'refused'; readonly reason: string; readonly result: IngestResult | undefined }
  /** No answer: it is not known whether the samples were stored. */
  | { readonly kind: 'unanswered'; readonly reason: string }

export type VerdictsOutcome =
  | { readonly kind: 'analyses'; readonly analyses: readonly Analysis[] }
  /** They are not kept any more. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'none'; readonly reason: string }

export interface VerdictsRequest {
  readonly receipt: string
  /** How long the gateway may wait for them. */
  readonly waitMs: number
}

/** The gateway as any client sees it: HTTP, nothing else. */
export interface GatewayClient {
  readonly url: string
  ingest(body: unknown): Promise<IngestOutcome>
  /** The verdicts on all samples of the receipt's entry; other clients' samples may be in it. */
  verdicts(request: VerdictsRequest): Promise<VerdictsOutcome>
}

export function createGatewayClient(url: string): GatewayClient {
  return {
    url,
    async ingest(body) {
      const answer = await ask(`${url}/ingest`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
      if (answer.kind === 'unanswered') return answer
      const { status, json, retryAfterMs } = answer
      const result = Array.isArray(json.receipts) ? (json as unknown as IngestResult) : undefined
      if (status === 202 && result !== undefined) return { kind: 'accepted', result }
      const reason = reasonOf(status, json)
      return status === 429 || status === 503
        ? { kind: 'busy', retryAfterMs, reason, result }
        : { kind: 'refused', reason, result }
    },
    async verdicts({ receipt, waitMs }) {
      const answer = await ask(`${url}/analyze?${new URLSearchParams({ after: receipt, wait: String(waitMs) })}`, {})
      if (answer.kind === 'unanswered') return { kind: 'none', reason: answer.reason }
      const { status, json } = answer
      if (status === 200) return { kind: 'analyses', analyses: json.analyses as Analysis[] }
      if (status === 404 || status === 410) return { kind: 'gone' }
      return { kind: 'none', reason: reasonOf(status, json) }
    },
  }
}

type Answer =
  | {
      readonly kind: 'answered'
      readonly status: number
      readonly json: Record<string, unknown>
      readonly retryAfterMs: number
    }
  | { readonly kind: 'unanswered'; readonly reason: string }

async function ask(url: string, init: RequestInit): Promise<Answer> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
    const text = await response.text()
    return {
      kind: 'answered',
      status: response.status,
      json: parseObject(text),
      retryAfterMs: retryAfter(response.headers.get('retry-after')),
    }
  } catch (error) {
    // fetch says no more than "fetch failed"; what failed stands in the cause.
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return { kind: 'unanswered', reason: cause instanceof Error ? cause.message : String(cause) }
  }
}

function retryAfter(header: string | null): number {
  const seconds = Number(header)
  return header !== null && Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : RETRY_AFTER_DEFAULT_MS
}

/** The status and what its problem detail says (RFC 9457). */
function reasonOf(status: number, { title, detail }: Record<string, unknown>): string {
  return [String(status), detail ?? title].filter(part => part !== undefined).join(': ')
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
