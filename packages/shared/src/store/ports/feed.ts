import type { EntryId } from '../../sample/receipt.ts'
import type { EntryVerdicts } from '../../verdict/kept-verdicts.ts'

/**
 * What a partition has a stream of: verdicts by entry, anomalies, openings and ends of alerts, and
 * other changes of alerts. Commits and operators write them whether or not a client reads.
 */
export const FEED_STREAMS = ['verdicts', 'anomalies', 'alerts', 'alert_changes'] as const
export type FeedStream = (typeof FEED_STREAMS)[number]

/** What a live feed can have. */
export const FEED_KINDS = ['analysis', 'anomaly', 'alert'] as const
export type FeedKind = (typeof FEED_KINDS)[number]

/** What happened to an alert. `updated`: a storm has grown. */
export const ALERT_CHANGES = ['opened', 'resolved', 'acknowledged', 'snoozed', 'updated'] as const
export type AlertChange = (typeof ALERT_CHANGES)[number]

/** Changes of alerts, other than openings and ends, that a partition keeps. */
export const ALERT_CHANGES_KEPT = 1000

export interface FeedStore {
  /**
   * Reads what follows each position, oldest first, up to about `bytesMax` of each stream but at
   * least one entry. On a single node this is one request, however many positions there are.
   * Methods may reject with a `StoreError`.
   */
  read(positions: readonly FeedPosition[], bytesMax: number): Promise<FeedPart[]>
}

export interface FeedPosition {
  readonly partition: number
  readonly stream: FeedStream
  /** Null for the end of the stream: nothing is read, and the position is returned. */
  readonly after: EntryId | null
  /** Whether the entry `after` is itself read again. */
  readonly isIncluded?: boolean
}

export interface FeedPart {
  readonly entries: readonly FeedEntry[]
  /** Where the next read continues. It is before `after` if the store has lost data. */
  readonly position: EntryId
  /** Whether something between `after` and the first entry may be no longer kept. */
  readonly hasGap: boolean
  readonly hasMore: boolean
}

/** Unreadable entries are left out. */
export type FeedEntry =
  | { readonly kind: 'verdicts'; readonly id: EntryId; readonly verdicts: EntryVerdicts }
  /** `analysis` is JSON. */
  | { readonly kind: 'anomaly'; readonly id: EntryId; readonly analysis: string }
  | { readonly kind: 'alert'; readonly id: EntryId; readonly alert: string; readonly change: AlertChange }
