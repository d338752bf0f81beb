import type { AlertRecord, Note, NoteUntil, NotificationState, Suppressor } from './record.ts'

/** What became of an operator's wish. */
export type ActionOutcome =
  | { readonly kind: 'done'; readonly record: AlertRecord }
  | { readonly kind: 'refused'; readonly reason: string }

/** Somebody takes care of it. */
export function acknowledge(record: AlertRecord, note: Note): ActionOutcome {
  const fault = noteFault(record, note)
  return fault === undefined
    ? { kind: 'done', record: { ...record, acknowledged: note } }
    : { kind: 'refused', reason: fault }
}

/** Receivers are told again at `until`, should it still fire then. */
export function snooze(record: AlertRecord, note: NoteUntil): ActionOutcome {
  const fault = note.until > note.at ? noteFault(record, note) : 'until must be in the future'
  return fault === undefined
    ? { kind: 'done', record: { ...record, snoozed: note } }
    : { kind: 'refused', reason: fault }
}

function noteFault(record: AlertRecord, { who, why }: Note): string | undefined {
  if (record.state === 'resolved') return 'the alert is resolved already'
  if (who === '') return 'who must not be empty'
  return why === '' ? 'why must not be empty' : undefined
}

/** What holds an alert's notification back, and until when as far as that is known. */
export interface Surroundings {
  readonly now: number
  /** As `RuleSet.mutedBy` says. */
  readonly muted: { readonly until: number } | null
  /** Whether a storm goes on that the alert belongs to. */
  readonly isInStorm: boolean
}

/**
 * Decides what receivers are to be told now, and notes it in the record: `firing` once, again after a snooze; `resolved` to those
 * who were told that it fires. What is suppressed is counted once for each suppressor, and told as soon as nothing holds it
 * back, if the alert still fires. To be asked after each change of the record and when `suppressedUntil` is over; asked twice it
 * says nothing twice.
 */
export function notice(
  record: AlertRecord,
  surroundings: Surroundings,
): { readonly record: AlertRecord; readonly tell: 'firing' | 'resolved' | null } {
  if (record.state === 'resolved') {
    const tell = record.told > 0 && !record.told_resolved ? 'resolved' : null
    return { record: { ...record, suppressed_by: null, told_resolved: record.told > 0 }, tell }
  }
  if (!isDue(record)) return { record, tell: null }
  const by = suppressorOf(record, surroundings)
  if (by === null) {
    const told = { suppressed_by: null, told: record.told + 1, told_at: surroundings.now }
    return { record: { ...record, ...told }, tell: 'firing' }
  }
  if (by === record.suppressed_by) return { record, tell: null }
  const suppressed = { ...record.suppressed, [by]: record.suppressed[by] + 1 }
  return { record: { ...record, suppressed_by: by, suppressed }, tell: null }
}

/** When to ask for an alert's notice again though nothing happened to it; Infinity when that is not needed. */
export function suppressedUntil(record: AlertRecord, { muted }: Pick<Surroundings, 'muted'>): number {
  if (record.state === 'resolved' || !isDue(record)) return Number.POSITIVE_INFINITY
  return Math.max(record.snoozed?.until ?? 0, muted?.until ?? 0)
}

/** Whether receivers have yet to be told that it fires: at first, and again after a snooze. */
function isDue({ told, told_at, snoozed }: AlertRecord): boolean {
  return told === 0 || (snoozed !== null && told_at < snoozed.until)
}

/** As much of a record as is kept of what receivers were told. */
export function notificationStateOf({
  told,
  told_at,
  told_resolved,
  suppressed_by,
  suppressed,
}: AlertRecord): NotificationState {
  return { told, told_at, told_resolved, suppressed_by, suppressed }
}

function suppressorOf(record: AlertRecord, { now, muted, isInStorm }: Surroundings): Suppressor | null {
  if (muted !== null && muted.until > now) return 'mute'
  if (record.snoozed !== null && record.snoozed.until > now) return 'snooze'
  return isInStorm ? 'storm' : null
}
