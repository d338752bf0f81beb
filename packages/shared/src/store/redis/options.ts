import type { DurabilityLevel } from '../ports/store.ts'
import type { ConnectionOptions } from './connection.ts'

export interface RedisStoreOptions extends ConnectionOptions {
  /** First part of every key. */
  readonly prefix: string
  /** Partitions of a new deployment. An existing one must have as many; undefined accepts any. */
  readonly partitions: number | undefined
  /** Samples that a partition's backlog may hold. */
  readonly backlogMax: number
  /** Anomalies kept per partition. */
  readonly anomaliesMax: number
  /** Dead letters kept per partition. */
  readonly deadMax: number
  /** Resolved alerts kept per partition. */
  readonly alertsMax: number
  /** Outbox entries kept per partition for receivers that lag. */
  readonly outboxMax: number
  /** Analyses kept per partition that shadow rules would have flagged. */
  readonly shadowedMax: number
  /** Requests remembered per partition, so that a retry stores nothing twice. */
  readonly requestsMax: number
  /** What Redis must keep of appended samples. Undefined for a service that appends none. */
  readonly durability: { readonly level: DurabilityLevel; readonly onWarning: (sentence: string) => void } | undefined
}

export const REDIS_STORE_DEFAULTS = {
  cluster: false,
  commandTimeoutMs: 2000,
  prefix: 'tm',
  partitions: undefined,
  backlogMax: 1_000_000,
  anomaliesMax: 10_000,
  deadMax: 10_000,
  requestsMax: 20_000,
  alertsMax: 10_000,
  outboxMax: 10_000,
  shadowedMax: 1000,
  durability: undefined,
} as const
