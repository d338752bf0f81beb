import type { Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import { StoreError } from '@tidemark/shared/store/ports/errors'

export interface Repetition extends AsyncDisposable {
  /** Runs the action now if it is not running. */
  wake(): void
}

/**
 * Runs an action at once and then at every multiple of `everyMs`, until disposed of, which waits
 * for a running action. All actions are due at the same moments, so an analyzer that is at rest
 * seldom wakes up. The action must not reject; it may change its pace.
 */
export function repeat(action: () => Promise<unknown>, clock: Clock, everyMs: number | (() => number)): Repetition {
  const pace = typeof everyMs === 'number' ? () => everyMs : everyMs
  let isStopped = false
  let pausing = new AbortController()
  async function run(): Promise<void> {
    while (!isStopped) {
      await action()
      if (isStopped) return
      pausing = new AbortController()
      await clock.pause(untilNext(pace(), clock), pausing.signal)
    }
  }
  const done = run()
  return {
    wake: () => pausing.abort(),
    async [Symbol.asyncDispose]() {
      isStopped = true
      pausing.abort()
      await done
    },
  }
}

/** Returns the time until the next multiple of a duration, in whole milliseconds. */
export function untilNext(everyMs: number, clock: Pick<Clock, 'monotonicMs'>): number {
  return Math.ceil(everyMs - (clock.monotonicMs() % everyMs))
}

export interface AttemptOptions {
  readonly metrics: { readonly storeErrors: { inc(): void }; readonly faults?: { inc(): void } }
  readonly logFailure: FailureLog
}

/**
 * Runs a store action. Returns false if it failed: counted, logged, for the caller to retry. Bugs
 * are counted apart from failures of the store.
 */
export async function attempt(
  what: string,
  action: () => Promise<unknown>,
  { metrics, logFailure }: AttemptOptions,
  fields?: Readonly<Record<string, unknown>>,
): Promise<boolean> {
  try {
    await action()
    return true
  } catch (error) {
    if (error instanceof StoreError) metrics.storeErrors.inc()
    else metrics.faults?.inc()
    logFailure(error, `${what} failed`, fields)
    return false
  }
}
