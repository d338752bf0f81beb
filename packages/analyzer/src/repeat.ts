import type { Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'

export interface Repetition extends AsyncDisposable {
  /** Ends the repetition and waits for a running action. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Runs an action at once and again after each pause. The action must not reject. */
export function repeat(action: () => Promise<unknown>, clock: Clock, pauseMs: number): Repetition {
  const stop = new AbortController()
  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      await action()
      await clock.pause(pauseMs, stop.signal)
    }
  }
  const done = run()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await done
    },
  }
}

export interface AttemptOptions {
  readonly storeErrors: { inc(): void }
  readonly logFailure: FailureLog
}

/**
 * Runs an action of the store. A failure is counted, logged and returned as false: the caller
 * retries it later.
 */
export async function attempt(
  what: string,
  action: () => Promise<unknown>,
  { storeErrors, logFailure }: AttemptOptions,
): Promise<boolean> {
  try {
    await action()
    return true
  } catch (error) {
    storeErrors.inc()
    logFailure(error, `${what} failed`)
    return false
  }
}
