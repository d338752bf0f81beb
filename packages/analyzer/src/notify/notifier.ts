import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { Clock } from '@tidemark/shared/runtime/clock'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Logger } from 'pino'
import { type AttemptOptions, attempt, repeat } from '../repeat.ts'
import { Deliveries } from './delivery.ts'
import { processDueNotifications } from './due-notifications.ts'
import type { NotifyMetrics } from './metrics.ts'
import type { Receiver } from './receiver.ts'
import { StormKeeper } from './storm-keeper.ts'
import { StormView } from './storm-view.ts'

/** How often the owned partitions are checked. */
const CHECK_MS = 250

/** How often firing alerts are counted. */
const COUNT_MS = 1000

export interface NotifierOptions extends AttemptOptions {
  readonly alerts: AlertStore
  readonly partitions: number
  readonly receivers: readonly Receiver[]
  readonly rules: { readonly current: RuleSet }
  /** Returns the leases of the partitions that this analyzer owns now. */
  readonly leases: () => readonly Lease[]
  readonly metrics: NotifyMetrics
  readonly log: Logger
  readonly clock: Clock
  /** Delay before the first notification of a new alert. */
  readonly waitMs: number
  readonly resendMs: number
}

/**
 * Notifies receivers of the alerts of the owned partitions until it is disposed of, which waits for
 * running requests. Dispose of it before the leases are released.
 */
export function startNotifier(options: NotifierOptions): AsyncDisposable {
  const { alerts, leases, clock, metrics, receivers, log } = options
  const resources = new AsyncDisposableStack()
  const view = resources.use(new StormView(options))
  resources.use(new StormKeeper(options))
  const holds = ({ partition, token }: Lease): boolean =>
    leases().some(held => held.partition === partition && held.token === token)
  const deliveries = resources.use(new Deliveries({ ...options, holds }))
  const dueOptions = { alerts, rules: options.rules, storm: view, metrics, waitMs: options.waitMs }
  let countedAt = Number.NEGATIVE_INFINITY
  log.info({ receivers: receivers.map(({ kind, origin }) => `${kind} ${origin}`) }, 'notifying receivers of alerts')

  async function check(): Promise<void> {
    const owned = leases()
    // If a lease was lost, the next owner decides.
    await Promise.all(
      owned.map(lease =>
        attempt('deciding on notifications', () => processDueNotifications(lease, dueOptions), options),
      ),
    )
    const partitions = owned.map(({ partition }) => partition)
    await attempt(
      'reading the outboxes',
      async () => {
        const lengths = partitions.length === 0 ? [] : await alerts.outboxLengths(partitions)
        metrics.outbox.set(lengths.reduce((sum, length) => sum + length, 0))
        deliveries.visit(owned.map((lease, i) => ({ lease, waiting: lengths[i] ?? 0 })))
      },
      options,
    )
    if (clock.monotonicMs() - countedAt < COUNT_MS) return
    countedAt = clock.monotonicMs()
    await attempt(
      'counting alerts',
      async () => {
        const counts = partitions.length === 0 ? [] : await alerts.count(partitions)
        metrics.firing.set(counts.reduce((sum, { firing }) => sum + firing, 0))
      },
      options,
    )
  }

  resources.use(repeat(check, clock, CHECK_MS))
  return resources
}
