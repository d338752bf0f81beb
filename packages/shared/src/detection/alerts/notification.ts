import type { AlertRecord, Note, NoteUntil, NotificationState, Suppressor } from './record.ts'

export type ActionOutcome =
  | { readonly kind: 'done'; readonly record: AlertRecord }
  | { readonly kind: 'refused'; readonly reason: string }

export function acknowledge(record: AlertRecord, note: Note): ActionOutcome {
  return outcomeOf({ ...record, acknowledged: note }, refusalOf(record, note))
}

/** Snoozes an alert: receivers are notified again at `until` if it still fires. */
export function snooze(record: AlertRecord, note: NoteUntil): ActionOutcome {
  const reason = note.until > note.at ? refusalOf(record, note) : 'until must be in the future'
  return outcomeOf({ ...record, snoozed: note }, reason)
}

/** Ends a snooze: receivers are notified again now if the alert still fires. */
export function endSnooze(record: AlertRecord, note: Note): ActionOutcome {
  const isOver = record.snoozed === null || record.snoozed.until <= note.at
  const reason = isOver ? 'the alert is not snoozed' : refusalOf(record, note)
  return outcomeOf({ ...record, snoozed: { ...note, until: note.at } }, reason)
}

function outcomeOf(record: AlertRecord, refusal: string | undefined): ActionOutcome {
  return refusal === undefined ? { kind: 'done', record } : { kind: 'refused', reason: refusal }
}

function refusalOf(record: AlertRecord, { who, why }: Note): string | undefined {
  if (record.state === 'resolved') return 'the alert is already resolved'
  if (who === '') return 'who must not be empty'
  return why === '' ? 'why must not be empty' : undefined
}

/** A storm of so many times the keys is notified again. */
const GROWTH = 2

/** What may suppress an alert's notification, besides a snooze. */
export interface Suppression {
  readonly now: number
  /** As `RuleSet.mutedBy` returns it. */
  readonly muted: { readonly until: number } | null
  readonly isInStorm: boolean
}

/**
 * Decides what receivers are notified of, and updates the record: `firing` once, and again after a
 * snooze or when a storm has grown; `resolved` if they were notified that it fires. A suppressed
 * notification is counted once for each suppressor, and sent when none is left and the alert still
 * fires. Called after each change of the record and at `suppressedUntil`; a second call decides
 * nothing.
 */
export function decideNotification(
  record: AlertRecord,
  suppression: Suppression,
): { readonly record: AlertRecord; readonly notify: 'firing' | 'resolved' | null } {
  if (record.state === 'resolved') {
    const notify = record.told > 0 && !record.told_resolved ? 'resolved' : null
    return { record: { ...record, suppressed_by: null, told_resolved: record.told > 0 }, notify }
  }
  if (!isDue(record)) return { record, notify: null }
  const by = suppressorOf(record, suppression)
  if (by === null) {
    const { cause } = record
    const keys = cause.kind === 'storm' ? { told_keys: cause.key_count } : {}
    const notified = { suppressed_by: null, told: record.told + 1, told_at: suppression.now, ...keys }
    return { record: { ...record, ...notified }, notify: 'firing' }
  }
  if (by === record.suppressed_by) return { record, notify: null }
  const suppressed = { ...record.suppressed, [by]: record.suppressed[by] + 1 }
  return { record: { ...record, suppressed_by: by, suppressed }, notify: null }
}

/** Returns when to decide on an unchanged alert again; Infinity when that is not needed. */
export function suppressedUntil(record: AlertRecord, { muted }: Pick<Suppression, 'muted'>): number {
  if (record.state === 'resolved' || !isDue(record)) return Number.POSITIVE_INFINITY
  return Math.max(record.snoozed?.until ?? 0, muted?.until ?? 0)
}

/** Whether a notification that the alert fires is due: initially, grown twofold, after a snooze. */
function isDue({ told, told_at, told_keys, snoozed, cause }: AlertRecord): boolean {
  if (told === 0 || (snoozed !== null && told_at < snoozed.until)) return true
  return cause.kind === 'storm' && told_keys !== undefined && cause.key_count >= GROWTH * told_keys
}

export function notificationStateOf(record: AlertRecord): NotificationState {
  const { told, told_at, told_resolved, suppressed_by, suppressed, told_keys } = record
  const state = { told, told_at, told_resolved, suppressed_by, suppressed }
  return told_keys === undefined ? state : { ...state, told_keys }
}

function suppressorOf(record: AlertRecord, { now, muted, isInStorm }: Suppression): Suppressor | null {
  if (muted !== null && muted.until > now) return 'mute'
  if (record.snoozed !== null && record.snoozed.until > now) return 'snooze'
  return isInStorm ? 'storm' : null
}
