import { randomBytes } from 'node:crypto'
import { pauseUntilNext } from '@tidemark/shared/runtime/lifecycle'
import type { SessionStore } from '@tidemark/shared/store/ports/sessions'
import { sign, unsign } from 'cookie-signature'
import { parse, serialize } from 'hono/utils/cookie'
import { withTimeout } from '../store-timeout.ts'
import type { KeyInForce, KeyTable } from './key-table.ts'
import type { Principal } from './principal.ts'

/** A session that was ended through another gateway is refused everywhere within 2 s. */
const POLL_MS = 1000

const ID_BYTES = 16
const SECRET_BYTES = 32

/** A part of the digest of the API key: a session ends when the key gets another secret. */
const DIGEST_LENGTH = 16

/** The longest Cookie header that is looked at. Ours has about 150 characters. */
const COOKIES_LENGTH_MAX = 8192

/** What a cookie says, once its signature and times are verified. */
export interface Session {
  readonly id: string
  /** The API key that signed in. It decides what the session may do. */
  readonly key: KeyInForce
  /** Unix milliseconds. */
  readonly expiresAt: number
}

interface SessionsOptions {
  readonly table: KeyTable
  readonly ttlMs: number
  /** Whether browsers reach the gateway by https. */
  readonly isSecure: boolean
  /** Unix milliseconds. */
  readonly now: () => number
}

export type Sessions = ReturnType<typeof createSessions>

/**
 * The sessions of browsers. A cookie carries all of a session and is signed with a secret that the
 * gateways share, so that any gateway serves it without a request to the store.
 */
export function createSessions({ table, ttlMs, isSecure, now }: SessionsOptions) {
  // Cookies with this prefix cannot be set without TLS, nor by other hosts of the domain.
  const name = isSecure ? '__Host-tidemark' : 'tidemark'
  let secret: string | undefined
  let ended: ReadonlySet<string> = new Set()

  function setCookie(value: string, maxAge: number): string {
    return serialize(name, value, { maxAge, path: '/', httpOnly: true, secure: isSecure, sameSite: 'Strict' })
  }

  /** Returns the session of a Cookie header if it is signed, in force and its API key is. */
  function find(cookies: string): Session | undefined {
    if (secret === undefined || cookies.length > COOKIES_LENGTH_MAX) return undefined
    const value = parse(cookies, name)[name]
    const text = value === undefined ? false : unsign(value, secret)
    if (text === false) return undefined
    const [id = '', time, keyId = '', digest] = text.split('.')
    const expiresAt = Number(time)
    const key = table.find(keyId)
    if (key === undefined || digestIn(key) !== digest || ended.has(id)) return undefined
    return now() < Math.min(expiresAt, key.expiresAt) ? { id, key, expiresAt } : undefined
  }

  return {
    find,
    /** Whether cookies can be verified yet. */
    get isLoaded(): boolean {
      return secret !== undefined
    },
    /**
     * Returns the caller that a Cookie header identifies: undefined if it has no session, `missing`
     * if that is not in force, and `pending` if it cannot be verified yet.
     */
    identify(cookies: string): Principal | 'pending' | 'missing' | undefined {
      if (!cookies.includes(`${name}=`)) return undefined
      if (secret === undefined) return 'pending'
      const session = find(cookies)
      return session === undefined ? 'missing' : { ...session.key.principal, via: 'session' }
    },
    /** Begins a session of an API key. Returns the Set-Cookie header, and when it expires. */
    begin(key: KeyInForce): { readonly cookie: string; readonly expiresAt: number } {
      if (secret === undefined) throw new Error('the secret of the sessions is not loaded')
      const expiresAt = Math.min(now() + ttlMs, key.expiresAt)
      const id = randomBytes(ID_BYTES).toString('hex')
      const value = sign([id, expiresAt, key.record.id, digestIn(key)].join('.'), secret)
      return { cookie: setCookie(value, Math.ceil((expiresAt - now()) / 1000)), expiresAt }
    },
    /** Ends a session before it expires, here at once. */
    async end({ id, expiresAt }: Session, store: SessionStore): Promise<void> {
      await store.end(id, expiresAt)
      ended = new Set([...ended, id])
    },
    /** Returns the Set-Cookie header that removes the cookie. */
    removal: (): string => setCookie('', 0),
    /** Reads what the gateways share. */
    async load(store: SessionStore): Promise<void> {
      const shared = await store.load(randomBytes(SECRET_BYTES).toString('base64url'))
      secret = shared.secret
      ended = new Set(shared.ended)
    },
  }
}

function digestIn({ record }: KeyInForce): string {
  return record.sha256.slice(0, DIGEST_LENGTH)
}

interface WatchOptions {
  readonly store: SessionStore
  readonly timeoutMs: number
  readonly onFailure: (error: unknown) => void
}

/** Keeps what the gateways share up to date until it is disposed. */
export function watchSessions(sessions: Sessions, { store, timeoutMs, onFailure }: WatchOptions): AsyncDisposable {
  const stop = new AbortController()
  async function watch(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await withTimeout(sessions.load(store), timeoutMs)
      } catch (error) {
        onFailure(error)
      }
      await pauseUntilNext(POLL_MS, stop.signal)
    }
  }
  const watching = watch()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await watching
    },
  }
}
