import { once } from 'node:events'
import { format } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import type { Logger } from 'pino'

/** Below terminationGracePeriodSeconds (30), to keep the exit code and the last log line. */
export const STOP_DEADLINE_MS = 20_000

/**
 * V8 lets lines of code whose objects survived a few garbage collections allocate in the old space.
 * What a service makes of samples lives until Redis has responded, which looks like that, and then
 * all of it waits for a major collection, with whatever it refers to.
 */
const ALLOCATE_YOUNG = '--no-allocation-site-pretenuring'

/** Acquires `resources`, returns when `stop` aborts. Resources are closed newest first. */
export type Main = (stop: AbortSignal, resources: AsyncDisposableStack) => Promise<void>

/**
 * Runs a service until SIGTERM or SIGINT. The process then exits by itself, so a leaked resource
 * shows as a hang. It exits with 1 if `main` throws or the deadline passes, and on a second signal.
 */
export async function run(main: Main, log: Logger): Promise<void> {
  setFlagsFromString(ALLOCATE_YOUNG)
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
  // Node would print the error with all that it carries, such as the arguments of a command.
  const onUncaught = (error: unknown): void => {
    log.fatal({ err: error }, 'failed')
    process.exit(1)
  }
  const releaseConsole = captureConsole(log)
  process.on('uncaughtException', onUncaught)
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  try {
    await using resources = new AsyncDisposableStack()
    await main(stop.signal, resources)
  } catch (error) {
    log.fatal({ err: error }, 'failed')
    process.exitCode = 1
  } finally {
    releaseConsole()
    process.off('uncaughtException', onUncaught)
    process.off('SIGTERM', onSignal)
    process.off('SIGINT', onSignal)
  }
}

/** Runs a synchronous action when the process exits. */
export function atExit(action: () => void): void {
  process.once('exit', action)
}

/**
 * Logs what libraries print to the console, and warnings of Node, so that every line of output is
 * JSON without secrets. Returns a function that undoes it.
 */
export function captureConsole(log: Logger): () => void {
  const names = ['log', 'info', 'warn', 'error', 'debug'] as const
  const { console } = globalThis
  const before = names.map(name => console[name])
  const onWarning = (warning: Error): void => log.warn({ err: warning }, 'a warning of Node')
  const printed = process.listeners('warning')
  process.removeAllListeners('warning')
  process.on('warning', onWarning)
  for (const name of names) console[name] = (...args: unknown[]) => log.warn(format(...args))
  return () => {
    for (const [i, name] of names.entries()) console[name] = before[i] as () => void
    process.off('warning', onWarning)
    for (const listener of printed) process.on('warning', listener)
  }
}

export async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort')
}

/**
 * Waits until the next multiple of a duration, or until `signal` aborts. Loops that use it wake the
 * process at the same moments, so one that is at rest seldom wakes up.
 */
export function pauseUntilNext(everyMs: number, signal?: AbortSignal): Promise<void> {
  return pause(Math.ceil(everyMs - (performance.now() % everyMs)), signal)
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
