import { hash } from 'node:crypto'
import type { AlertGroup } from '@tidemark/shared/detection/alerts/grouping'
import type { AlertRecord } from '@tidemark/shared/detection/alerts/record'

export const RECEIVER_KINDS = ['alertmanager', 'webhook'] as const
export type ReceiverKind = (typeof RECEIVER_KINDS)[number] | 'none'

/** A message to a receiver: an alert is firing, or it is resolved. */
export interface Notification {
  /** The same in each attempt and unique otherwise, so that receivers can drop duplicates. */
  readonly id: string
  readonly status: 'firing' | 'resolved'
  /** As it is at the time of the attempt. */
  readonly record: AlertRecord
  /** What the message is about, if it is about several alerts: `members` includes this one. */
  readonly group?: AlertGroup<AlertRecord> & { readonly members: readonly Notification[] }
}

export type Delivery =
  | { readonly kind: 'delivered' }
  /** Perhaps because of this notification: it is retried on its own, and the next one is sent. */
  | ({ readonly kind: 'refused' } & Failure)
  /** Whatever is sent: nothing is within `retryAfterMs`; 0 if the receiver names no time. */
  | ({ readonly kind: 'failed'; readonly retryAfterMs: number } & Failure)

interface Failure {
  readonly reason: string
  /** Of HTTP, if there was a response. */
  readonly status?: number
  readonly body?: string
}

/** When a request is sent. The clocks of analyzers may be wrong, so it is not their time. */
export interface SendTime {
  /** By the store's clock, Unix milliseconds. */
  readonly now: number
  /** How long until the receiver is certainly reminded of the same alert. */
  readonly reminderMs: number
}

export interface Receiver {
  /** Identifies the receiver in the outbox: derived from its address, so it survives a restart. */
  readonly name: string
  readonly kind: ReceiverKind
  /** For logs: the part of its address that is no secret. */
  readonly origin: string
  readonly batchMax: number
  /** Whether a message to it may be about the alerts of a group. */
  readonly takesGroups: boolean
  /** Whether it resolves alerts on its own unless it is notified of them again and again. */
  readonly needsReminders: boolean
  /** Never rejects. */
  send(notifications: readonly Notification[], time: SendTime): Promise<Delivery>
}

/** Identifies a receiver by its address without disclosing it: parts of it may be secret. */
export function identifyReceiver(kind: ReceiverKind, url: string): Pick<Receiver, 'name' | 'kind' | 'origin'> {
  return { kind, name: `${kind}-${hash('sha256', url).slice(0, 12)}`, origin: new URL(url).origin }
}

/** Used where no receiver is configured: accepts everything, so that no outbox fills up. */
export const NO_RECEIVER: Receiver = {
  // Stored with each outbox, so it does not change.
  name: 'nobody',
  kind: 'none',
  origin: 'none',
  batchMax: 1000,
  takesGroups: false,
  needsReminders: false,
  send: async () => ({ kind: 'delivered' }),
}
