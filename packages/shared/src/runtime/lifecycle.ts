import type { Logger } from 'pino'

/** Kubernetes kills after terminationGracePeriodSeconds (30); leaving before that keeps the exit code and the last log line. */
const STOP_DEADLINE_MS = 20_000

/** What a service does: it acquires into `resources` and returns when `stop` aborts. Resources close newest first. */
export type Main = (stop: AbortSignal, resources: AsyncDisposableStack) => Promise<void>

/**
 * Runs a service until SIGTERM or SIGINT. The process then ends by itself once everything is closed, so what is left
 * open shows as a hang; it exits with 1 when `main` throws or the deadline passes. A second signal ends it at once.
 */
export async function run(main: Main, log: Logger): Promise<void> {
  const stop = new AbortController()
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(1)
    log.info({ signal }, 'stopping')
    stop.abort()
    setTimeout(() => {
      log.fatal({ deadlineMs: STOP_DEADLINE_MS }, 'not stopped in time')
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

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Waits, but no longer than until `signal` aborts. */
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
