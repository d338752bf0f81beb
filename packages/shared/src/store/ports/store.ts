import type { AlertStore } from './alerts.ts'
import type { AnalyzerStore } from './analyzer.ts'
import type { GatewayStore } from './gateway.ts'
import type { RuleStore } from './rules.ts'

/**
 * Everything the gateway and the analyzer need of a store. The testkit's store-contract holds the
 * implementations, store/redis and store/memory, to the same behaviour. Every method may reject
 * with a `StoreError`, whose kind says what is known of the outcome.
 */
export interface Store extends AsyncDisposable {
  readonly partitions: number
  /** What a failure can cost of the samples whose request succeeded: docs/decisions/0011. */
  readonly durability: DurabilityLevel
  readonly gateway: GatewayStore
  readonly analyzer: AnalyzerStore
  readonly rules: RuleStore
  readonly alerts: AlertStore
}

/** `memory`: samples are lost when the store's process ends. */
export const DURABILITY_LEVELS = ['memory', 'local', 'disk', 'replicated'] as const
export type DurabilityLevel = (typeof DURABILITY_LEVELS)[number]
