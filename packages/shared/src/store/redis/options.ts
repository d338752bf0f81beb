import { type DurabilityLevel, STORE_LIMITS, type StoreLimits } from '../ports/store.ts'
import type { ConnectionOptions } from './connection.ts'

export interface RedisStoreOptions extends ConnectionOptions, StoreLimits {
  /** First part of every key. */
  readonly prefix: string
  /** Partitions of a new deployment. An existing one must have as many; undefined accepts any. */
  readonly partitions: number | undefined
  /**
   * What Redis must keep of appended samples; without a level, what it provides. Undefined for a
   * service that appends none.
   */
  readonly durability:
    | { readonly level: DurabilityLevel | undefined; readonly onWarning: (sentence: string) => void }
    | undefined
  /** Keys from which a commit is sent as a transaction, not as a script; 0 for never. */
  readonly transactionKeys: number
}

export const REDIS_STORE_DEFAULTS = {
  ...STORE_LIMITS,
  cluster: false,
  access: () => ({}),
  commandTimeoutMs: 2000,
  prefix: 'tm',
  partitions: undefined,
  durability: undefined,
  transactionKeys: 200,
} as const
