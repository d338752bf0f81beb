import type { TidemarkError } from './error.ts'

const BACKOFF_MIN_MS = 200
const BACKOFF_MAX_MS = 10_000

/** Resolves after a time; rejects with the signal's reason as soon as that aborts. */
export function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/** Returns the wait before retry `attempt`, from 0. It is random, so that clients spread. */
export function backoffMs(attempt: number): number {
  const longest = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** attempt)
  return longest * (0.5 + Math.random() / 2)
}

interface RetryOptions {
  /** How long to retry in all. The last failure is thrown rather than waited for beyond it. */
  readonly retryForMs: number
  readonly isRetried: (error: unknown) => error is TidemarkError
  readonly signal?: AbortSignal | undefined
}

/** Repeats `work` while its failures are temporary, as soon as Retry-After allows. */
export async function withRetries<T>(work: () => Promise<T>, { retryForMs, isRetried, signal }: RetryOptions) {
  const deadline = performance.now() + retryForMs
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!isRetried(error)) throw error
      const delayMs = error.retryAfterMs ?? backoffMs(attempt)
      if (performance.now() + delayMs > deadline) throw error
      await wait(delayMs, signal)
    }
  }
}
