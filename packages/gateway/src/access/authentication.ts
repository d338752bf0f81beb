import { credentialOf } from './credentials.ts'
import type { KeyInForce, KeyTable, Verification } from './key-table.ts'
import { type Principal, UNRESTRICTED } from './principal.ts'
import type { Sessions } from './sessions.ts'

/** `auto`: on, except on loopback while there is no API key. */
export const AUTH_MODES = ['auto', 'on', 'off'] as const
export type AuthMode = (typeof AUTH_MODES)[number]

/** What became of the credentials of a request. */
export const AUTHENTICATION_RESULTS = [
  'ok',
  'missing',
  'ambiguous',
  'malformed',
  'misspelled',
  'unknown',
  'wrong',
  'expired',
  'pending',
] as const satisfies readonly (Verification['kind'] | 'missing' | 'ambiguous' | 'pending')[]
export type AuthenticationResult = (typeof AUTHENTICATION_RESULTS)[number]

type Failure = Exclude<AuthenticationResult, 'ok'>

/** The credentials of a connection's last authenticated request, which need no second hash. */
export interface Verified {
  readonly authorization: unknown
  readonly keyHeader: unknown
  readonly inQuery: unknown
  readonly generation: number
  readonly key: KeyInForce
}

/** What authentication keeps of a connection. */
export interface VerifiedConnection {
  verified: Verified | undefined
}

type Headers = Parameters<typeof credentialOf>[0]

interface AuthenticationOptions {
  readonly mode: AuthMode
  /** Only processes on this host can reach the gateway. */
  readonly isLoopback: boolean
  readonly table: KeyTable
  readonly identifySession: Sessions['identify']
  /** Unix milliseconds. */
  readonly now: () => number
  readonly onResult: (result: AuthenticationResult) => void
}

export type Authentication = ReturnType<typeof createAuthentication>

/** Identifies the callers of requests by their API keys. */
export function createAuthentication({
  mode,
  isLoopback,
  table,
  identifySession,
  now,
  onResult,
}: AuthenticationOptions) {
  /** The keys in the store are not known before they were loaded once. */
  let isPending = mode !== 'off'

  /** Whether it is open if the store has no keys either. */
  function mayOpen(): boolean {
    return mode === 'auto' && isLoopback && table.size === 0
  }

  function fail(failure: Failure): Failure {
    onResult(failure)
    return failure
  }

  function verifyRequest(
    headers: Headers,
    connection: VerifiedConnection,
    inQuery: string | undefined,
  ): Principal | Failure {
    const credential = credentialOf(headers, inQuery)
    if (credential.kind === 'none') return verifySession(headers)
    if (credential.kind !== 'token') return fail(credential.kind)
    const key = verify(credential.token)
    if (typeof key === 'string') return key
    const { authorization, 'x-api-key': keyHeader } = headers
    connection.verified = { authorization, keyHeader, inQuery, generation: table.generation, key }
    return key.principal
  }

  function verifySession({ cookie }: Headers): Principal | Failure {
    const caller = typeof cookie === 'string' ? identifySession(cookie) : undefined
    if (caller === undefined) return fail(isPending && mayOpen() ? 'pending' : 'missing')
    // The API key of the session may not be loaded yet.
    if (typeof caller === 'string') return fail(isPending ? 'pending' : caller)
    onResult('ok')
    return caller
  }

  /** Returns the API key of a token, or why there is none. Counts as an authentication. */
  function verify(token: string): KeyInForce | Failure {
    const result = table.verify(token, now())
    if (result.kind === 'unknown' && isPending) return fail('pending')
    if (result.kind !== 'ok') return fail(result.kind)
    result.key.usedAt = now()
    onResult('ok')
    return result.key
  }

  return {
    table,
    verify,
    /** Whether requests need an API key. */
    get isEnabled(): boolean {
      return mode !== 'off' && (isPending || !mayOpen())
    },
    /** Whether this gateway would be open to others if it did not refuse to serve. */
    get isMissingKeys(): boolean {
      return mode === 'auto' && !isLoopback && !isPending && table.size === 0
    },
    get isPending(): boolean {
      return isPending
    },
    /** Must be called once the keys in the store were loaded. */
    keysLoaded(): void {
      isPending = false
    },
    /**
     * Returns who sent a request with these headers, or why that is not known. `inQuery` is an API
     * key in the URL, where the route accepts that.
     */
    identify(headers: Headers, connection: VerifiedConnection, inQuery?: string): Principal | Failure {
      if (!this.isEnabled) return UNRESTRICTED
      const { verified } = connection
      // A text that this connection has presented before is no secret to it. Comparing words of 8
      // bytes, an attacker behind the same proxy would have to guess 2 ** 47 at once.
      if (
        verified !== undefined &&
        verified.generation === table.generation &&
        verified.authorization === headers.authorization &&
        verified.keyHeader === headers['x-api-key'] &&
        verified.inQuery === inQuery
      ) {
        const time = now()
        if (time < verified.key.expiresAt) {
          verified.key.usedAt = time
          onResult('ok')
          return verified.key.principal
        }
      }
      return verifyRequest(headers, connection, inQuery)
    },
  }
}

/** Whether only processes on this host can connect to an address to listen on. */
export function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && /^(?:localhost|127(?:\.\d{1,3}){3}|::1|::ffff:127(?:\.\d{1,3}){3})$/i.test(host)
}
