import type { Clock } from '@tidemark/shared/runtime/clock'
import type { Delivery } from './receiver.ts'

/** A receiver that takes longer is given up on, and asked again later. */
const POST_TIMEOUT_MS = 5000

/** A receiver that says "in a week" is asked sooner. */
const RETRY_AFTER_MAX_MS = 600_000

/** Refusals that may pass: time-out, too early, too many requests. */
const PASSING = new Set([408, 425, 429])

export interface PostOptions {
  readonly clock: Pick<Clock, 'wallMs'>
  readonly timeoutMs?: number
}

export type Post = (url: string, headers: Readonly<Record<string, string>>, body: string) => Promise<Delivery>

/** Posts JSON and says what became of it: what a receiver of any kind answers with comes down to three outcomes. */
export function createPost({ clock, timeoutMs = POST_TIMEOUT_MS }: PostOptions): Post {
  return async (address, headers, body) => {
    const { url, authorization } = splitCredentials(address)
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'tidemark', ...authorization, ...headers },
        body,
        // A redirected POST would arrive as a GET without its body, or somewhere that nobody named.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      // What it says besides is not of interest, nor whether it gets to its end.
      await response.body?.cancel().catch(() => undefined)
      return outcomeOf(response, clock.wallMs())
    } catch (error) {
      return { kind: 'failed', reason: describe(error), retryAfterMs: 0 }
    }
  }
}

function outcomeOf({ status, headers }: Response, now: number): Delivery {
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  const reason = `it answered ${status}`
  if (status >= 400 && status < 500 && !PASSING.has(status)) return { kind: 'refused', reason }
  return { kind: 'failed', reason, retryAfterMs: retryAfter(headers.get('retry-after'), now) }
}

/** Seconds, or a date of HTTP; 0 for anything else. */
function retryAfter(text: string | null, now: number): number {
  if (text === null) return 0
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - now
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS)
}

/** `fetch` takes no address with a name and a password in it. */
function splitCredentials(address: string): { url: string; authorization: Readonly<Record<string, string>> } {
  const url = new URL(address)
  const { username, password } = url
  if (username === '' && password === '') return { url: address, authorization: {} }
  url.username = ''
  url.password = ''
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { url: url.href, authorization: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } }
}

/** Why there was no answer: `fetch failed` alone says nothing, its cause does. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'it did not answer in time'
  const { cause } = error
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined
  return code ?? (cause instanceof Error ? cause.message : error.message)
}
