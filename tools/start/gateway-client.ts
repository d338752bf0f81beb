import type { Analysis } from '@tidemark/shared/verdict/analysis'
import type { Accepted } from '../stack/client.ts'

/** Longer than the gateway's own timeout, so that the gateway reports the reason. */
const REQUEST_TIMEOUT_MS = 30_000
const RETRY_AFTER_DEFAULT_MS = 1000

interface IngestOutcome {
  /** `busy`: what was not stored may be sent again. `unanswered`: samples may have been stored. */
  readonly kind: 'accepted' | 'busy' | 'rejected' | 'unanswered'
  /** Undefined if nothing was stored. */
  readonly result: Accepted | undefined
  readonly reason: string
  readonly retryAfterMs: number
}

type VerdictsOutcome =
  | { readonly kind: 'analyses'; readonly analyses: readonly Analysis[] }
  /** The verdicts are not kept any more. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'none'; readonly reason: string }

/** The gateway as any client sees it. No method rejects. */
export class GatewayClient {
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  async ingest(body: unknown): Promise<IngestOutcome> {
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }
    const { status, json, reason, retryAfterMs } = await request(`${this.#url}/ingest`, init)
    const result = Array.isArray(json.receipts) ? (json as unknown as Accepted) : undefined
    return { kind: kindOf(status, result), result, reason, retryAfterMs }
  }

  /** Waits for the verdicts on an entry, which may contain other clients' samples. */
  async verdicts(receipt: string, waitMs: number): Promise<VerdictsOutcome> {
    const query = new URLSearchParams({ after: receipt, wait: String(waitMs) })
    const { status, json, reason } = await request(`${this.#url}/analyze?${query}`, {})
    if (status === 200) return { kind: 'analyses', analyses: json.analyses as Analysis[] }
    return status === 404 || status === 410 ? { kind: 'gone' } : { kind: 'none', reason }
  }
}

function kindOf(status: number, result: Accepted | undefined): IngestOutcome['kind'] {
  if (status === 202 && result !== undefined) return 'accepted'
  if (status === 429 || status === 503) return 'busy'
  return status === 0 ? 'unanswered' : 'rejected'
}

/** `status` is 0 without a response; `reason` is the problem's detail (RFC 9457) or the error. */
async function request(url: string, init: RequestInit) {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
    const json = parseObject(await response.text())
    const reason = [response.status, json.detail ?? json.title].filter(part => part !== undefined).join(': ')
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    const retryAfterMs = seconds >= 0 ? seconds * 1000 : RETRY_AFTER_DEFAULT_MS
    return { status: response.status, json, reason, retryAfterMs }
  } catch (error) {
    // fetch says only "fetch failed"; the cause says what failed.
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const reason = cause instanceof Error ? cause.message : String(cause)
    return { status: 0, json: {}, reason, retryAfterMs: RETRY_AFTER_DEFAULT_MS }
  }
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}
