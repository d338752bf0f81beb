import { type AlertParts, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { backoffMs } from '@tidemark/shared/runtime/clock'
import { compareEntryIds, type EntryId } from '@tidemark/shared/sample/receipt'
import type { AlertAt, OutboxEntry } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import { attempt } from '../repeat.ts'
import type { NotifierOptions } from './options.ts'
import { type Delivery, NO_RECEIVER, type Notification, type Receiver } from './receiver.ts'

/** Pauses after failures: with the jitter 1 to 2 s at first, 30 to 60 s in the end. */
const BACKOFF = { minMs: 2000, maxMs: 60_000 }

/** Entries read from the outbox per visit, unless the receiver takes larger batches. */
const ENTRIES_MAX = 20

/** Firing alerts in one reminder. */
const REMINDED_MAX = 100

/** Ids in one log line. */
const LOGGED_MAX = 10

/** Concurrent requests to one receiver: one per partition. */
const CONCURRENT_MAX = 16

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
  /** By the monotonic clock, like the next. */
  notBefore: number
  remindAt: number
  /** Entries up to this one are sent one by one: a batch with one of them was refused. */
  singlyUpTo?: EntryId
}

/** Delivers the outboxes at least once: the next owner repeats an unrecorded delivery, same id. */
export class Deliveries implements AsyncDisposable {
  readonly #options: NotifierOptions
  readonly #receivers: readonly Receiver[]
  readonly #queues = new Map<string, DeliveryQueue>()
  /** When a receiver takes requests again, by its Retry-After and the monotonic clock. */
  readonly #pausedUntil = new Map<string, number>()
  #isStopped = false

  constructor(options: NotifierOptions) {
    this.#options = options
    this.#receivers = options.receivers.length > 0 ? options.receivers : [NO_RECEIVER]
  }

  /** Starts due deliveries of the owned partitions. Does not wait for receivers. */
  visit(owned: readonly { readonly lease: Lease; readonly waiting: number }[]): void {
    if (this.#isStopped) return
    const now = this.#options.clock.monotonicMs()
    const held = new Set(owned.map(({ lease }) => nameOf(lease)))
    for (const [name, { lease, running }] of this.#queues) {
      if (running === undefined && !held.has(nameOf(lease))) this.#queues.delete(name)
    }
    for (const receiver of this.#receivers) {
      const queues = owned.map(({ lease, waiting }) => ({ queue: this.#queueOf(lease, receiver, now), waiting }))
      if (now < (this.#pausedUntil.get(receiver.name) ?? 0)) continue
      const busy = queues.filter(({ queue }) => queue.running !== undefined).length
      const ready = queues
        .filter(({ queue, waiting }) => queue.running === undefined && hasWork(queue, waiting, now))
        .sort((a, b) => a.queue.visitedAt - b.queue.visitedAt)
      for (const { queue } of ready.slice(0, Math.max(0, CONCURRENT_MAX - busy))) this.#start(queue, now)
    }
  }

  /** Waits for the requests that are running, and records their results. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    await Promise.all([...this.#queues.values()].map(({ running }) => running))
  }

  #queueOf(lease: Lease, receiver: Receiver, now: number): DeliveryQueue {
    const { clock, resendMs } = this.#options
    const name = `${receiver.name} ${nameOf(lease)}`
    const known = this.#queues.get(name)
    if (known !== undefined) return known
    // At a random time, or all partitions would send their reminders in one burst.
    const remindAt = receiver.needsReminders ? now + clock.random() * resendMs : Number.POSITIVE_INFINITY
    const queue = { lease, receiver, visitedAt: 0, failures: 0, notBefore: 0, remindAt }
    this.#queues.set(name, queue)
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
    const { alerts } = this.#options
    const { lease, receiver } = queue
    const entries = await alerts.outbox(lease.partition, receiver.name, Math.max(ENTRIES_MAX, receiver.batchMax))
    if (entries.length > 0) await this.#deliver(queue, entries)
    else if (this.#options.clock.monotonicMs() >= queue.remindAt) await this.#remind(queue)
  }

  /** Ends early when the receiver fails or the lease is lost. */
  async #deliver(queue: DeliveryQueue, entries: readonly OutboxEntry[]): Promise<void> {
    const { alerts } = this.#options
    const { lease, receiver } = queue
    const ids = [...new Set(entries.map(({ alert }) => alert))]
    const parts = await alerts.read(lease.partition, ids)
    const records = new Map(ids.map((id, i) => [id, parts[i] ?? null]))
    for (let start = 0; start < entries.length; ) {
      const { singlyUpTo } = queue
      const isSingly = singlyUpTo !== undefined && compareEntryIds(entries[start]?.id ?? '', singlyUpTo) <= 0
      const batch = entries.slice(start, start + (isSingly ? 1 : receiver.batchMax))
      start += batch.length
      const last = batch.at(-1)
      // An alert whose record was evicted meanwhile was resolved long ago.
      const notifications = batch.flatMap(entry => toNotification(entry, records.get(entry.alert) ?? null))
      if (last === undefined || !this.#mayDeliver(lease)) return
      const delivery = notifications.length === 0 ? DELIVERED : await this.#send(queue, notifications)
      if (delivery.kind === 'failed') return
      if (delivery.kind === 'refused') {
        if (notifications.length > 1) {
          queue.singlyUpTo = last.id
          start -= batch.length
          continue
        }
        this.#recordRefusal(queue, notifications, delivery.reason)
      } else this.#count(receiver, 'delivered', notifications.length)
      const receivers = this.#receivers.map(({ name }) => name)
      if (!(await alerts.noteDelivered(lease, { receiver: receiver.name, upTo: last.id, receivers }))) return
    }
  }

  async #remind(queue: DeliveryQueue): Promise<void> {
    const { alerts, clock, resendMs } = this.#options
    const { lease } = queue
    queue.remindAt = clock.monotonicMs() + resendMs
    for (let after: AlertAt | undefined; ; ) {
      const page = await alerts.list(lease.partition, { state: 'firing', after, count: REMINDED_MAX })
      if (page.length === 0) return
      after = page.at(-1)
      const ids = page.map(({ id }) => id)
      const parts = await alerts.read(lease.partition, ids)
      const notifications = parts.flatMap(one => toReminder(one))
      if (notifications.length === 0) continue
      if (!this.#mayDeliver(lease)) return
      const delivery = await this.#send(queue, notifications)
      if (delivery.kind === 'refused') this.#recordRefusal(queue, notifications, delivery.reason)
      if (delivery.kind === 'failed') {
        // The next attempt repeats all of them.
        queue.remindAt = queue.notBefore
        return
      }
    }
  }

  #mayDeliver(lease: Lease): boolean {
    return !this.#isStopped && this.#options.leases().some(held => nameOf(held) === nameOf(lease))
  }

  async #send(queue: DeliveryQueue, notifications: readonly Notification[]): Promise<Delivery> {
    const { clock, metrics, logFailure } = this.#options
    const { receiver, lease } = queue
    const begin = clock.monotonicMs()
    const delivery = await receiver.send(notifications)
    const end = clock.monotonicMs()
    if (receiver.kind !== 'none') metrics.seconds.observe((end - begin) / 1000)
    if (delivery.kind !== 'failed') {
      queue.failures = 0
      return delivery
    }
    queue.failures++
    queue.notBefore = end + backoffMs(queue.failures, BACKOFF, clock.random)
    if (delivery.retryAfterMs > 0) this.#pausedUntil.set(receiver.name, end + delivery.retryAfterMs)
    this.#count(receiver, 'failed', notifications.length)
    const fields = { receiver: receiver.kind, address: receiver.origin, partition: lease.partition }
    logFailure(new Error(delivery.reason), 'a notification failed; retrying', fields)
    return delivery
  }

  #recordRefusal({ receiver, lease }: DeliveryQueue, notifications: readonly Notification[], reason: string): void {
    const ids = notifications.slice(0, LOGGED_MAX).map(({ id }) => id)
    const { kind, origin: address } = receiver
    const fields = { receiver: kind, address, partition: lease.partition, notifications: ids, reason }
    this.#options.log.error(fields, 'the receiver refused notifications; they are not retried')
    this.#count(receiver, 'refused', notifications.length)
  }

  #count({ kind }: Receiver, result: Delivery['kind'], notifications: number): void {
    if (kind !== 'none') this.#options.metrics.notifications.inc({ receiver: kind, result }, notifications)
  }
}

function nameOf({ partition, token }: Lease): string {
  return `${partition} ${token}`
}

const DELIVERED: Delivery = { kind: 'delivered' }

function hasWork({ notBefore, remindAt }: DeliveryQueue, waiting: number, now: number): boolean {
  return now >= notBefore && (waiting > 0 || now >= remindAt)
}

function toNotification({ alert, status, number }: OutboxEntry, parts: AlertParts | null): Notification[] {
  return parts === null ? [] : [{ id: `${alert}:${status}:${number}`, status, record: assembleAlert(parts) }]
}

/** Only an alert that is firing and whose receivers were notified has a reminder. */
function toReminder(parts: AlertParts | null): Notification[] {
  const number = parts?.notification?.told ?? 0
  if (parts === null || parts.end !== null || number === 0) return []
  return [{ id: `${parts.opening.id}:firing:${number}`, status: 'firing', record: assembleAlert(parts) }]
}
