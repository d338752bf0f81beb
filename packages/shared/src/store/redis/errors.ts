import { StoreError, type StoreErrorKind } from '../ports/errors.ts'

/** First words of errors by which Redis says that it did nothing and that trying later may help. */
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

/** What ioredis says of a command that it never sent. */
const NOT_SENT = /isn't writeable|isn't ready|None of startup nodes|Failed to refresh slots/

/** Gives an error of ioredis or Redis the kind that decides what its caller does. */
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

/** Whether Redis refused to write because its memory is at its limit. Reads, and scripts that free memory, go on then. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError' && error.message.startsWith('OOM ')
}

/** Runs `ask` and turns whatever it rejects with into a StoreError. */
export async function asked<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw toStoreError(error)
  }
}
