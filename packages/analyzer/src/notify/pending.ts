import {
  type AlertParts,
  type AlertRecord,
  assembleAlert,
  NOTHING_TAKEN,
  type ReceiverState,
} from '@tidemark/shared/detection/alerts/record'
import { type EntryId, entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { Deliveries, OutboxEntry } from '@tidemark/shared/store/ports/alerts'
import type { Delivery, Notification } from './receiver.ts'

/** The pause before an alert is sent again grows with the age of its notification. */
const RETRY_MIN_MS = 2000
const RETRY_MAX_MS = 60_000

/** Long enough to recognise what a receiver objects to. */
const REASON_LENGTH_MAX = 400

/** A notification that a receiver has yet to take. */
export interface PendingItem {
  readonly alert: string
  /** Undefined if nothing is to be sent: it was taken, or its alert is no longer kept. */
  readonly notification: Notification | undefined
  /** What the receiver took of the alert before. */
  readonly state: ReceiverState
  readonly since: number
  /** The outbox entry that is handled with this item; undefined for a retry. */
  readonly entry: EntryId | undefined
  /** Whether nothing more of a retried alert is pending after this item. */
  readonly completes: boolean
}

type Parts = ReadonlyMap<string, AlertParts | null>

/**
 * Returns what to send for outbox entries. A receiver that did not take the start of an alert gets
 * it before the end: an end without a start would mean nothing to it. An alert that is being
 * retried is left to the retry, which sends all that is pending of it.
 */
export function outboxItems(entries: readonly OutboxEntry[], parts: Parts, receiver: string): PendingItem[] {
  /** The newest start of each alert that the receiver took or that is among the items. */
  const told = new Map<string, number>()
  return entries.flatMap(({ id, alert, status, number }): PendingItem[] => {
    const one = parts.get(alert) ?? null
    const state = one?.receivers?.[receiver] ?? NOTHING_TAKEN
    const item = { alert, state, since: entryTimeMs(id), completes: false }
    const handled = { ...item, entry: id }
    if (one === null || state.failing_since > 0) return [{ ...handled, notification: undefined }]
    const record = assembleAlert(one)
    // What receivers took was not recorded by earlier versions. They sent each entry as it is.
    const isRecorded = one.receivers !== undefined
    const before = told.get(alert) ?? state.told
    const isTaken = status === 'firing' ? number <= before : state.told_resolved
    if (isRecorded && isTaken) return [{ ...handled, notification: undefined }]
    const lacksStart = isRecorded && status === 'resolved' && before === 0
    told.set(alert, Math.max(before, number))
    return [
      ...(lacksStart ? [{ ...item, entry: undefined, notification: notificationOf(record, 'firing', number) }] : []),
      { ...handled, notification: notificationOf(record, status, number) },
    ]
  })
}

/** Returns what is pending of alerts that a receiver refused: the newest start, and the end. */
export function retryItems(ids: readonly string[], parts: Parts, receiver: string): PendingItem[] {
  return ids.flatMap((alert): PendingItem[] => {
    const one = parts.get(alert) ?? null
    const state = one?.receivers?.[receiver] ?? NOTHING_TAKEN
    const item = { alert, state, since: state.failing_since, entry: undefined }
    if (one === null) return [{ ...item, notification: undefined, completes: true }]
    const record = assembleAlert(one)
    const notifications = [
      ...(state.told < record.told ? [notificationOf(record, 'firing', record.told)] : []),
      ...(record.told_resolved && !state.told_resolved ? [notificationOf(record, 'resolved', record.told)] : []),
    ]
    if (notifications.length === 0) return [{ ...item, notification: undefined, completes: true }]
    return notifications.map((notification, i) => ({
      ...item,
      notification,
      completes: i === notifications.length - 1,
    }))
  })
}

function notificationOf(record: AlertRecord, status: Notification['status'], number: number): Notification {
  return { id: `${record.id}:${status}:${number}`, status, record }
}

interface ResultsOptions {
  readonly retryMaxMs: number
  /** Of alerts that the receiver refused before and that are still retried. */
  readonly isFull: boolean
  readonly random: () => number
}

interface Outcome {
  state: ReceiverState
  retryAt: number | null
}

/** What became of items: collected while they are sent, and recorded after each request. */
export class Results {
  readonly #options: ResultsOptions
  readonly #states = new Map<string, ReceiverState>()
  readonly #refused = new Set<string>()
  #alerts = new Map<string, Outcome>()
  #dead: Deliveries['dead'][number][] = []
  #upTo: EntryId | undefined

  constructor(options: ResultsOptions) {
    this.#options = options
  }

  /** Whether the receiver refused a notification of this alert: later ones must wait for it. */
  isRefused(alert: string): boolean {
    return this.#refused.has(alert)
  }

  /** Notes that the receiver took an item, or that there was nothing to send. */
  taken(item: PendingItem, now: number): void {
    this.#upTo = item.entry ?? this.#upTo
    const { alert, notification, completes } = item
    if (this.#refused.has(alert) || (notification === undefined && !completes)) return
    const state = afterTaking(this.#stateOf(item), notification, now)
    // A retry that was not completed stays due.
    const isRetrying = state.failing_since > 0 && !completes
    this.#set(alert, isRetrying ? state : { ...state, failing_since: 0 }, isRetrying ? now : null)
  }

  /** Notes that the receiver refused an item: retried later, or dead after `retryMaxMs`. */
  refused(item: PendingItem, { reason, body }: Extract<Delivery, { kind: 'refused' }>, now: number): void {
    const { alert, since } = item
    const { retryMaxMs, isFull, random } = this.#options
    this.#upTo = item.entry ?? this.#upTo
    this.#refused.add(alert)
    const isRetried = item.state.failing_since > 0
    if (now - since >= retryMaxMs || (isFull && !isRetried)) {
      this.#bury(item, isFull && !isRetried ? 'too many notifications are being retried' : described(reason, body))
      return
    }
    const pause = Math.min(Math.max(now - since, RETRY_MIN_MS), RETRY_MAX_MS)
    const state = { ...this.#stateOf(item), failing_since: Math.min(since, now) }
    this.#set(alert, state, now + Math.round(pause / 2 + (random() * pause) / 2))
  }

  /** Turns items into dead letters that are too old when the receiver fails. */
  expire(items: readonly PendingItem[], { reason, body }: Extract<Delivery, { kind: 'failed' }>, now: number): void {
    for (const item of items) {
      const isOld = now - item.since >= this.#options.retryMaxMs
      // The outbox is in order, so no later entry is older.
      if (!isOld && item.entry !== undefined) break
      if (!isOld) continue
      this.#upTo = item.entry ?? this.#upTo
      if (item.notification !== undefined && !this.#refused.has(item.alert)) this.#bury(item, described(reason, body))
    }
  }

  /** Returns what to record since the last call; undefined if it is nothing. */
  take(): Omit<Deliveries, 'receiver' | 'receivers'> | undefined {
    const alerts = [...this.#alerts].map(([id, outcome]) => ({ id, ...outcome }))
    const [upTo, dead] = [this.#upTo, this.#dead]
    this.#alerts = new Map()
    this.#dead = []
    this.#upTo = undefined
    return alerts.length + dead.length > 0 || upTo !== undefined ? { upTo, alerts, dead } : undefined
  }

  #bury(item: PendingItem, reason: string): void {
    const { alert, notification, since } = item
    const state = this.#stateOf(item)
    this.#set(alert, { ...state, failing_since: 0 }, null)
    if (notification === undefined) return
    const { status, record } = notification
    this.#refused.add(alert)
    this.#dead.push({ alert, status, number: record.told, reason, since })
  }

  #stateOf({ alert, state }: PendingItem): ReceiverState {
    return this.#states.get(alert) ?? state
  }

  #set(alert: string, state: ReceiverState, retryAt: number | null): void {
    this.#states.set(alert, state)
    this.#alerts.set(alert, { state, retryAt })
  }
}

function afterTaking(state: ReceiverState, notification: Notification | undefined, now: number): ReceiverState {
  if (notification === undefined) return state
  if (notification.status === 'resolved') return { ...state, told_resolved: true }
  return { ...state, told: Math.max(state.told, numberOf(notification)), told_at: now }
}

/** Counts the notifications of an alert from 1. */
export function numberOf({ id }: Notification): number {
  return Number(id.split(':').at(-1))
}

function described(reason: string, body: string | undefined): string {
  return (body === undefined ? reason : `${reason}: ${body}`).slice(0, REASON_LENGTH_MAX)
}
