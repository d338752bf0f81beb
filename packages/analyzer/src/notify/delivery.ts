import { type AlertParts, assembleAlert } from '@tidemark/shared/detection/alerts/record'
import { backoffMs, type Clock } from '@tidemark/shared/runtime/clock'
import type { FailureLog } from '@tidemark/shared/runtime/logger'
import { compareEntryIds, type EntryId } from '@tidemark/shared/sample/receipt'
import type { AlertAt, AlertStore, OutboxEntry } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Logger } from 'pino'
import type { NotifyMetrics } from './metrics.ts'
import { type Delivery, NOBODY, type Notification, type Receiver } from './receiver.ts'

/** Before a receiver that failed is asked again: with the jitter 1 to 2 s at first, 30 to 60 s in the end. */
const BACKOFF = { minMs: 2000, maxMs: 60_000 }

/** Entries of the outbox in one visit, if the receiver takes no larger batch: a lane that has more is visited again. */
const ENTRIES_MAX = 20

/** Alerts that still fire in one reminder. */
const REMINDED_MAX = 100

/** Ids in one log line. */
const LOGGED_MAX = 10

/** Partitions that one receiver is told of at one time. */
const CONCURRENT_MAX = 16

export interface DeliveryOptions {
  readonly alerts: Pick<AlertStore, 'outbox' | 'read' | 'noteDelivered' | 'list'>
  readonly receivers: readonly Receiver[]
  /** Whether this analyzer may still act for the partition. */
  readonly holds: (lease: Lease) => boolean
  readonly metrics: NotifyMetrics
  readonly storeErrors: { inc(): void }
  readonly log: Logger
  readonly logFailure: FailureLog
  readonly clock: Clock
  readonly resendMs: number
}

/**
 * What one receiver is told of one partition, in the order of the outbox: one request at a time, the next one when it was taken
 * or refused. Reminders go the same way, so none of them overtakes the end of what it is about.
 */
interface Lane {
  readonly lease: Lease
  readonly receiver: Receiver
  running: Promise<void> | undefined
  visitedAt: number
  failures: number
  /** By the monotonic clock, like the next. */
  notBefore: number
  remindAt: number
  /** Up to here one by one: one of a batch was refused, and nobody knows which. */
  singlyUpTo: EntryId | undefined
}

/**
 * Brings receivers what is in the outboxes of the owned partitions. At least once: that an entry was delivered is noted after the
 * receiver took it, and whoever owns the partition after a crash delivers it again, under the same id.
 */
export class Deliveries implements AsyncDisposable {
  readonly #options: DeliveryOptions
  readonly #receivers: readonly Receiver[]
  readonly #lanes = new Map<string, Lane>()
  /** Until when a receiver wants to be left alone, as its Retry-After said; by the monotonic clock. */
  readonly #restUntil = new Map<string, number>()
  #isStopped = false

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#receivers = options.receivers.length > 0 ? options.receivers : [NOBODY]
  }

  /** Sees to the owned partitions, each with the number of entries in its outbox. Does not wait for receivers. */
  visit(owned: readonly { readonly lease: Lease; readonly waiting: number }[]): void {
    if (this.#isStopped) return
    const now = this.#options.clock.monotonicMs()
    this.#forgetLanes(new Set(owned.map(({ lease }) => nameOf(lease))))
    for (const receiver of this.#receivers) {
      const lanes = owned.map(({ lease, waiting }) => ({ lane: this.#laneOf(lease, receiver, now), waiting }))
      if (now < (this.#restUntil.get(receiver.name) ?? 0)) continue
      const busy = lanes.filter(({ lane }) => lane.running !== undefined).length
      const ready = lanes
        .filter(({ lane, waiting }) => lane.running === undefined && hasWork(lane, waiting, now))
        .sort((a, b) => a.lane.visitedAt - b.lane.visitedAt)
      for (const { lane } of ready.slice(0, Math.max(0, CONCURRENT_MAX - busy))) this.#start(lane, now)
    }
  }

  /** Lets requests that are under way come to their end, and notes what became of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    await Promise.all([...this.#lanes.values()].map(({ running }) => running))
  }

  #laneOf(lease: Lease, receiver: Receiver, now: number): Lane {
    const { clock, resendMs } = this.#options
    const name = `${receiver.name} ${nameOf(lease)}`
    const known = this.#lanes.get(name)
    if (known !== undefined) return known
    // Those of all partitions at once would be a burst, minute after minute.
    const remindAt = receiver.isForgetful ? now + clock.random() * resendMs : Number.POSITIVE_INFINITY
    const lane = {
      lease,
      receiver,
      running: undefined,
      visitedAt: 0,
      failures: 0,
      notBefore: 0,
      remindAt,
      singlyUpTo: undefined,
    }
    this.#lanes.set(name, lane)
    return lane
  }

  #forgetLanes(held: ReadonlySet<string>): void {
    for (const [name, { lease, running }] of this.#lanes) {
      if (running === undefined && !held.has(nameOf(lease))) this.#lanes.delete(name)
    }
  }

  #start(lane: Lane, now: number): void {
    const { logFailure, storeErrors } = this.#options
    lane.visitedAt = now
    lane.running = this.#serve(lane)
      .catch((error: unknown) => {
        storeErrors.inc()
        logFailure(error, 'the outbox could not be worked on')
      })
      .finally(() => {
        lane.running = undefined
      })
  }

  async #serve(lane: Lane): Promise<void> {
    const { alerts } = this.#options
    const { lease, receiver } = lane
    const entries = await alerts.outbox(lease.partition, receiver.name, Math.max(ENTRIES_MAX, receiver.batchMax))
    if (entries.length > 0) await this.#deliver(lane, entries)
    else if (this.#options.clock.monotonicMs() >= lane.remindAt) await this.#remind(lane)
  }

  /** Ends early when the receiver failed, or somebody else has the partition. */
  async #deliver(lane: Lane, entries: readonly OutboxEntry[]): Promise<void> {
    const { alerts } = this.#options
    const { lease, receiver } = lane
    const ids = [...new Set(entries.map(({ alert }) => alert))]
    const parts = await alerts.read(lease.partition, ids)
    const records = new Map(ids.map((id, i) => [id, parts[i] ?? null]))
    for (let start = 0; start < entries.length; ) {
      const isSingly = lane.singlyUpTo !== undefined && compareEntryIds(entries[start]?.id ?? '', lane.singlyUpTo) <= 0
      const batch = entries.slice(start, start + (isSingly ? 1 : receiver.batchMax))
      start += batch.length
      const last = batch.at(-1)
      // An alert that was forgotten meanwhile was over for long.
      const notifications = batch.flatMap(entry => toNotification(entry, records.get(entry.alert) ?? null))
      if (last === undefined || this.#isStopped || !this.#options.holds(lease)) return
      const delivery = notifications.length === 0 ? DELIVERED : await this.#send(lane, notifications)
      if (delivery.kind === 'failed') return
      if (delivery.kind === 'refused') {
        if (notifications.length > 1) {
          lane.singlyUpTo = last.id
          start -= batch.length
          continue
        }
        this.#logRefusal(lane, notifications, delivery.reason)
      }
      this.#count(receiver, delivery.kind, notifications.length)
      const receivers = this.#receivers.map(({ name }) => name)
      if (!(await alerts.noteDelivered(lease, { receiver: receiver.name, upTo: last.id, receivers }))) return
    }
  }

  /** Tells again of all that still fires. */
  async #remind(lane: Lane): Promise<void> {
    const { alerts, clock, resendMs } = this.#options
    const { lease } = lane
    lane.remindAt = clock.monotonicMs() + resendMs
    for (let after: AlertAt | undefined; ; ) {
      const page = await alerts.list(lease.partition, { state: 'firing', after, count: REMINDED_MAX })
      if (page.length === 0) return
      after = page.at(-1)
      const parts = await alerts.read(
        lease.partition,
        page.map(({ id }) => id),
      )
      const notifications = parts.flatMap(one => toReminder(one))
      if (notifications.length === 0) continue
      if (this.#isStopped || !this.#options.holds(lease)) return
      const delivery = await this.#send(lane, notifications)
      // What was not told this time is told with the next attempt, from the beginning.
      if (delivery.kind === 'failed') lane.remindAt = lane.notBefore
      if (delivery.kind === 'refused') this.#logRefusal(lane, notifications, delivery.reason)
      if (delivery.kind === 'refused') this.#count(lane.receiver, 'refused', notifications.length)
      if (delivery.kind === 'failed') return
    }
  }

  async #send(lane: Lane, notifications: readonly Notification[]): Promise<Delivery> {
    const { clock, metrics, logFailure } = this.#options
    const { receiver, lease } = lane
    const begin = clock.monotonicMs()
    const delivery = await receiver.send(notifications)
    const end = clock.monotonicMs()
    if (receiver.kind !== 'nobody') metrics.seconds.observe((end - begin) / 1000)
    if (delivery.kind !== 'failed') {
      lane.failures = 0
      return delivery
    }
    lane.failures++
    lane.notBefore = end + backoffMs(lane.failures, BACKOFF, clock.random)
    if (delivery.retryAfterMs > 0) this.#restUntil.set(receiver.name, end + delivery.retryAfterMs)
    this.#count(receiver, 'failed', notifications.length)
    const fields = { receiver: receiver.kind, address: receiver.title, partition: lease.partition }
    logFailure(new Error(delivery.reason), 'a receiver could not be told; it is tried again', fields)
    return delivery
  }

  #logRefusal({ receiver, lease }: Lane, notifications: readonly Notification[], reason: string): void {
    const ids = notifications.slice(0, LOGGED_MAX).map(({ id }) => id)
    const { kind, title: address } = receiver
    const fields = { receiver: kind, address, partition: lease.partition, notifications: ids }
    this.#options.log.error({ ...fields, reason }, 'a receiver refuses what it is told; it is passed over')
  }

  #count({ kind }: Receiver, result: Delivery['kind'], notifications: number): void {
    if (kind !== 'nobody') this.#options.metrics.notifications.inc({ receiver: kind, result }, notifications)
  }
}

function nameOf({ partition, token }: Lease): string {
  return `${partition} ${token}`
}

const DELIVERED: Delivery = { kind: 'delivered' }

function hasWork({ notBefore, remindAt }: Lane, waiting: number, now: number): boolean {
  return now >= notBefore && (waiting > 0 || now >= remindAt)
}

function toNotification({ alert, status, number }: OutboxEntry, parts: AlertParts | null): Notification[] {
  return parts === null ? [] : [{ id: `${alert}:${status}:${number}`, status, record: assembleAlert(parts) }]
}

/** Only of what was told, and is not over. */
function toReminder(parts: AlertParts | null): Notification[] {
  if (parts === null || parts.end !== null || parts.notification === null || parts.notification.told === 0) return []
  const { id } = parts.opening
  return [{ id: `${id}:firing:${parts.notification.told}`, status: 'firing', record: assembleAlert(parts) }]
}
