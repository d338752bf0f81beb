import { TidemarkError } from './error.ts'

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

/**
 * Returns in how many milliseconds a failed request is repeated; undefined for never. `attempt`
 * counts from 0.
 */
export type Retry = (error: TidemarkError, attempt: number) => number | undefined

/**
 * Retries for a time, as soon as Retry-After allows. A failure whose retry would come later is
 * thrown rather than waited for.
 */
export function retryFor(ms: number, isRetried: (error: TidemarkError) => boolean): Retry {
  const deadline = performance.now() + ms
  return (error, attempt) => {
    if (!isRetried(error)) return undefined
    const delayMs = error.retryAfterMs ?? backoffMs(attempt)
    return performance.now() + delayMs > deadline ? undefined : delayMs
  }
}

/** Repeats `work` as `retry` says. */
export async function withRetries<T>(work: () => Promise<T>, retry: Retry, signal?: AbortSignal): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const delayMs = error instanceof TidemarkError ? retry(error, attempt) : undefined
      if (delayMs === undefined) throw error
      await wait(delayMs, signal)
    }
  }
}
