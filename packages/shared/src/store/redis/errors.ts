import { AccessDenied, StoreError, type StoreErrorKind } from '../ports/errors.ts'
import { accessAdvice } from './access.ts'

/** Error replies after which Redis did nothing and a retry may succeed: it cannot serve now ... */
const UNAVAILABLE =
  /^(LOADING|BUSY|UNKILLABLE|MASTERDOWN|READONLY|NOREPLICAS|MISCONF|CLUSTERDOWN|OOM|EXECABORT|ERR max number of clients)\b/

/** ... or the retry finds another node, sends the script or restores the group. */
const MISDIRECTED = /^(TRYAGAIN|MOVED|ASK|NOSCRIPT|NOGROUP|UNBLOCKED)\b/

/** An operator ended the script by SCRIPT KILL, which Redis refuses after its first write. */
const KILLED = /Script killed by user/

/** Plain errors of ioredis about a command that it never sent. */
const NOT_SENT = [
  "isn't writeable",
  "isn't ready",
  'None of startup nodes',
  'Failed to refresh slots',
  'is disconnected',
  'is disconnecting',
]

/** Plain errors of ioredis about a command that it may have sent; the last: an unreadable reply. */
const CUT_OFF = [
  'Connection is closed',
  'Command timed out',
  'Socket timeout',
  'connect ETIMEDOUT',
  'Too many Cluster redirections',
  'timeout',
  'Unknown RESP type',
]

/** Classes of ioredis whose errors are about Redis or the connection to it. */
const CLIENT_ERRORS = /^(Redis|Abort|Interrupt|Parser|MaxRetriesPerRequest|ClusterAllFailed)Error$/

/** Codes of sockets and TLS, such as ECONNRESET and CERT_HAS_EXPIRED. */
const SOCKET_CODE = /^(?!ERR_)[A-Z][A-Z0-9_]+$|^ERR_(STREAM|SOCKET|TLS|SSL)_/

/**
 * Converts an error of Redis, ioredis or the connection to a StoreError. Throws any other error as
 * it is: a bug must not look like an outage, after which callers retry.
 */
export function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const kind = error instanceof Error ? kindOf(error) : undefined
  if (kind === undefined) throw error
  const advice = accessAdvice(error)
  if (advice !== undefined) return new AccessDenied(advice, { kind, cause: error })
  return new StoreError((error as Error).message, { kind, cause: error })
}

function kindOf(error: Error): StoreErrorKind | undefined {
  const { name, message } = error
  if (isErrorReply(error)) {
    return UNAVAILABLE.test(message) || MISDIRECTED.test(message) || KILLED.test(message) ? 'refused' : 'fatal'
  }
  const isOfClient = CLIENT_ERRORS.test(name)
  // Bugs have classes of their own, as TypeError and AssertionError.
  if (name !== 'Error' && !isOfClient) return undefined
  if (NOT_SENT.some(text => message.includes(text))) return 'refused'
  const { code } = error as { readonly code?: unknown }
  const isOfSocket = typeof code === 'string' && SOCKET_CODE.test(code)
  return isOfClient || isOfSocket || CUT_OFF.some(text => message.startsWith(text)) ? 'unknown' : undefined
}

/** Returns whether memory is at its limit. Reads and scripts that free memory still work. */
export function isOutOfMemory(error: unknown): boolean {
  return isErrorReply(error) && error.message.startsWith('OOM ')
}

function isErrorReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}

/** Runs `request` with its rejections converted by `toStoreError`. */
export async function mapErrors<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request()
  } catch (error) {
    throw toStoreError(error)
  }
}

type Methods<T> = { readonly [K in keyof T]: (...args: never[]) => Promise<unknown> }

/** Returns `methods` with their rejections converted by `toStoreError`. */
export function withStoreErrors<T extends Methods<T>>(methods: T): T {
  const mapped = Object.entries<Methods<T>[keyof T]>(methods).map(([name, method]) => [
    name,
    (...args: never[]) => mapErrors(() => method(...args)),
  ])
  return Object.fromEntries(mapped) as T
}
