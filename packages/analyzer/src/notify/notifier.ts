import { measureWhenRead } from '@tidemark/shared/runtime/metric-tables'
import { entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { PendingNotifications } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import { attempt, repeat } from '../repeat.ts'
import { Deliveries, nameOf } from './delivery.ts'
import { processDueNotifications } from './due-notifications.ts'
import type { NotifierOptions } from './options.ts'
import { StormKeeper } from './storm-keeper.ts'
import { StormView } from './storm-view.ts'

/**
 * How often the owned partitions are checked, and how often while nothing is scheduled or pending:
 * for what gateways and other analyzers change. This analyzer's commits wake it up.
 */
const CHECK_MS = 250
const REST_CHECK_MS = 1000

/** How often what is pending is read again although nothing has happened that would change it. */
const READ_AGAIN_MS = 60_000

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** What was pending in a partition, and when that was read by the monotonic clock. */
interface Known {
  readonly pending: PendingNotifications
  readonly readAt: number
}

export interface Notifier extends AsyncDisposable {
  /** Called after a commit of this analyzer that opened or ended alerts. */
  wake(): void
}

/** Notifies receivers until it is disposed of. Dispose of it before the leases are released. */
export function startNotifier(options: NotifierOptions): Notifier {
  const { alerts, leases, storeNow, clock, metrics, receivers, log } = options
  const resources = new AsyncDisposableStack()
  const storm = new StormView(options)
  const keeper = new StormKeeper(options, wake)
  resources.use(
    repeat(
      () => keeper.keep(),
      clock,
      () => keeper.paceMs,
    ),
  )
  const deliveries = resources.use(new Deliveries(options))
  /** By partition: the store's clock at the last check. */
  const clocks = new Map<number, number>()
  /** By lease. */
  let known: ReadonlyMap<string, Known> = new Map()
  let isAtRest = false
  /** How often `wake` was called. */
  let wakes = 0
  log.info({ receivers: receivers.map(({ name, origin }) => `${name} ${origin}`) }, 'notifying receivers of alerts')

  /** Reads only partitions in which something is scheduled or pending, and those not read yet. */
  async function check(): Promise<void> {
    const owned = leases()
    const partitions = owned.map(({ partition }) => partition)
    const wakesBefore = wakes
    const scheduled = new Set(partitions.length === 0 ? [] : await alerts.scheduled(partitions, deliveries.names))
    const isEmpty = scheduled.size === 0 && owned.every(lease => known.get(nameOf(lease))?.pending.outbox === 0)
    isAtRest = isEmpty && wakes === wakesBefore
    const decided: { lease: Lease; now: number }[] = []
    // If a lease was lost, the next owner decides.
    const decide = async (lease: Lease) => {
      const { partition } = lease
      const before = clocks.get(partition) ?? 0
      const atRest = known.has(nameOf(lease)) && !scheduled.has(partition) ? storeNow(partition) : undefined
      const now = atRest ?? (await processDueNotifications(lease, before, storm, options))
      clocks.set(partition, now)
      decided.push({ lease, now })
    }
    await Promise.all(owned.map(lease => attempt('deciding on notifications', () => decide(lease), options)))
    known = await readPending(
      decided.map(({ lease }) => lease),
      scheduled,
    )
    deliveries.visit(
      decided.flatMap(one => {
        const pending = known.get(nameOf(one.lease))?.pending
        return pending === undefined ? [] : [{ ...one, pending }]
      }),
    )
  }

  function wake(): void {
    wakes++
    // Otherwise the next check is soon, however many commits there are until then.
    if (isAtRest) checks.wake()
    isAtRest = false
  }

  async function readPending(owned: readonly Lease[], scheduled: ReadonlySet<number>): Promise<Map<string, Known>> {
    const readAt = clock.monotonicMs()
    const current = new Map<string, Known>()
    const due: Lease[] = []
    for (const lease of owned) {
      const last = known.get(nameOf(lease))
      const isAtRest = last?.pending.outbox === 0 && !scheduled.has(lease.partition)
      if (isAtRest && readAt - last.readAt < READ_AGAIN_MS) current.set(nameOf(lease), last)
      else due.push(lease)
    }
    const found = await pendingIn(due.map(({ partition }) => partition))
    for (const [i, lease] of due.entries()) {
      const pending = found[i]
      if (pending !== undefined) current.set(nameOf(lease), { pending, readAt })
    }
    return current
  }

  const pendingIn = async (partitions: readonly number[]): Promise<PendingNotifications[]> =>
    partitions.length === 0 ? [] : alerts.pendingNotifications(partitions, deliveries.names)

  async function checkOrForget(): Promise<void> {
    // Redis may have lost something when it comes back.
    if (!(await attempt('notifying receivers', check, options))) known = new Map()
  }
  const checks = resources.use(repeat(checkOrForget, clock, () => (isAtRest ? REST_CHECK_MS : CHECK_MS)))
  const { outbox, retries, deadLetters, oldestAgeSeconds, firing, feedTrimmed } = metrics
  const measure = createMeasure(options, pendingIn)
  measureWhenRead([outbox, retries, deadLetters, oldestAgeSeconds, firing, feedTrimmed], clock, async () => {
    await attempt('counting alerts', measure, options)
  })
  return { wake, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

/** Returns a function that sets the metrics of the owned partitions. */
function createMeasure(
  { alerts, leases, storeNow, clock, metrics }: NotifierOptions,
  pendingIn: (partitions: readonly number[]) => Promise<PendingNotifications[]>,
) {
  const feedTrimmed = new Map<number, number>()
  return async (): Promise<void> => {
    const partitions = leases().map(({ partition }) => partition)
    const pending = await pendingIn(partitions)
    metrics.outbox.set(sum(pending.map(({ outbox }) => outbox)))
    metrics.retries.set(sum(pending.flatMap(({ retries }) => retries.map(({ count }) => count))))
    metrics.deadLetters.set(sum(pending.map(({ dead }) => dead)))
    const nowIn = (partition = 0): number => storeNow(partition) ?? clock.wallMs()
    const ages = pending.map(({ oldest }, i) => (oldest === null ? 0 : nowIn(partitions[i]) - entryTimeMs(oldest)))
    metrics.oldestAgeSeconds.set(Math.max(0, ...ages) / 1000)
    const counts = partitions.length === 0 ? [] : await alerts.count(partitions)
    metrics.firing.set(sum(counts.map(({ firing }) => firing)))
    const trimmed = partitions.length === 0 ? [] : await alerts.feedTrimmed(partitions)
    for (const [i, partition] of partitions.entries()) {
      const total = trimmed[i] ?? 0
      metrics.feedTrimmed.inc(Math.max(0, total - (feedTrimmed.get(partition) ?? total)))
      feedTrimmed.set(partition, total)
    }
  }
}
