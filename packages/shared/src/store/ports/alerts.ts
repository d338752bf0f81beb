import type {
  AlertEnd,
  AlertOpening,
  AlertParts,
  NotificationState,
  OperatorState,
} from '../../detection/alerts/record.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { Lease } from './store.ts'

/** Openings and ends that a partition's feed keeps. */
export const ALERT_FEED_KEPT = 10_000

/**
 * Alerts as they are kept: four parts each, of which the commit writes the opening and the end (see `Commit.alerts`), operators
 * the care, and the partition's owner the telling. An alert of the whole fleet is kept by partition `FLEET_PARTITION`.
 * Methods may reject with a `StoreError`.
 */
export interface AlertStore {
  /** Alerts of a partition, newest first: firing ones by when they opened, resolved ones by when they were resolved. */
  list(partition: number, page: AlertPage): Promise<AlertAt[]>
  /** How many there are. */
  count(partitions: readonly number[]): Promise<AlertCounts[]>
  /** In the order asked; null where there is no such alert. */
  read(partition: number, ids: readonly string[]): Promise<(AlertParts | null)[]>
  /**
   * Notes what an operator did about a firing alert, what is not given staying as it is, and that receivers may have to be told at
   * `noticeAt`. False when it does not fire.
   */
  setOperatorState(partition: number, id: string, state: Partial<OperatorState>, noticeAt: number): Promise<boolean>

  /** Alerts of which receivers may have to be told by now, by the store's clock; the longest due first, at most `count`. */
  dueNotifications(partition: number, count: number): Promise<DueNotifications>
  /** Notes what receivers are told, and puts it into the outbox, all or nothing. False when the lease is not ours. */
  recordNotifications(lease: Lease, notices: readonly NotificationDecision[]): Promise<boolean>
  /** What a receiver was not told yet, oldest first, at most `count`. */
  outbox(partition: number, receiver: string, count: number): Promise<OutboxEntry[]>
  /**
   * Notes that `receiver` was told all up to `upTo`; what each of `receivers` was told leaves the outbox. False when the lease is
   * not ours.
   */
  noteDelivered(lease: Lease, delivered: Delivered): Promise<boolean>
  /** Entries in the outbox. */
  outboxLengths(partitions: readonly number[]): Promise<number[]>

  /** Openings and ends of a partition's alerts in the order of their commits, after `after`, at most `count`; only the newest are kept. */
  feed(partition: number, after: EntryId, count: number): Promise<AlertFeedEntry[]>
  /** Keys that were ever analysed. */
  keyCounts(partitions: readonly number[]): Promise<number[]>
  /** What was last saved of the watch for storms; null when nothing was. */
  loadStorm(): Promise<string | null>
  /** Saves it, and what it found, all or nothing. The lease is that of FLEET_PARTITION; false when it is not ours. */
  saveStorm(lease: Lease, saved: SavedStorm): Promise<boolean>
}

export interface AlertAt {
  readonly id: string
  /** When it opened, or was resolved: Unix milliseconds. */
  readonly time: number
}

export interface AlertPage {
  readonly state: 'firing' | 'resolved'
  /** The page begins after this one, which need not be there any more; by falling time, then by falling id (as code units). */
  readonly after?: AlertAt | undefined
  readonly count: number
}

export interface AlertCounts {
  readonly firing: number
  readonly resolved: number
}

export interface DueNotifications {
  /** The store's clock, Unix milliseconds. */
  readonly now: number
  readonly alerts: readonly { readonly id: string; readonly parts: AlertParts; readonly dueAt: number }[]
}

export interface NotificationDecision {
  readonly id: string
  readonly notification: NotificationState
  /** As `dueNotifications` gave it. An alert that was changed since, and so was not judged as it is now, stays due. */
  readonly dueAt: number
  /** When to ask again; null when only a change of the alert is a reason to. */
  readonly askAgainAt: number | null
  /** What receivers are to be told; null for nothing. */
  readonly tell: 'firing' | 'resolved' | null
}

/** Receivers are to be told that an alert fires, or that it is over. */
export interface OutboxEntry {
  /** Its place in the outbox. */
  readonly id: EntryId
  readonly alert: string
  readonly status: 'firing' | 'resolved'
  /** Which telling of that alert it is, from 1: with alert and status the same for each attempt to deliver it. */
  readonly number: number
}

export interface Delivered {
  readonly receiver: string
  readonly upTo: EntryId
  readonly receivers: readonly string[]
}

export interface AlertFeedEntry {
  readonly id: EntryId
  readonly kind: 'opened' | 'resolved'
  readonly alert: string
  readonly key: string
  /** What sort of alert: of silence and level shifts too. */
  readonly cause: AlertOpening['cause']['kind']
  readonly openedAt: number
  /** When the key's anomaly alert before this one opened, 0 for none; of an opening. */
  readonly openedBefore: number
  /** Of an end. */
  readonly resolvedAt: number
}

export interface SavedStorm {
  readonly state: string
  /** Written in the place of the one with its id. */
  readonly opening: AlertOpening | null
  readonly end: { readonly id: string; readonly end: AlertEnd } | null
}

/** What a commit does to alerts. */
export interface AlertChanges {
  readonly opened: readonly OpenedAlert[]
  /** Of this or an earlier commit. */
  readonly ended: readonly EndedAlert[]
}

export interface OpenedAlert {
  readonly opening: AlertOpening
  /** When the key's anomaly alert before this one opened; 0 for none. */
  readonly openedBefore: number
  /** How long after the commit receivers may first be told: however late it comes, a storm is found before. */
  readonly notifyAfterMs: number
}

export interface EndedAlert {
  readonly id: string
  readonly key: string
  readonly cause: AlertOpening['cause']['kind']
  readonly openedAt: number
  readonly end: AlertEnd
}
