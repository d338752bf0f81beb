import { pause } from '@tidemark/shared/runtime/lifecycle'
import { type Store, StoreError } from '@tidemark/shared/store/ports/store'
import type { Logger } from 'pino'

const PING_EVERY_MS = 1000

/** One lost answer is no outage: a pod that leaves the load balancer at each hiccup makes the others' load worse. */
const FAILED_PINGS_MAX = 2

export interface StoreLinkOptions {
  /** Tries for as long as it takes; undefined when `signal` ended it. */
  readonly openStore: (signal: AbortSignal) => Promise<Store | undefined>
  readonly log: Logger
  /** How long a ping may take. */
  readonly timeoutMs: number
  /** Told once, when the store is open. */
  readonly onOpen: (store: Store) => void
}

/** The gateway's way to its store, which may not be there yet. */
export interface StoreLink extends AsyncDisposable {
  /** What keeps the store from being used; undefined when nothing does. */
  readonly fault: string | undefined
  /** Rejects when the store cannot be opened and trying again cannot help. Never resolves. */
  readonly failed: Promise<never>
}

/**
 * Opens the store and then looks after it by a ping a second. Disposing it closes the store. It never opens a store twice:
 * an open one finds back to Redis by itself.
 */
export function linkStore({ openStore, log, timeoutMs, onOpen }: StoreLinkOptions): StoreLink {
  const stop = new AbortController()
  const failed = Promise.withResolvers<never>()
  // Somebody may never look at it; that is no unhandled rejection.
  failed.promise.catch(() => {})
  let fault: string | undefined = 'the store is not open yet'
  let store: Store | undefined

  async function watch(opened: Store): Promise<void> {
    let failures = 0
    while (!stop.signal.aborted) {
      const error = await pingFault(opened, timeoutMs)
      if (stop.signal.aborted) return
      failures = error === undefined ? 0 : failures + 1
      if (failures === FAILED_PINGS_MAX) {
        log.warn({ err: error }, 'the store does not answer')
        fault = 'the store does not answer'
      }
      if (failures === 0 && fault !== undefined) {
        log.info('the store answers again')
        fault = undefined
      }
      await pause(PING_EVERY_MS, stop.signal)
    }
  }

  async function live(): Promise<void> {
    try {
      store = await openStore(stop.signal)
      if (store === undefined) return
      fault = undefined
      onOpen(store)
      log.info({ partitions: store.partitions }, 'the store is open')
      await watch(store)
    } catch (error) {
      fault = 'the store cannot be used'
      failed.reject(error)
    }
  }

  const living = live()
  return {
    get fault() {
      return fault
    },
    failed: failed.promise,
    async [Symbol.asyncDispose]() {
      stop.abort()
      fault = 'stopping'
      await living
      await store?.[Symbol.asyncDispose]()
    },
  }
}

/** Why a ping failed; undefined when it did not. */
async function pingFault(store: Store, timeoutMs: number): Promise<unknown> {
  const deadline = new AbortController()
  try {
    return await Promise.race([
      store.gateway.ping().then(() => undefined),
      pause(timeoutMs, deadline.signal).then(() => new StoreError('no answer in time', { kind: 'unknown' })),
    ])
  } catch (error) {
    return error
  } finally {
    deadline.abort()
  }
}
