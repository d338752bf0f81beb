import type { Clock } from '@tidemark/shared/runtime/clock'
import type { Delivery } from './receiver.ts'

const POST_TIMEOUT_MS = 5000

/** The longest Retry-After that is obeyed: a recovery must be noticed soon. */
const RETRY_AFTER_MAX_MS = 600_000

/**
 * Client errors that say nothing about the notification: the credentials are wrong or expired, or
 * the receiver is busy. Any other may be the receiver's opinion of this one notification.
 */
const UNRELATED = new Set([401, 407, 408, 425, 429])

/** How much of an error's body is read, and how much of it is logged. */
const BODY_READ_MAX = 4096
const BODY_LOGGED_MAX = 300

/** A shorter text may be part of any response. */
const SECRET_LENGTH_MIN = 4

/** A part of a path is a token if it is so long, or has digits among its letters. */
const TOKEN = /^.{16,}$|^(?=.{6,})(?=.*\d)(?=.*\p{L})/u

export type Post = (
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array<ArrayBuffer>,
) => Promise<Delivery>

interface PostOptions {
  readonly clock: Clock
  readonly timeoutMs?: number
  /** Never logged, even when a receiver's response repeats them. */
  readonly secrets?: readonly string[]
}

/** Returns a function that posts JSON, or what the headers say, and maps the response. */
export function createPost({ clock, timeoutMs = POST_TIMEOUT_MS, secrets = [] }: PostOptions): Post {
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
      if (response.ok) {
        // The body is not needed, nor is an error while it arrives.
        await response.body?.cancel().catch(() => undefined)
        return { kind: 'delivered' }
      }
      const text = await readStart(response)
      return outcomeOf(response, redact(text, [...secrets, ...secretsOf(address)]), clock.wallMs())
    } catch (error) {
      return { kind: 'failed', reason: describe(error), retryAfterMs: 0 }
    }
  }
}

function outcomeOf({ status, headers }: Response, body: string, now: number): Delivery {
  const reason = `the receiver responded with status ${status}`
  const detail = body === '' ? { status } : { status, body }
  if (status >= 400 && status < 500 && !UNRELATED.has(status)) return { kind: 'refused', reason, ...detail }
  return { kind: 'failed', reason, retryAfterMs: retryAfter(headers, now), ...detail }
}

/** Reads the start of an error's body; '' where there is none or it does not arrive. */
async function readStart({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of body ?? []) {
      chunks.push(chunk)
      length += chunk.length
      if (length >= BODY_READ_MAX) break
    }
  } catch {
    // What arrived before the connection or the time ended is worth logging.
  }
  return new TextDecoder().decode(Buffer.concat(chunks).subarray(0, BODY_READ_MAX))
}

function redact(text: string, secrets: readonly string[]): string {
  const longestFirst = secrets.filter(secret => secret !== '').sort((a, b) => b.length - a.length)
  const clean = longestFirst.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text)
  return clean.replaceAll(/\s+/g, ' ').trim().slice(0, BODY_LOGGED_MAX)
}

/**
 * Returns what may be secret in an address: credentials, path and query as a whole, and tokens in
 * them, each as it is sent and as a server may decode it.
 */
function secretsOf(address: string): string[] {
  const { authorization } = splitCredentials(address)
  const { username, password, pathname, search } = new URL(address)
  const basic = Object.values(authorization).map(value => value.replace('Basic ', ''))
  const tokens = pathname.split('/').filter(part => TOKEN.test(decoded(part)))
  const parameters = search
    .slice(1)
    .split('&')
    .map(text => text.slice(text.indexOf('=') + 1))
  const sent = [username, password, ...basic, `${pathname}${search}`, pathname, search, ...tokens, ...parameters]
  const known = sent.flatMap(text => [text, decoded(text), decoded(text.replaceAll('+', ' '))])
  return known.filter(({ length }) => length >= SECRET_LENGTH_MIN)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Parses seconds or an HTTP date into milliseconds; 0 for anything else. */
function retryAfter(headers: Headers, now: number): number {
  const text = headers.get('retry-after')
  if (text === null) return 0
  // A date is by the receiver's clock; the response has its time.
  const receiverNow = Date.parse(headers.get('date') ?? '') || now
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - receiverNow
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), RETRY_AFTER_MAX_MS)
}

/** Moves an address's credentials into a header: `fetch` rejects addresses that have them. */
function splitCredentials(address: string): { url: string; authorization: Readonly<Record<string, string>> } {
  const url = new URL(address)
  const { username, password } = url
  if (username === '' && password === '') return { url: address, authorization: {} }
  url.username = ''
  url.password = ''
  const credentials = `${decoded(username)}:${decoded(password)}`
  return { url: url.href, authorization: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } }
}

/** Describes why there was no response: the message `fetch failed` says nothing, its cause does. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'the receiver did not respond in time'
  const { cause } = error
  if (!(cause instanceof Error)) return error.message
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message || error.message
}
