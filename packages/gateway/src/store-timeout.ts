import { StoreError } from '@tidemark/shared/store/ports/errors'

export const NO_RESPONSE = new StoreError('the store did not respond before the timeout', { kind: 'unknown' })

/** Settles as the operation does. Rejects with a StoreError if that takes longer. */
export async function withTimeout<T>(operation: Promise<T>, timeoutMs: number): Promise<T> {
  const timedOut = Promise.withResolvers<never>()
  const timer = setTimeout(() => timedOut.reject(NO_RESPONSE), timeoutMs)
  try {
    return await Promise.race([operation, timedOut.promise])
  } finally {
    clearTimeout(timer)
  }
}
