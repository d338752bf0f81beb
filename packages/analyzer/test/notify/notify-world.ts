import { type AlertOpening, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { EMPTY_DOCUMENT } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { commitAlerts, openingOf } from '@tidemark/testkit/alert-commits'
import { FakeClock } from '@tidemark/testkit/fake-clock'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { expect, onTestFinished } from 'vitest'
import { createNotifyMetrics } from '../../src/notify/metrics.ts'
import { startNotifier } from '../../src/notify/notifier.ts'
import type { Delivery, Notification, Receiver, SendTime } from '../../src/notify/receiver.ts'

export const NOW = 1_700_000_000_000
export const PARTITIONS = 2
export const WAIT_MS = 2000
export const GROUP_WAIT_MS = 3000
export const RESEND_MS = 60_000
export const MINUTE = 60_000
export const DAY = 86_400_000

/** A receiver that records its notifications and responds as a test says. */
export class Listener implements Receiver {
  readonly name: string
  readonly kind = 'webhook'
  readonly origin = 'http://listener'
  readonly batchMax: number
  readonly takesGroups: boolean
  readonly needsReminders: boolean
  /** The time of each request and the ids in it. */
  readonly requests: { readonly at: number; readonly ids: readonly string[] }[] = []
  readonly taken: Notification[] = []
  readonly times: SendTime[] = []
  respond: (notifications: readonly Notification[]) => Delivery | Promise<Delivery> = () => ({ kind: 'delivered' })
  readonly #clock: FakeClock

  constructor(clock: FakeClock, { name = 'one', batchMax = 1, takesGroups = false, needsReminders = false } = {}) {
    this.#clock = clock
    this.name = name
    this.batchMax = batchMax
    this.takesGroups = takesGroups
    this.needsReminders = needsReminders
  }

  async send(notifications: readonly Notification[], time: SendTime): Promise<Delivery> {
    this.times.push(time)
    this.requests.push({ at: this.#clock.wallMs() - NOW, ids: notifications.map(({ id }) => id) })
    const delivery = await this.respond(notifications)
    if (delivery.kind === 'delivered') this.taken.push(...notifications)
    return delivery
  }

  get notified(): string[] {
    return this.taken.map(({ status, record }) => `${record.key ?? 'fleet'} ${status}`)
  }
}

export const DELIVERED: Delivery = { kind: 'delivered' }

export const refused = (status = 400): Delivery => ({
  kind: 'refused',
  reason: `the receiver responded with status ${status}`,
})

export const failed = (retryAfterMs = 0): Delivery => ({ kind: 'failed', reason: 'unavailable', retryAfterMs })

/** A store whose partitions are owned, and notifiers on it. */
export async function createWorld({ outboxMax = 10_000 } = {}) {
  const clock = new FakeClock(NOW)
  const skew = { ms: 0 }
  const store = createMemoryStore({ partitions: PARTITIONS, outboxMax, now: () => clock.wallMs() + skew.ms })
  const world = {
    clock,
    store,
    /** How far the store's clock is ahead. */
    skew,
    rules: { current: new RuleSet(EMPTY_DOCUMENT, VERDICT_DEFAULTS) },
    leases: [] as Lease[],
    /** What the notifiers logged as failures. */
    logged: [] as Readonly<Record<string, unknown>>[],
    async own(token: string): Promise<void> {
      for (const lease of world.leases) await store.analyzer.releaseLease(lease)
      world.leases = []
      for (let partition = 0; partition < PARTITIONS; partition++) {
        expect(await store.analyzer.acquireLease(partition, token, 1e9)).toBe(true)
        world.leases.push({ partition, token })
      }
    },
    lease(partition: number): Lease {
      const lease = world.leases[partition]
      if (lease === undefined) throw new Error('the partition has no owner')
      return lease
    },
    start(
      receivers: readonly Receiver[],
      alerts: AlertStore = store.alerts,
      { retryMaxMs = DAY, owned = [0, 1] }: { retryMaxMs?: number; owned?: readonly number[] } = {},
    ) {
      const metrics = { ...createNotifyMetrics(new Registry()), storeErrors: { inc: () => undefined } }
      const notifier = startNotifier({
        alerts,
        partitions: PARTITIONS,
        receivers,
        rules: world.rules,
        leases: () => world.leases.filter(({ partition }) => owned.includes(partition)),
        storeNow: () => clock.wallMs() + skew.ms,
        metrics,
        clock,
        log: pino({ level: 'silent' }),
        logFailure: (error, what, fields) => {
          world.logged.push({ message: error instanceof Error ? error.message : String(error), what, ...fields })
        },
        waitMs: WAIT_MS,
        groupWaitMs: GROUP_WAIT_MS,
        resendMs: RESEND_MS,
        retryMaxMs,
      })
      onTestFinished(() => notifier[Symbol.asyncDispose]())
      return { metrics, notifier }
    },
    async open(key: string, changes: Partial<AlertOpening> = {}, partition = 1): Promise<AlertOpening> {
      const opening = openingOf({ partition, key, at: clock.wallMs() }, changes)
      await commitAlerts(store, world.lease(partition), { opened: [opening], waitMs: WAIT_MS })
      return opening
    },
    end: (opening: AlertOpening, partition = 1) =>
      commitAlerts(store, world.lease(partition), { ended: [{ opening, at: clock.wallMs() }] }),
    async record(opening: AlertOpening, partition = 1) {
      const [parts] = await store.alerts.read(partition, [opening.id])
      return assembleAlert(parts ?? { opening, end: null, operator: null, notification: null })
    },
    /** The entries in the outboxes and the alerts that are retried. */
    async outbox(...receivers: string[]): Promise<number> {
      const pending = await store.alerts.pendingNotifications([0, 1], receivers)
      return pending
        .flatMap(({ outbox, retries }) => [outbox, ...retries.map(({ count }) => count)])
        .reduce((sum, count) => sum + count, 0)
    },
    dead: () => store.alerts.deadNotifications(1, { count: 100 }),
  }
  await world.own('a')
  return world
}

export async function counted(
  metric: { get(): Promise<{ values: { value: number; labels: object }[] }> },
  labels: object,
) {
  const { values } = await metric.get()
  return values.find(one => JSON.stringify(one.labels) === JSON.stringify(labels))?.value
}
