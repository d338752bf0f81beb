import { entryTimeMs } from '@tidemark/shared/sample/receipt'
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

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

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
  const feedTrimmed = new Map<number, number>()
  /** By partition: the store's clock at the last check. */
  const clocks = new Map<number, number>()
  let countedAt = Number.NEGATIVE_INFINITY
  log.info({ receivers: receivers.map(({ name, origin }) => `${name} ${origin}`) }, 'notifying receivers of alerts')

  async function check(): Promise<void> {
    const decided: { lease: Lease; now: number }[] = []
    // If a lease was lost, the next owner decides.
    const decide = async (lease: Lease) => {
      const now = await processDueNotifications(lease, clocks.get(lease.partition) ?? 0, storm, options)
      clocks.set(lease.partition, now)
      decided.push({ lease, now })
    }
    const owned = leases()
    await Promise.all(owned.map(lease => attempt('deciding on notifications', () => decide(lease), options)))
    await attempt('reading the outboxes', () => visitOutboxes(decided), options)
    const partitions = owned.map(({ partition }) => partition)
    if (clock.monotonicMs() - countedAt < COUNT_MS) return
    countedAt = clock.monotonicMs()
    await attempt('counting alerts', () => countFiring(partitions), options)
  }

  async function visitOutboxes(decided: readonly { lease: Lease; now: number }[]): Promise<void> {
    const partitions = decided.map(({ lease }) => lease.partition)
    const found = partitions.length === 0 ? [] : await alerts.pendingNotifications(partitions, deliveries.names)
    const owned = decided.flatMap((one, i) => {
      const pending = found[i]
      return pending === undefined ? [] : [{ ...one, pending }]
    })
    metrics.outbox.set(sum(owned.map(({ pending }) => pending.outbox)))
    metrics.retries.set(sum(owned.flatMap(({ pending }) => pending.retries.map(({ count }) => count))))
    metrics.deadLetters.set(sum(owned.map(({ pending }) => pending.dead)))
    const ages = owned.map(({ now, pending: { oldest } }) => (oldest === null ? 0 : now - entryTimeMs(oldest)))
    metrics.oldestAgeSeconds.set(Math.max(0, ...ages) / 1000)
    deliveries.visit(owned)
  }

  async function countFiring(partitions: readonly number[]): Promise<void> {
    const counts = partitions.length === 0 ? [] : await alerts.count(partitions)
    metrics.firing.set(sum(counts.map(({ firing }) => firing)))
    const trimmed = partitions.length === 0 ? [] : await alerts.feedTrimmed(partitions)
    for (const [i, partition] of partitions.entries()) {
      const total = trimmed[i] ?? 0
      metrics.feedTrimmed.inc(Math.max(0, total - (feedTrimmed.get(partition) ?? total)))
      feedTrimmed.set(partition, total)
    }
  }

  resources.use(repeat(check, clock, CHECK_MS))
  return resources
}
