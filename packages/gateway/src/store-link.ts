import { pauseUntilNext } from '@tidemark/shared/runtime/lifecycle'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Logger } from 'pino'
import { withTimeout } from './store-timeout.ts'

const PING_EVERY_MS = 1000

/** One failed ping is no outage: a pod that becomes not ready adds to the load of the others. */
const FAILED_PINGS_MAX = 2

interface StoreLinkOptions {
  /** Retries until the store is open; resolves to undefined when `signal` ends that. */
  readonly openStore: (signal: AbortSignal) => Promise<Store | undefined>
  readonly log: Logger
  /** Timeout of a ping. */
  readonly timeoutMs: number
  /**
   * Called once, when the store is open; it is used when that has completed. The link disposes of
   * the result before the store.
   */
  readonly onOpen: (store: Store) => Promise<AsyncDisposable> | AsyncDisposable | undefined
}

/** The gateway's connection to a store that may not be available yet. */
export type StoreLink = ReturnType<typeof linkStore>

/** Opens the store once (it reconnects by itself) and pings it. Disposing the link closes it. */
export function linkStore({ openStore, log, timeoutMs, onOpen }: StoreLinkOptions) {
  const stop = new AbortController()
  const failed = Promise.withResolvers<never>()
  // A caller may never await it, which must not be an unhandled rejection.
  failed.promise.catch(() => {})
  let fault: string | undefined = 'the store is not open yet'
  const resources = new AsyncDisposableStack()

  async function watch(opened: Store): Promise<void> {
    let failures = 0
    while (!stop.signal.aborted) {
      const error = await pingFault(opened, timeoutMs)
      if (stop.signal.aborted) return
      failures = error === undefined ? 0 : failures + 1
      if (failures === FAILED_PINGS_MAX) {
        log.warn({ err: error }, 'store does not respond')
        fault = 'the store does not respond'
      }
      if (failures === 0 && fault !== undefined) {
        log.info('store responds again')
        fault = undefined
      }
      await pauseUntilNext(PING_EVERY_MS, stop.signal)
    }
  }

  async function run(): Promise<void> {
    try {
      const store = await openStore(stop.signal)
      resources.use(store)
      // The gateway, which would use it, may have been disposed of already.
      if (store === undefined || stop.signal.aborted) return
      resources.use(await onOpen(store))
      if (stop.signal.aborted) return
      fault = undefined
      log.info({ partitions: store.partitions }, 'store is open')
      await watch(store)
    } catch (error) {
      fault = 'the store cannot be used'
      failed.reject(error)
    }
  }

  const running = run()
  return {
    /** Why the store cannot be used; undefined when it can. */
    get fault(): string | undefined {
      return fault
    },
    /** Rejects when the store cannot be opened and a retry cannot help. Never resolves. */
    failed: failed.promise,
    async [Symbol.asyncDispose](): Promise<void> {
      stop.abort()
      fault = 'stopping'
      await running
      await resources.disposeAsync()
    },
  }
}

/** Returns the error of a failed ping, or undefined. */
function pingFault(store: Store, timeoutMs: number): Promise<unknown> {
  return withTimeout(store.gateway.ping(), timeoutMs).then(
    () => undefined,
    (error: unknown) => error,
  )
}
