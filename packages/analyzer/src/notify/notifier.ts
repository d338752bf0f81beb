import type { Lease } from '@tidemark/shared/store/ports/lease'
import { attempt, repeat } from '../repeat.ts'
import { Deliveries } from './delivery.ts'
import { processDueNotifications } from './due-notifications.ts'
import type { NotifierOptions } from './options.ts'
import { StormKeeper } from './storm-keeper.ts'
import { StormView } from './storm-view.ts'

/** How often the owned partitions are checked, and how often firing alerts are counted. */
const CHECK_MS = 250
const COUNT_MS = 1000

/** Storm detection and its view: together well within the delay of a new alert's notification. */
const STORM_KEEP_MS = 250
const STORM_VIEW_MS = 1000

/** Notifies receivers until it is disposed of. Dispose of it before the leases are released. */
export function startNotifier(options: NotifierOptions): AsyncDisposable {
  const { alerts, leases, clock, metrics, receivers, log } = options
  const resources = new AsyncDisposableStack()
  const storm = new StormView(options)
  const viewStorm = () => attempt('reading the storm state', () => storm.update(), options)
  resources.use(repeat(viewStorm, clock, STORM_VIEW_MS))
  const keeper = new StormKeeper(options)
  resources.use(repeat(() => keeper.keep(), clock, STORM_KEEP_MS))
  const deliveries = resources.use(new Deliveries(options))
  const decide = (lease: Lease) => processDueNotifications(lease, storm, options)
  let countedAt = Number.NEGATIVE_INFINITY
  log.info({ receivers: receivers.map(({ kind, origin }) => `${kind} ${origin}`) }, 'notifying receivers of alerts')

  async function check(): Promise<void> {
    const owned = leases()
    // If a lease was lost, the next owner decides.
    await Promise.all(owned.map(lease => attempt('deciding on notifications', () => decide(lease), options)))
    const partitions = owned.map(({ partition }) => partition)
    await attempt('reading the outboxes', () => visitOutboxes(owned, partitions), options)
    if (clock.monotonicMs() - countedAt < COUNT_MS) return
    countedAt = clock.monotonicMs()
    await attempt('counting alerts', () => countFiring(partitions), options)
  }

  async function visitOutboxes(owned: readonly Lease[], partitions: readonly number[]): Promise<void> {
    const lengths = partitions.length === 0 ? [] : await alerts.outboxLengths(partitions)
    metrics.outbox.set(lengths.reduce((sum, length) => sum + length, 0))
    deliveries.visit(owned.map((lease, i) => ({ lease, waiting: lengths[i] ?? 0 })))
  }

  async function countFiring(partitions: readonly number[]): Promise<void> {
    const counts = partitions.length === 0 ? [] : await alerts.count(partitions)
    metrics.firing.set(counts.reduce((sum, { firing }) => sum + firing, 0))
  }

  resources.use(repeat(check, clock, CHECK_MS))
  return resources
}
