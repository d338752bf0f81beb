import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Context } from '../context.ts'
import type { AttemptOptions } from '../repeat.ts'
import type { NotifyMetrics } from './metrics.ts'
import type { Receiver } from './receiver.ts'

export interface NotifierOptions extends Omit<Context, 'metrics'> {
  readonly metrics: NotifyMetrics & AttemptOptions['metrics']
  readonly alerts: AlertStore
  readonly partitions: number
  readonly receivers: readonly Receiver[]
  readonly rules: { readonly current: RuleSet }
  readonly leases: () => readonly Lease[]
  /** The store's clock where an owned partition is, Unix milliseconds; undefined if not known. */
  readonly storeNow: (partition: number) => number | undefined
  readonly waitMs: number
  /** How long a message waits for other alerts of its group; 0 if each alert has its own. */
  readonly groupWaitMs: number
  readonly resendMs: number
  /** How long a notification is retried before it becomes a dead letter. */
  readonly retryMaxMs: number
}
