import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Context } from '../context.ts'
import type { AttemptOptions } from '../repeat.ts'
import type { NotifyMetrics } from './metrics.ts'
import type { Receiver } from './receiver.ts'

export interface NotifierOptions extends AttemptOptions, Omit<Context, 'metrics'> {
  readonly metrics: NotifyMetrics
  readonly alerts: AlertStore
  readonly partitions: number
  readonly receivers: readonly Receiver[]
  readonly rules: { readonly current: RuleSet }
  /** Returns the leases of the partitions that this analyzer owns now. */
  readonly leases: () => readonly Lease[]
  /** Delay before the first notification of a new alert. */
  readonly waitMs: number
  readonly resendMs: number
}
