import type { AlertStore } from './alerts.ts'
import type { AnalyzerStore } from './analyzer.ts'
import type { ApiKeyStore } from './api-keys.ts'
import type { AuditStore } from './audit.ts'
import type { FeedStore } from './feed.ts'
import type { GatewayStore } from './gateway.ts'
import type { KeyStore } from './keys.ts'
import type { LimitStore } from './limits.ts'
import type { PointStore } from './points.ts'
import type { ProcessStore } from './processes.ts'
import type { RuleStore } from './rules.ts'
import type { SessionStore } from './sessions.ts'
import type { TotalStore } from './totals.ts'

/**
 * Everything the gateway and the analyzer need of a store. The testkit's store-contract holds the
 * implementations, store/redis and store/memory, to the same behaviour. Every method may reject
 * with a `StoreError`, whose kind says what is known of the outcome. Any other error is a bug.
 */
export interface Store extends AsyncDisposable {
  readonly partitions: number
  /** What a failure can cost of the samples whose request succeeded: docs/decisions/0011. */
  readonly durability: DurabilityLevel
  readonly gateway: GatewayStore
  readonly analyzer: AnalyzerStore
  readonly rules: RuleStore
  readonly processes: ProcessStore
  readonly alerts: AlertStore
  readonly apiKeys: ApiKeyStore
  readonly feed: FeedStore
  readonly limits: LimitStore
  readonly audit: AuditStore
  readonly keys: KeyStore
  readonly sessions: SessionStore
  readonly points: PointStore
  readonly totals: TotalStore
}

/** `memory`: samples are lost when the store's process ends. */
export const DURABILITY_LEVELS = ['memory', 'local', 'disk', 'replicated'] as const
export type DurabilityLevel = (typeof DURABILITY_LEVELS)[number]

/** The most that a store keeps of each partition: the defaults. */
export const STORE_LIMITS = {
  /** Samples in the backlog. */
  backlogMax: 1_000_000,
  /** The newest anomalies and dead letters. */
  anomaliesMax: 10_000,
  deadMax: 10_000,
  /**
   * Remembered requests, so that a retry stores nothing twice: 100 a second for 11 minutes, even if
   * each has samples for every partition. Redis needs REQUEST_BYTES for each.
   */
  requestsMax: 70_000,
  /** The alerts resolved last. */
  alertsMax: 10_000,
  /** Outbox entries for receivers that lag. */
  outboxMax: 10_000,
  /** Analyses that shadow rules would have flagged. */
  shadowedMax: 1000,
  /** Records of the audit log, of the whole deployment. A record has at most 5 KiB. */
  auditMax: 10_000,
}

/** Memory of a remembered request in Redis, measured. */
export const REQUEST_BYTES = 240

export type StoreLimits = Readonly<typeof STORE_LIMITS>
