import type { Problem } from './types.ts'

const TYPE_PREFIX = 'urn:tidemark:problem:'

interface ErrorDetails {
  /** The HTTP status; 0 if there was no response. */
  readonly status: number
  readonly problem?: Problem | undefined
  /** What the response's Retry-After asks for. */
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

/** A request that failed, with the reason that the gateway gave. */
export class TidemarkError extends Error {
  override readonly name = 'TidemarkError'
  /** The HTTP status; 0 if there was no response: the request may or may not have had an effect. */
  readonly status: number
  /** The RFC 9457 problem of the response, if it has one. */
  readonly problem: Problem | undefined
  /** Milliseconds after which a retry is worthwhile; undefined if the response did not say. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, { status, problem, retryAfterMs, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.status = status
    this.problem = problem
    this.retryAfterMs = retryAfterMs
  }

  /** The reason in one word, such as `key-unknown`; undefined without a problem. */
  get kind(): string | undefined {
    const type = this.problem?.type
    return type?.startsWith(TYPE_PREFIX) ? type.slice(TYPE_PREFIX.length) : type
  }

  /** The same request can succeed later: outage, overload, rate limit or a broken connection. */
  get isTemporary(): boolean {
    return this.status === 0 || this.status === 429 || (this.status >= 502 && this.status <= 504)
  }
}

/** Describes a failed request: fetch itself says only "fetch failed". */
export function connectionError(what: string, error: unknown): TidemarkError {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const code = inner instanceof Error && 'code' in inner ? String(inner.code) : ''
  const reason = inner instanceof Error ? inner.message || code || inner.name : String(inner)
  return new TidemarkError(`${what}: no response: ${reason}`, { status: 0, cause: error })
}

/** Reads a response that is not a success as an error. */
export async function responseError(what: string, response: Response): Promise<TidemarkError> {
  const problem = parseProblem(await response.text().catch(() => ''))
  const reason = problem?.detail ?? problem?.title ?? response.statusText
  return new TidemarkError(`${what}: ${response.status}${reason === '' ? '' : `: ${reason}`}`, {
    status: response.status,
    problem,
    retryAfterMs: retryAfterOf(response.headers.get('retry-after')),
  })
}

function parseProblem(text: string): Problem | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'type' in value ? (value as Problem) : undefined
  } catch {
    return undefined
  }
}

/** Reads a Retry-After in its two forms: seconds, or an HTTP date. */
export function retryAfterOf(value: string | null, now = Date.now()): number | undefined {
  if (value === null || value.trim() === '') return undefined
  const ms = /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
