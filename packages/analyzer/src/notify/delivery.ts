import {
  type AlertParts,
  assembleAlert,
  FLEET_PARTITION,
  partitionOfAlert,
} from '@tidemark/shared/detection/alerts/record'
import { backoffMs } from '@tidemark/shared/runtime/clock'
import type { AlertAt, PendingNotifications } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import { attempt } from '../repeat.ts'
import { composeMessages, hasWaited, sharable, type Unsent } from './messages.ts'
import type { NotifierOptions } from './options.ts'
import { numberOf, outboxItems, type PendingItem, Results, retryItems } from './pending.ts'
import { type Delivery, NO_RECEIVER, type Notification, type Receiver } from './receiver.ts'

/** Pauses after failures: with the jitter 1 to 2 s at first, 30 to 60 s in the end. */
const BACKOFF = { minMs: 2000, maxMs: 60_000 }

/** Outbox entries, and retries, read per visit unless the receiver takes larger batches. */
const ENTRIES_MAX = 20

/** The same where they are searched for groups: a critical alert must not wait behind others. */
const SURVEYED_MAX = 200

/** Shorter than the time between two visits: nothing that a queue has sent is in a later survey. */
const SURVEY_MS = 200

/** New notifications refused in a row after which the others wait: it may refuse everything. */
const REFUSALS_MAX = 3

/** Pause after a round of retries in which the receiver refused something. */
const RETRY_ROUND_MS = 1000

/** Alerts that a receiver refused and that are retried, per partition. Further ones are dead. */
const RETRIES_MAX = 10_000

/** Firing alerts in one reminder. */
const REMINDED_MAX = 100

/** An alert that the receiver took within this time needs no reminder yet. */
const JUST_TAKEN_MS = 1000

/** Ids in one log line. */
const LOGGED_MAX = 10

/** Concurrent requests to one receiver: one per partition. */
const CONCURRENT_MAX = 16

/** Notifications of one sort, new or retried, with a pause after refusals of its own. */
interface Lane {
  /** In a row, and after how many of them the lane pauses for longer and longer. */
  refusals: number
  readonly refusalsMax: number
  /** By the monotonic clock. */
  notBefore: number
}

/**
 * The deliveries of one partition to one receiver, in the order of the outbox, one request at a
 * time. Reminders use the same queue, so that none overtakes the end of its alert.
 */
interface DeliveryQueue {
  readonly lease: Lease
  readonly receiver: Receiver
  running?: Promise<void> | undefined
  visitedAt: number
  failures: number
  /** By the monotonic clock, like the next ones. */
  notBefore: number
  remindAt: number
  remindedAt: number
  /** Whether even what was just taken needs a reminder. */
  remindsAll: boolean
  /** The longest time between two rounds of reminders lately: a receiver may be slow. */
  reminderMs: number
  readonly outbox: Lane
  readonly retries: Lane
  pending: PendingNotifications['retries'][number] & { readonly outbox: number }
  /** How far the store's clock is ahead of the monotonic clock. */
  storeAheadMs: number
}

/** What the receivers may get in a message of another partition, by partition. */
type Survey = readonly { readonly partition: number; readonly unsent: readonly Unsent[] }[]

/** A partition that this analyzer owns, and what is pending in it. */
export interface OwnedOutbox {
  readonly lease: Lease
  /** The store's clock when the partition was checked, Unix milliseconds. */
  readonly now: number
  readonly pending: PendingNotifications
}

/**
 * Delivers pending notifications at least once: the next owner repeats an unrecorded delivery, same
 * id. A receiver that fails is retried with what is next in its outbox. What it refuses is retried
 * on its own, and the next is sent. After `retryMaxMs` either becomes a dead letter.
 */
export class Deliveries implements AsyncDisposable {
  readonly #options: NotifierOptions
  readonly #receivers: readonly Receiver[]
  readonly #queues = new Map<string, DeliveryQueue>()
  /** When a receiver takes requests again, by its Retry-After and the monotonic clock. */
  readonly #pausedUntil = new Map<string, number>()
  /** By receiver: what was read last of all partitions, and when by the monotonic clock. */
  readonly #surveys = new Map<string, { readonly at: number; readonly survey: Promise<Survey> }>()
  #isStopped = false

  constructor(options: NotifierOptions) {
    this.#options = options
    this.#receivers = options.receivers.length > 0 ? options.receivers : [NO_RECEIVER]
  }

  /** The receivers in the order in which `pendingNotifications` must measure their retries. */
  get names(): string[] {
    return this.#receivers.map(({ name }) => name)
  }

  /** Starts due deliveries of the owned partitions. Does not wait for receivers. */
  visit(owned: readonly OwnedOutbox[]): void {
    if (this.#isStopped) return
    const now = this.#options.clock.monotonicMs()
    const held = new Set(owned.map(({ lease }) => nameOf(lease)))
    for (const [name, { lease, running }] of this.#queues) {
      if (running === undefined && !held.has(nameOf(lease))) this.#queues.delete(name)
    }
    for (const [i, receiver] of this.#receivers.entries()) {
      const queues = owned.map(one => this.#queueOf(one, receiver, i, now))
      if (now < (this.#pausedUntil.get(receiver.name) ?? 0)) continue
      const busy = queues.filter(({ running }) => running !== undefined).length
      const ready = queues
        .filter(queue => queue.running === undefined && hasWork(queue, now))
        .sort((a, b) => a.visitedAt - b.visitedAt)
      for (const queue of ready.slice(0, Math.max(0, CONCURRENT_MAX - busy))) this.#start(queue, now)
    }
  }

  /** Waits for the requests that are running, and records their results. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    await Promise.all([...this.#queues.values()].map(({ running }) => running))
  }

  #queueOf({ lease, now: storeNow, pending }: OwnedOutbox, receiver: Receiver, at: number, now: number): DeliveryQueue {
    const name = `${receiver.name} ${nameOf(lease)}`
    const queue = this.#queues.get(name) ?? newQueue(lease, receiver, this.#options.resendMs)
    this.#queues.set(name, queue)
    queue.storeAheadMs = storeNow - now
    queue.pending = { ...(pending.retries[at] ?? NO_RETRIES), outbox: pending.outbox }
    return queue
  }

  #start(queue: DeliveryQueue, now: number): void {
    const { partition } = queue.lease
    queue.visitedAt = now
    const serve = () => this.#serve(queue)
    queue.running = attempt('processing the outbox', serve, this.#options, { partition }).then(() => {
      queue.running = undefined
    })
  }

  async #serve(queue: DeliveryQueue): Promise<void> {
    const { clock } = this.#options
    const isDue = ({ notBefore }: { notBefore: number }) => clock.monotonicMs() >= Math.max(notBefore, queue.notBefore)
    if (isDue(queue.retries) && queue.pending.dueAt <= this.#storeNow(queue)) await this.#retry(queue)
    if (isDue(queue.outbox) && queue.pending.outbox > 0) await this.#deliverOutbox(queue)
    if (isDue(queue) && clock.monotonicMs() >= queue.remindAt) await this.#remind(queue)
  }

  async #deliverOutbox(queue: DeliveryQueue): Promise<void> {
    const { partition } = queue.lease
    const items = await this.#outboxItems(partition, queue.receiver)
    if (items.length === 0) return
    await this.#deliver(queue, queue.outbox, await this.#composed(queue, items))
  }

  async #outboxItems(partition: number, receiver: Receiver): Promise<PendingItem[]> {
    const entries = await this.#options.alerts.outbox(partition, receiver.name, countFor(receiver))
    const parts = await this.#read(
      partition,
      entries.map(({ alert }) => alert),
    )
    return outboxItems(entries, parts, receiver.name)
  }

  /** Combines items with what other partitions have of the same groups; leaves out what waits. */
  async #composed(queue: DeliveryQueue, items: readonly PendingItem[]): Promise<readonly PendingItem[]> {
    const { receiver, lease } = queue
    const { groupWaitMs } = this.#options
    if (!receiver.takesGroups || groupWaitMs === 0) return items
    const timing = { now: this.#storeNow(queue), groupWaitMs }
    if (!sharable(items).some(item => hasWaited(item, timing))) return composeMessages(items, [], timing)
    // Read before the own items: what another partition has sent for both is then seen as taken.
    const others = await this.#surveyed(receiver)
    const current = await this.#outboxItems(lease.partition, receiver)
    const ofOthers = others.flatMap(({ partition, unsent }) => (partition === lease.partition ? [] : unsent))
    return composeMessages(current, ofOthers, timing)
  }

  /** What all partitions have for a receiver; the queues of one visit share it. */
  #surveyed(receiver: Receiver): Promise<Survey> {
    const now = this.#options.clock.monotonicMs()
    const known = this.#surveys.get(receiver.name)
    if (known !== undefined && now - known.at < SURVEY_MS) return known.survey
    const survey = this.#survey(receiver)
    this.#surveys.set(receiver.name, { at: now, survey })
    return survey
  }

  #survey(receiver: Receiver): Promise<Survey> {
    const read = async (partition: number) => {
      // A partition that cannot be read must not delay the others: at worst it sends its own.
      const items = await this.#outboxItems(partition, receiver).catch(() => [])
      return { partition, unsent: sharable(items) }
    }
    return Promise.all(Array.from({ length: this.#options.partitions }, (_, partition) => read(partition)))
  }

  /** Sends what the receiver refused and has not taken since. */
  async #retry(queue: DeliveryQueue): Promise<void> {
    const { alerts, clock } = this.#options
    const { lease, receiver } = queue
    const due = { now: this.#storeNow(queue), count: countFor(receiver) }
    const ids = await alerts.dueRetries(lease.partition, receiver.name, due)
    const parts = await this.#read(lease.partition, ids)
    queue.retries.refusals = 0
    await this.#deliver(queue, queue.retries, retryItems(ids, parts, receiver.name))
    // Each has pauses of its own, so one that the receiver would take never waits for others.
    if (queue.retries.refusals > 0) queue.retries.notBefore = clock.monotonicMs() + RETRY_ROUND_MS
  }

  async #read(partition: number, alertIds: readonly string[]): Promise<ReadonlyMap<string, AlertParts | null>> {
    const ids = [...new Set(alertIds)]
    const parts = await this.#options.alerts.read(partition, ids)
    return new Map(ids.map((id, i) => [id, parts[i] ?? null]))
  }

  /** Sends items in batches. Ends early when the receiver fails or the lease is lost. */
  async #deliver(queue: DeliveryQueue, lane: Lane, items: readonly PendingItem[]): Promise<void> {
    const { alerts, clock, retryMaxMs } = this.#options
    const { lease, receiver } = queue
    const isFull = queue.pending.count >= RETRIES_MAX
    const results = new Results({ retryMaxMs, isFull, random: clock.random })
    for (let start = 0; start < items.length; ) {
      const batch = takeBatch(items, start, receiver.batchMax)
      if (!this.#mayDeliver(lease)) return
      const outcome = await this.#sendSplit(queue, lane, batch, results)
      if (outcome?.kind === 'failed') results.expire(items.slice(start), outcome, this.#storeNow(queue))
      const recorded = results.take()
      if (recorded !== undefined) {
        this.#countDead(receiver, lease, recorded.dead)
        const states = receiver.kind === 'none' ? [] : recorded.alerts
        const deliveries = { ...recorded, alerts: states, receiver: receiver.name, receivers: this.names }
        if (!(await alerts.recordDeliveries(lease, deliveries))) return
        if (lane === queue.retries && states.some(({ state }) => state.told_resolved)) remindSoon(queue)
      }
      if (outcome !== undefined) return
      start += batch.length
    }
  }

  /**
   * Sends items in one request. Of a refused batch it sends either half, down to the items that are
   * refused. Returns a value if the lane must pause: the receiver failed or refuses everything.
   */
  async #sendSplit(
    queue: DeliveryQueue,
    lane: Lane,
    items: readonly PendingItem[],
    results: Results,
  ): Promise<Delivery | undefined> {
    const { clock } = this.#options
    const sent = items.flatMap(({ alert, notification }) =>
      notification === undefined || results.isRefused(alert) ? [] : [notification],
    )
    const delivery = sent.length === 0 ? DELIVERED : await this.#send(queue, sent)
    if (delivery.kind === 'failed') return delivery
    if (delivery.kind === 'delivered') {
      if (sent.length > 0) lane.refusals = 0
      this.#count(queue.receiver, 'delivered', countOf(sent))
      await this.#recordGroups(queue.receiver, sent)
      for (const item of items) results.taken(item, this.#storeNow(queue))
      return undefined
    }
    if (items.length > 1) {
      const middle = items.length >> 1
      return (
        (await this.#sendSplit(queue, lane, items.slice(0, middle), results)) ??
        (await this.#sendSplit(queue, lane, items.slice(middle), results))
      )
    }
    this.#recordRefusal(queue, sent, delivery)
    for (const item of items) results.refused(item, delivery, this.#storeNow(queue))
    lane.refusals++
    if (lane.refusals < lane.refusalsMax) return undefined
    lane.notBefore = clock.monotonicMs() + backoffMs(lane.refusals - lane.refusalsMax + 1, BACKOFF, clock.random)
    return delivery
  }

  /** Records what a receiver took of other partitions before this one records its own. */
  async #recordGroups({ name }: Receiver, sent: readonly Notification[]): Promise<void> {
    const members = sent.flatMap(({ group }) => group?.members ?? [])
    const taken = members.map(one => ({ alert: one.record.id, status: one.status, number: numberOf(one) }))
    const byPartition = Map.groupBy(taken, ({ alert }) => partitionOfAlert(alert) ?? FLEET_PARTITION)
    await Promise.all(
      [...byPartition].map(([partition, ofPartition]) =>
        this.#options.alerts.recordTaken(partition, name, ofPartition),
      ),
    )
  }

  async #remind(queue: DeliveryQueue): Promise<void> {
    const { alerts, clock, resendMs } = this.#options
    const { lease } = queue
    const begin = clock.monotonicMs()
    const isFirst = queue.remindedAt === Number.NEGATIVE_INFINITY
    queue.reminderMs = isFirst ? resendMs : Math.max(resendMs, begin - queue.remindedAt)
    queue.remindedAt = begin
    // The first round is at once. From then on partitions differ, or all of them would send theirs
    // in one burst.
    queue.remindAt = begin + (isFirst ? clock.random() : 1) * resendMs
    for (let after: AlertAt | undefined; ; ) {
      const page = await alerts.list(lease.partition, { state: 'firing', after, count: REMINDED_MAX })
      if (page.length === 0) break
      after = page.at(-1)
      const ids = page.map(({ id }) => id)
      const parts = await alerts.read(lease.partition, ids)
      const takenBefore = this.#storeNow(queue) - (queue.remindsAll ? 0 : JUST_TAKEN_MS)
      const notifications = parts.flatMap(one => toReminder(one, queue.receiver.name, takenBefore))
      if (notifications.length === 0) continue
      if (!this.#mayDeliver(lease)) return
      // The next attempt repeats all of them.
      if (!(await this.#sendReminder(queue, notifications))) return
    }
    queue.remindsAll = false
  }

  /** Of a refused reminder sends either half. False when the receiver failed. */
  async #sendReminder(queue: DeliveryQueue, notifications: readonly Notification[]): Promise<boolean> {
    const delivery = await this.#send(queue, notifications)
    if (delivery.kind !== 'refused') return delivery.kind === 'delivered'
    if (notifications.length === 1) {
      this.#recordRefusal(queue, notifications, delivery)
      return true
    }
    const middle = notifications.length >> 1
    return (
      (await this.#sendReminder(queue, notifications.slice(0, middle))) &&
      (await this.#sendReminder(queue, notifications.slice(middle)))
    )
  }

  #storeNow({ storeAheadMs }: DeliveryQueue): number {
    return Math.round(this.#options.clock.monotonicMs() + storeAheadMs)
  }

  #mayDeliver(lease: Lease): boolean {
    return !this.#isStopped && this.#options.leases().some(held => nameOf(held) === nameOf(lease))
  }

  async #send(queue: DeliveryQueue, notifications: readonly Notification[]): Promise<Delivery> {
    const { clock, metrics, logFailure } = this.#options
    const { receiver, lease, reminderMs } = queue
    const begin = clock.monotonicMs()
    const delivery = await receiver.send(notifications, { now: this.#storeNow(queue), reminderMs })
    const end = clock.monotonicMs()
    if (receiver.kind !== 'none') metrics.seconds.observe((end - begin) / 1000)
    if (delivery.kind !== 'failed') {
      queue.failures = 0
      return delivery
    }
    queue.failures++
    queue.notBefore = end + backoffMs(queue.failures, BACKOFF, clock.random)
    // While it is unavailable it may lose its state.
    if (receiver.needsReminders) queue.remindAt = queue.notBefore
    if (delivery.retryAfterMs > 0) this.#pausedUntil.set(receiver.name, end + delivery.retryAfterMs)
    this.#count(receiver, 'failed', countOf(notifications))
    const { kind, origin: address } = receiver
    const fields = { receiver: kind, address, partition: lease.partition, response: delivery.body }
    logFailure(new Error(delivery.reason), 'a notification failed; retrying', fields)
    return delivery
  }

  #recordRefusal(
    { receiver, lease }: DeliveryQueue,
    notifications: readonly Notification[],
    { reason, body }: Extract<Delivery, { kind: 'refused' }>,
  ): void {
    const { logFailure } = this.#options
    const ids = notifications.slice(0, LOGGED_MAX).map(({ id }) => id)
    const { kind, origin: address } = receiver
    const fields = { receiver: kind, address, partition: lease.partition, notifications: ids, response: body }
    logFailure(new Error(reason), 'the receiver refused a notification; retrying', fields)
    this.#count(receiver, 'refused', countOf(notifications))
  }

  #countDead({ kind, origin: address }: Receiver, { partition }: Lease, dead: readonly { alert: string }[]): void {
    if (dead.length === 0) return
    const { log, metrics } = this.#options
    metrics.dead.inc(dead.length)
    const fields = { receiver: kind, address, partition, alerts: dead.slice(0, LOGGED_MAX).map(({ alert }) => alert) }
    log.error(
      { ...fields, count: dead.length },
      'notifications became dead letters; GET /dead/notifications lists them',
    )
  }

  #count({ kind }: Receiver, result: Delivery['kind'], notifications: number): void {
    if (kind !== 'none') this.#options.metrics.notifications.inc({ receiver: kind, result }, notifications)
  }
}

function countOf(notifications: readonly Notification[]): number {
  return notifications.reduce((sum, { group }) => sum + (group?.members.length ?? 1), 0)
}

const DELIVERED: Delivery = { kind: 'delivered' }

const NO_RETRIES: PendingNotifications['retries'][number] = { count: 0, dueAt: Number.POSITIVE_INFINITY }

function newQueue(lease: Lease, receiver: Receiver, resendMs: number): DeliveryQueue {
  return {
    lease,
    receiver,
    visitedAt: 0,
    failures: 0,
    notBefore: 0,
    remindAt: receiver.needsReminders ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY,
    remindedAt: Number.NEGATIVE_INFINITY,
    remindsAll: false,
    reminderMs: resendMs,
    outbox: { refusals: 0, refusalsMax: REFUSALS_MAX, notBefore: 0 },
    retries: { refusals: 0, refusalsMax: Number.POSITIVE_INFINITY, notBefore: 0 },
    pending: { ...NO_RETRIES, outbox: 0 },
    storeAheadMs: 0,
  }
}

/**
 * After a late end: another alert of the same key may fire already. Where labels identify alerts,
 * the receiver has ended that one too.
 */
function remindSoon(queue: DeliveryQueue): void {
  if (!queue.receiver.needsReminders) return
  queue.remindAt = Number.NEGATIVE_INFINITY
  queue.remindsAll = true
}

/** Identifies what was read or sent under a lease. */
export function nameOf({ partition, token }: Lease): string {
  return `${partition} ${token}`
}

function countFor({ batchMax, takesGroups }: Receiver): number {
  return Math.max(takesGroups ? SURVEYED_MAX : ENTRIES_MAX, batchMax)
}

function hasWork({ notBefore, remindAt, outbox, retries, pending, storeAheadMs }: DeliveryQueue, now: number): boolean {
  if (now < notBefore) return false
  if (pending.outbox > 0 && now >= outbox.notBefore) return true
  return now >= remindAt || (pending.dueAt <= now + storeAheadMs && now >= retries.notBefore)
}

/** Takes items from `start` with at most `max` notifications, unless the first alone has more. */
function takeBatch(items: readonly PendingItem[], start: number, max: number): PendingItem[] {
  const batch: PendingItem[] = []
  let count = 0
  for (const item of items.slice(start)) {
    if (item.notification !== undefined) count++
    if (batch.length > 0 && count > max) break
    batch.push(item)
  }
  return batch
}

/** Only an alert that is firing and whose receivers were notified some time ago has a reminder. */
function toReminder(parts: AlertParts | null, receiver: string, takenBefore: number): Notification[] {
  const number = parts?.notification?.told ?? 0
  if (parts === null || parts.end !== null || number === 0) return []
  if ((parts.receivers?.[receiver]?.told_at ?? 0) > takenBefore) return []
  return [{ id: `${parts.opening.id}:firing:${number}`, status: 'firing', record: assembleAlert(parts) }]
}
