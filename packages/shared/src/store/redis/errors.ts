import { StoreError, type StoreErrorKind } from '../ports/errors.ts'

/** First words of error replies that say Redis did nothing and a retry may succeed. */
const RETRYABLE = new Set([
  'LOADING',
  'BUSY',
  'MASTERDOWN',
  'READONLY',
  'NOREPLICAS',
  'MISCONF',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'OOM',
  'MOVED',
  'ASK',
  'NOSCRIPT',
  'NOGROUP',
  'UNBLOCKED',
])

/** Messages of ioredis about a command that it never sent. */
const NOT_SENT = /isn't writeable|isn't ready|None of startup nodes|Failed to refresh slots/

/** Converts an error of ioredis or Redis to a StoreError. */
export function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new StoreError(message, { kind: kindOf(error, message), cause: error })
}

function kindOf(error: unknown, message: string): StoreErrorKind {
  if (error instanceof Error && error.name === 'ReplyError') {
    const [word = ''] = message.split(' ', 1)
    return RETRYABLE.has(word) ? 'refused' : 'fatal'
  }
  return NOT_SENT.test(message) ? 'refused' : 'unknown'
}

/** Returns whether memory is at its limit. Reads and scripts that free memory still work. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError' && error.message.startsWith('OOM ')
}

/** Runs `request` and converts whatever it rejects with to a StoreError. */
export async function mapErrors<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request()
  } catch (error) {
    throw toStoreError(error)
  }
}
