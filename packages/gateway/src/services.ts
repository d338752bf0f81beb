import type { Store } from '@tidemark/shared/store/ports/store'
import type { GatewayConfig } from './config.ts'
import { outageRetryAfterS, RequestFault } from './http/problem.ts'
import { Batcher } from './ingest/batcher.ts'
import { createDrainRate, type DrainRate } from './ingest/drain-rate.ts'
import type { GatewayMetrics } from './metrics.ts'
import { ProgressWatcher } from './verdicts/progress-watcher.ts'

/** What the routes work with; there is none of it before the store is open. */
export interface Services {
  readonly store: Store
  readonly batcher: Batcher
  readonly watcher: ProgressWatcher
  readonly drainRate: DrainRate
}

export function createServices(store: Store, config: GatewayConfig, metrics: GatewayMetrics): Services {
  const batcher = new Batcher({
    store: store.gateway,
    queueSamplesMax: config.QUEUE_SAMPLES_MAX,
    timeoutMs: config.STORE_TIMEOUT_MS,
    onFlush: metrics.flushed,
    onFailure: metrics.flushFailed,
  })
  metrics.watchQueue(() => batcher.samples)
  return {
    store,
    batcher,
    watcher: new ProgressWatcher({ store: store.gateway, waitersMax: config.ANALYZE_WAITERS_MAX }),
    drainRate: createDrainRate({ store: store.gateway, now: () => performance.now(), random: Math.random }),
  }
}

/** Gives what is there, and throws a RequestFault while there is nothing. */
export function required(services: () => Services | undefined): () => Services {
  return () => {
    const live = services()
    if (live === undefined) throw new RequestFault({ kind: 'store-unavailable', retryAfterS: outageRetryAfterS() })
    return live
  }
}
