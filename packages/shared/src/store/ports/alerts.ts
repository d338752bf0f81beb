import type { AlertCount } from '../../detection/alerts/alert-counts.ts'
import type {
  AlertEnd,
  AlertOpening,
  AlertParts,
  Feedback,
  NotificationState,
  OperatorState,
  ReceiverState,
} from '../../detection/alerts/record.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { Lease } from './lease.ts'

/** Openings and ends that a partition's feed keeps. */
export const ALERT_FEED_KEPT = 10_000

/**
 * Alerts in parts with one writer each: commits write opening and end (see `Commit.alerts`),
 * operators the operator state, the partition's owner the notification state. FLEET_PARTITION
 * keeps the alerts of the whole fleet. Methods may reject with a `StoreError`.
 */
export interface AlertStore {
  /** Reads a page, newest first: firing alerts by opening, resolved ones by resolution time. */
  list(partition: number, page: AlertPage): Promise<AlertAt[]>
  /** Counts the alerts of each partition. */
  count(partitions: readonly number[]): Promise<{ firing: number; resolved: number }[]>
  /** Reads alerts in the order given; null for an unknown id and for unreadable parts. */
  read(partition: number, ids: readonly string[]): Promise<(AlertParts | null)[]>

  /** Changes the given members and schedules a notification check; false unless the alert fires. */
  setOperatorState(partition: number, id: string, state: Partial<OperatorState>, checkAt: number): Promise<boolean>

  /** Stores what an operator thinks of an alert, and counts it once. False for an unknown alert. */
  setFeedback(partition: number, alert: AlertOpening, feedback: Feedback | null): Promise<boolean>
  /** Reads the alerts of the last days of some keys. A scan begins and ends with the cursor '0'. */
  keyAlertCounts(partition: number, page: { cursor: string; count: number }): Promise<KeyAlertCounts>
  /** Reads the alerts of the last days by rule; '' for the default policy. */
  ruleAlertCounts(partitions: readonly number[]): Promise<ReadonlyMap<string, readonly AlertCount[]>[]>

  /**
   * Returns the partitions that may have a notification check or a retry of one of `receivers`
   * scheduled, however far ahead. At rest it is a single small read.
   */
  scheduled(partitions: readonly number[], receivers: readonly string[]): Promise<number[]>
  /**
   * Reads the checks due by the store's clock or within `aheadMs`, the longest due first, at most
   * `count`.
   */
  dueNotifications(partition: number, count: number, aheadMs?: number): Promise<DueNotifications>
  /**
   * Stores states and fills the outbox, all or nothing; undefined when the caller lost the lease.
   * What makes room in a full outbox becomes a dead letter of each of `receivers` that did not
   * handle it yet. Returns how many there are.
   */
  recordNotifications(
    lease: Lease,
    decisions: readonly NotificationDecision[],
    receivers: readonly string[],
  ): Promise<number | undefined>
  /** Measures what is pending in each partition. */
  pendingNotifications(partitions: readonly number[], receivers: readonly string[]): Promise<PendingNotifications[]>
  /** Reads the outbox entries that a receiver has yet to handle, oldest first, at most `count`. */
  outbox(partition: number, receiver: string, count: number): Promise<OutboxEntry[]>
  /** Reads the alerts to retry for a receiver by `now`, the longest due first, at most `count`. */
  dueRetries(partition: number, receiver: string, due: { now: number; count: number }): Promise<string[]>
  /**
   * Records what became of a receiver's pending notifications. What all of `receivers` handled
   * leaves the outbox. False when the caller does not hold the lease.
   */
  recordDeliveries(lease: Lease, deliveries: Deliveries): Promise<boolean>
  /**
   * Records that a receiver took notifications in a message about several alerts, which the owner
   * of another partition may have sent. They stay in the outbox, and need not be sent again.
   */
  recordTaken(partition: number, receiver: string, taken: readonly Omit<OutboxEntry, 'id'>[]): Promise<void>

  /** Reads dead letters of notifications, newest first; `upTo` is included. */
  deadNotifications(
    partition: number,
    range: { upTo?: EntryId | undefined; count: number },
  ): Promise<DeadNotification[]>
  /** Schedules what is pending of the alert for the letter's receiver, and deletes the letter. */
  redriveNotification(partition: number, letter: DeadNotification): Promise<'scheduled' | 'unknown' | 'alert-unknown'>
  /** False when there is no such dead letter. */
  discardDeadNotification(partition: number, id: EntryId): Promise<boolean>

  /** Reads openings and ends after `after` in commit order. Only the newest are kept. */
  feed(partition: number, after: EntryId, count: number): Promise<AlertFeedEntry[]>
  /** Does the same in several partitions, in the order given; `count` is for each of them. */
  feeds(positions: readonly FeedPosition[], count: number): Promise<AlertFeedEntry[][]>
  /** Counts the entries that each partition's feed ever dropped to stay within its bound. */
  feedTrimmed(partitions: readonly number[]): Promise<number[]>
  /** Counts the keys that were ever analysed, by partition. */
  keyCounts(partitions: readonly number[]): Promise<number[]>
  /** Reads the storm state that was saved last; null when none was. */
  loadStorm(): Promise<string | null>
  /**
   * Saves the storm state and the alert changes that follow from it, all or nothing. The lease is
   * that of FLEET_PARTITION; false when the caller does not hold it.
   */
  saveStorm(lease: Lease, saved: SavedStorm): Promise<boolean>
}

export interface KeyAlertCounts {
  readonly next: string
  /** A key can be in more than one page of a scan. */
  readonly keys: readonly (readonly [key: string, counts: readonly AlertCount[]])[]
}

export interface AlertAt {
  readonly id: string
  /** When it opened, or was resolved: Unix milliseconds. */
  readonly time: number
}

export interface AlertPage {
  readonly state: 'firing' | 'resolved'
  /** The page begins after it by falling time, then falling id (code units). It may be deleted. */
  readonly after?: AlertAt | undefined
  readonly count: number
}

export interface DueNotifications {
  /** The store's clock, Unix milliseconds. */
  readonly now: number
  readonly alerts: readonly { readonly id: string; readonly parts: AlertParts; readonly dueAt: number }[]
}

export interface NotificationDecision {
  readonly id: string
  readonly notification: NotificationState
  /** From `dueNotifications`. If the alert changed since then, its check stays due. */
  readonly dueAt: number
  /** When to check again; null when only a change of the alert is a reason to. */
  readonly nextCheckAt: number | null
  /** The notification to send; null for none. */
  readonly notify: 'firing' | 'resolved' | null
}

/** A pending notification that an alert fires, or that it is resolved. */
export interface OutboxEntry {
  /** Its place in the outbox. */
  readonly id: EntryId
  readonly alert: string
  readonly status: 'firing' | 'resolved'
  /** Counts the alert's notifications from 1; the same for each delivery attempt. */
  readonly number: number
}

export interface PendingNotifications {
  /** Entries that at least one receiver has yet to handle, and the oldest of them. */
  readonly outbox: number
  readonly oldest: EntryId | null
  /** For each receiver, in the order given: refused alerts, and when the next one is due. */
  readonly retries: readonly { readonly count: number; readonly dueAt: number }[]
  /** Dead letters of notifications. */
  readonly dead: number
}

export interface Deliveries {
  readonly receiver: string
  /** The last outbox entry that was handled; undefined for a retry. */
  readonly upTo: EntryId | undefined
  readonly receivers: readonly string[]
  /** What the receiver has of these alerts now, and when to retry the rest; null for never. */
  readonly alerts: readonly { readonly id: string; readonly state: ReceiverState; readonly retryAt: number | null }[]
  readonly dead: readonly Omit<DeadNotification, 'id' | 'receiver'>[]
}

/** A notification that a receiver did not take within the time for retries. */
export interface DeadNotification extends Pick<OutboxEntry, 'alert' | 'status' | 'number'> {
  /** Its place among the dead letters of its partition. */
  readonly id: EntryId
  readonly receiver: string
  readonly reason: string
  /** When it was pending first, Unix milliseconds. */
  readonly since: number
}

export interface FeedPosition {
  readonly partition: number
  readonly after: EntryId
}

export interface AlertFeedEntry {
  readonly id: EntryId
  readonly kind: 'opened' | 'resolved'
  readonly alert: string
  readonly key: string
  readonly cause: AlertOpening['cause']['kind']
  readonly openedAt: number
  /** Of an opening: when the key's previous anomaly alert opened, 0 for none. */
  readonly openedBefore: number
  /** Of an end. */
  readonly resolvedAt: number
}

export interface SavedStorm {
  readonly state: string
  /** Replaces the one with the same id. */
  readonly opening: AlertOpening | null
  readonly end: { readonly id: string; readonly end: AlertEnd } | null
}

/** What a commit does to alerts. */
export interface AlertChanges {
  readonly opened: readonly OpenedAlert[]
  /** Opened by this or an earlier commit. */
  readonly ended: readonly EndedAlert[]
}

export interface OpenedAlert {
  readonly opening: AlertOpening
  /** When the key's previous anomaly alert opened; 0 for none. */
  readonly openedBefore: number
  /**
   * From the commit to the first notification check, so that a storm is detected before it.
   * Negative: before the checks of alerts that the commit ends.
   */
  readonly notifyAfterMs: number
}

export interface EndedAlert {
  readonly id: string
  readonly key: string
  readonly cause: AlertOpening['cause']['kind']
  readonly openedAt: number
  readonly end: AlertEnd
}
