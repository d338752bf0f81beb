import { StoreError, type StoreErrorKind } from '../ports/errors.ts'

/** Error replies after which Redis did nothing and a retry may succeed: it cannot serve now ... */
const UNAVAILABLE = /^(LOADING|BUSY|MASTERDOWN|READONLY|NOREPLICAS|MISCONF|CLUSTERDOWN|OOM)\b/

/** ... or the retry finds another node, sends the script or restores the group. */
const MISDIRECTED = /^(TRYAGAIN|MOVED|ASK|NOSCRIPT|NOGROUP|UNBLOCKED)\b/

/** Messages of ioredis about a command that it never sent. */
const NOT_SENT = /isn't writeable|isn't ready|None of startup nodes|Failed to refresh slots/

/** Converts an error of ioredis or Redis to a StoreError. */
export function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new StoreError(message, { kind: kindOf(error, message), cause: error })
}

function kindOf(error: unknown, message: string): StoreErrorKind {
  if (isErrorReply(error)) return UNAVAILABLE.test(message) || MISDIRECTED.test(message) ? 'refused' : 'fatal'
  return NOT_SENT.test(message) ? 'refused' : 'unknown'
}

/** Returns whether memory is at its limit. Reads and scripts that free memory still work. */
export function isOutOfMemory(error: unknown): boolean {
  return isErrorReply(error) && error.message.startsWith('OOM ')
}

function isErrorReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError'
}

/** Runs `request` and converts whatever it rejects with to a StoreError. */
export async function mapErrors<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request()
  } catch (error) {
    throw toStoreError(error)
  }
}

type Methods<T> = { readonly [K in keyof T]: (...args: never[]) => Promise<unknown> }

/** Returns `methods` with their rejections converted to StoreErrors. */
export function withStoreErrors<T extends Methods<T>>(methods: T): T {
  const mapped = Object.entries<Methods<T>[keyof T]>(methods).map(([name, method]) => [
    name,
    (...args: never[]) => mapErrors(() => method(...args)),
  ])
  return Object.fromEntries(mapped) as T
}
