import type { PackedSamples } from '@tidemark/shared/sample/packer'
import type { Receipt } from '@tidemark/shared/sample/receipt'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import type { AppendOutcome, RequestMark } from '@tidemark/shared/store/ports/gateway'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Logger } from 'pino'
import type { GatewayConfig } from './config.ts'
import type { FieldsReader } from './http/json-body.ts'
import { RequestFault } from './http/problem.ts'
import type { DrainRate } from './http/retry-after.ts'
import type { KeyAdmission } from './keys/admission.ts'
import type { Share } from './limits/fair-budget.ts'
import type { GatewayMetrics } from './metrics.ts'

/** What the routes use once the store is open. gateway.ts creates it. */
export interface Services {
  readonly store: Store
  readonly batcher: SampleQueue
  readonly watcher: CheckpointWaiter
  readonly drainRate: DrainRate
  readonly keys: KeyAdmission
}

/** What the routes of every folder may use. */
export interface RoutesOptions {
  readonly config: GatewayConfig
  readonly log: Logger
  readonly metrics: GatewayMetrics
  /** Throws a RequestFault while the store is not open. */
  readonly services: () => Services
  readonly readFields: FieldsReader
  /** Unix milliseconds. */
  readonly now: () => number
}

/** Stores the samples of concurrent requests in few large appends. */
export interface SampleQueue {
  /**
   * Resolves when every sub-batch has its outcome, in the order given. Does not reject. `share` is
   * what the client has in the queue.
   */
  submit(subBatches: readonly SubBatch[], share: Share): Promise<readonly SubBatchOutcome[]>
}

/** The samples that one request has for one partition. */
export interface SubBatch extends PackedSamples {
  /** Of a request with an Idempotency-Key: its sub-batch is an entry of its own, for retries. */
  readonly once?: RequestMark | undefined
  readonly trace?: TraceContext | undefined
}

export type SubBatchOutcome =
  | AppendOutcome
  /** Never sent: the queue is full, the store does not respond, or the gateway is stopping. */
  | { readonly kind: 'rejected' }
  /** A bug. The samples may or may not be stored. */
  | { readonly kind: 'crashed'; readonly error: unknown }

export interface CheckpointWaiter {
  /**
   * Resolves when the checkpoint has reached the entry, after `waitMs`, or at once when the client
   * is `gone`. It looks at least once, unless the client is gone before. Does not reject.
   * `share` is how many requests of the client wait.
   */
  wait(receipt: Receipt, waitMs: number, share: Share, gone?: AbortSignal): Promise<WaitOutcome>
}

export type WaitOutcome =
  | { readonly kind: 'reached' }
  | { readonly kind: 'timed-out'; readonly backlog: number }
  /** The limit of waiting requests is reached. */
  | { readonly kind: 'rejected' }
  /** The client is gone, or the gateway stops. */
  | { readonly kind: 'ended' }
  /** The store did not report the progress. */
  | { readonly kind: 'failed'; readonly error: unknown }

/** Returns a getter that throws a RequestFault while there are no services. */
export function required(services: () => Services | undefined): () => Services {
  return () => {
    const opened = services()
    if (opened === undefined) throw new RequestFault({ kind: 'store-unavailable' })
    return opened
  }
}
