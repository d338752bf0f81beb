import { pause } from '@tidemark/shared/runtime/lifecycle'
import { StoreError } from '@tidemark/shared/store/ports/errors'

export const NO_RESPONSE = new StoreError('the store did not respond before the timeout', { kind: 'unknown' })

/** Settles as the operation does. Rejects with a StoreError if that takes longer. */
export async function withTimeout<T>(operation: Promise<T>, timeoutMs: number): Promise<T> {
  const settled = new AbortController()
  const timedOut = async (): Promise<T> => {
    await pause(timeoutMs, settled.signal)
    throw NO_RESPONSE
  }
  try {
    return await Promise.race([operation, timedOut()])
  } finally {
    settled.abort()
  }
}
