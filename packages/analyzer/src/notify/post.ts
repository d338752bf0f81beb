import type { Clock } from '@tidemark/shared/runtime/clock'
import type { Delivery } from './receiver.ts'

const POST_TIMEOUT_MS = 5000

/** The longest Retry-After that is obeyed. */
const RETRY_AFTER_MAX_MS = 600_000

/** Client errors that are temporary: timeout, too early, too many requests. */
const PASSING = new Set([408, 425, 429])

export type Post = (url: string, headers: Readonly<Record<string, string>>, body: string) => Promise<Delivery>

/** Returns a function that posts JSON and maps the response to one of three outcomes. */
export function createPost(options: { readonly clock: Clock; readonly timeoutMs?: number }): Post {
  const { clock, timeoutMs = POST_TIMEOUT_MS } = options
  return async (address, headers, body) => {
    const { url, authorization } = splitCredentials(address)
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'tidemark', ...authorization, ...headers },
        body,
        // A redirect could turn the POST into a GET, or send it to an address not configured.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      // The body is not needed, nor is an error while it arrives.
      await response.body?.cancel().catch(() => undefined)
      return outcomeOf(response, clock.wallMs())
    } catch (error) {
      return { kind: 'failed', reason: describe(error), retryAfterMs: 0 }
    }
  }
}

function outcomeOf({ status, headers }: Response, now: number): Delivery {
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  const reason = `the receiver responded with status ${status}`
  if (status >= 400 && status < 500 && !PASSING.has(status)) return { kind: 'refused', reason }
  return { kind: 'failed', reason, retryAfterMs: retryAfter(headers.get('retry-after'), now) }
}

/** Parses seconds or an HTTP date into milliseconds; 0 for anything else. */
function retryAfter(text: string | null, now: number): number {
  if (text === null) return 0
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - now
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS)
}

/** Moves an address's credentials into a header: `fetch` rejects addresses that have them. */
function splitCredentials(address: string): { url: string; authorization: Readonly<Record<string, string>> } {
  const url = new URL(address)
  const { username, password } = url
  if (username === '' && password === '') return { url: address, authorization: {} }
  url.username = ''
  url.password = ''
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { url: url.href, authorization: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } }
}

/** Describes why there was no response: the message `fetch failed` says nothing, its cause does. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'the receiver did not respond in time'
  const { cause } = error
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined
  return code ?? (cause instanceof Error ? cause.message : error.message)
}
