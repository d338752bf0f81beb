import { once } from 'node:events'
import type { Logger } from 'pino'

/** Below terminationGracePeriodSeconds (30), to keep the exit code and the last log line. */
const STOP_DEADLINE_MS = 20_000

/** Acquires `resources`, returns when `stop` aborts. Resources are closed newest first. */
export type Main = (stop: AbortSignal, resources: AsyncDisposableStack) => Promise<void>

/**
 * Runs a service until SIGTERM or SIGINT. The process then exits by itself, so a leaked resource
 * shows as a hang. It exits with 1 if `main` throws or the deadline passes, and on a second signal.
 */
export async function run(main: Main, log: Logger): Promise<void> {
  const stop = new AbortController()
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(1)
    log.info({ signal }, 'stopping')
    stop.abort()
    setTimeout(() => {
      log.fatal({ deadlineMs: STOP_DEADLINE_MS }, 'the shutdown deadline passed')
      process.exit(1)
    }, STOP_DEADLINE_MS).unref()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  try {
    await using resources = new AsyncDisposableStack()
    await main(stop.signal, resources)
  } catch (error) {
    log.fatal({ err: error }, 'failed')
    process.exitCode = 1
  } finally {
    process.off('SIGTERM', onSignal)
    process.off('SIGINT', onSignal)
  }
}

export async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort')
}

/** Waits for `ms`, or until `signal` aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
  })
}
