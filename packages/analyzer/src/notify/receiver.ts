import type { AlertRecord } from '@tidemark/shared/detection/alerts/record'

export const RECEIVER_KINDS = ['alertmanager', 'webhook'] as const
export type ReceiverKind = (typeof RECEIVER_KINDS)[number] | 'nobody'

/** What a receiver is to be told: that an alert fires, or that it is over. */
export interface Notification {
  /** The same on each attempt, and of nothing else: receivers know by it what they were told before. */
  readonly id: string
  readonly status: 'firing' | 'resolved'
  /** As it stands at the time of the attempt. */
  readonly record: AlertRecord
}

/** What became of an attempt. */
export type Delivery =
  | { readonly kind: 'delivered' }
  /** The receiver does not want it, and will not want it later. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** To be tried again, but not before `retryAfterMs`; 0 where the receiver does not say. */
  | { readonly kind: 'failed'; readonly reason: string; readonly retryAfterMs: number }

/** Somebody who is told of alerts. */
export interface Receiver {
  /** By which the outbox knows how far it was told: of its address, so the same after each start. */
  readonly name: string
  readonly kind: ReceiverKind
  /** For logs: its address as far as that is no secret. */
  readonly title: string
  /** Notifications in one request. */
  readonly batchMax: number
  /** It forgets what fires unless it is told again and again. */
  readonly isForgetful: boolean
  /** Does not reject. */
  send(notifications: readonly Notification[]): Promise<Delivery>
}

/** Stands for receivers where none is set: it takes everything, so that the outbox does not fill. */
export const NOBODY: Receiver = {
  ...{ name: 'nobody', kind: 'nobody', title: 'nobody', batchMax: 1000, isForgetful: false },
  send: async () => ({ kind: 'delivered' }),
}
