import type { PackedSamples } from '@tidemark/shared/sample/packer'
import type { Receipt } from '@tidemark/shared/sample/receipt'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import type { FeedKind } from '@tidemark/shared/store/ports/feed'
import type { AppendOutcome, KeyInPartition, RequestMark } from '@tidemark/shared/store/ports/gateway'
import type { Store } from '@tidemark/shared/store/ports/store'
import type { Logger } from 'pino'
import type { Principal } from './access/principal.ts'
import type { GatewayConfig } from './config.ts'
import type { FieldsReader } from './http/json-body.ts'
import { RequestFault } from './http/problem.ts'
import type { DrainRate } from './http/retry-after.ts'
import type { Share } from './limits/fair-budget.ts'
import type { GatewayMetrics } from './metrics.ts'

/** What the routes use once the store is open. gateway.ts creates it. */
export interface Services {
  readonly store: Store
  readonly batcher: SampleQueue
  readonly watcher: CheckpointWaiter
  readonly drainRate: DrainRate
  readonly keys: KeyAdmitter
  readonly feed: LiveFeed
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

/** Lets samples of new keys in while there is room for more keys. */
export interface KeyAdmitter {
  /** Finds the partitions of a request's keys, and which keys are not known to be registered. */
  locate(items: readonly { readonly key: string }[]): LocatedKeys
  /**
   * Admits a request's unknown keys, and returns those that are refused, each with the limit that
   * it would exceed. Rejects with a StoreError or a RequestFault; then nothing may be stored.
   */
  admit(keys: readonly KeyInPartition[], sender: KeySender): Promise<RefusedKeys>
}

/** Whose keys they are, and the samples that wait for their admission. */
export interface KeySender {
  readonly principal: Principal
  readonly share: Share
  readonly samples: number
}

export interface LocatedKeys {
  /** By item. */
  readonly partitions: readonly number[]
  /** Each key once; undefined if all are known, as they nearly always are. */
  readonly unknown: readonly KeyInPartition[] | undefined
}

/** The setting that a key exceeds, and its value. */
export interface KeyLimit {
  readonly setting: 'KEYS_MAX' | 'keys_max' | 'KEYS_PER_API_KEY_MAX'
  readonly max: number
}

export type RefusedKeys = ReadonlyMap<string, KeyLimit>

/** Serves live feeds. */
export interface LiveFeed {
  /** Whether a text is the id of an event of this deployment. */
  isId(text: string): boolean
  /**
   * Opens a feed. Resolves when it has begun: what is committed later is an event of it. Rejects
   * with a RequestFault or a StoreError.
   */
  subscribe(request: FeedRequest): Promise<OpenFeed>
}

export interface FeedRequest {
  readonly kinds: ReadonlySet<FeedKind>
  readonly filter: FeedFilter
  /** The id of the event after which to continue; undefined to begin now. */
  readonly lastId: string | undefined
  readonly sink: FeedSink
  /** How many feeds the client has. */
  readonly share: Share
  /** Whether the caller may still read. */
  readonly isAllowed: () => boolean
}

export interface FeedFilter {
  readonly key: string | undefined
  /** Keys begin with each of them: the request's and the caller's. */
  readonly prefixes: readonly string[]
  /** Undefined for every state. */
  readonly states: ReadonlySet<string> | undefined
}

/** Where the bytes of a feed go. */
export interface FeedSink {
  write(bytes: Uint8Array): void
  end(): void
}

export interface OpenFeed {
  /** Must be called when the sink takes more bytes. */
  ready(): void
  end(): void
}

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
