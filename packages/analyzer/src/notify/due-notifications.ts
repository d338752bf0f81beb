import {
  decideNotification,
  notificationStateOf,
  suppressedUntil,
} from '@tidemark/shared/detection/alerts/notification'
import { type AlertRecord, assembleAlert, SUPPRESSORS } from '@tidemark/shared/detection/alerts/record'
import type { DueNotifications } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { NotifierOptions } from './options.ts'
import type { StormView } from './storm-view.ts'

/** Alerts decided on in one call of the store. */
const ALERTS_MAX = 100

/**
 * The end of a mute or a storm is not an event of the alert, so suppressed alerts are checked
 * again: after as long as they have been firing, within these bounds.
 */
const RECHECK_MIN_MS = 2000
const RECHECK_MAX_MS = 60_000

type Due = DueNotifications['alerts'][number]

/** Alerts decided on after the clock went back: their checks were scheduled by the former time. */
const RESCHEDULED_MAX = 10_000

/** The clock is checked several times a second, so a difference of this size is a jump. */
const JUMP_MIN_MS = 1000

/** No first notification is scheduled further ahead, see ALERT_WAIT_MS. */
const WAIT_MAX_MS = 60_000

/**
 * Decides on a partition's due notifications and fills its outbox, until the lease is lost. Returns
 * the store's clock, Unix milliseconds. `before` is what the last call returned: if the clock went
 * back since, an alert would otherwise wait for its notification until the clock has caught up.
 */
export async function processDueNotifications(
  lease: Lease,
  before: number,
  storm: StormView,
  options: NotifierOptions,
): Promise<number> {
  const { alerts, metrics, receivers } = options
  const names = receivers.map(({ name }) => name)
  const first = await alerts.dueNotifications(lease.partition, ALERTS_MAX)
  const aheadMs = before - first.now > JUMP_MIN_MS ? before - first.now + WAIT_MAX_MS : 0
  let found = aheadMs > 0 ? await alerts.dueNotifications(lease.partition, RESCHEDULED_MAX, aheadMs) : first
  for (;;) {
    const { now, alerts: due } = found
    if (due.length === 0) return now
    await storm.refresh()
    const decided = due.map(one => decide(one, now, storm, options))
    const decisions = decided.map(({ decision }) => decision)
    const dropped = await alerts.recordNotifications(lease, decisions, names)
    if (dropped === undefined) return now
    metrics.dropped.inc(dropped)
    metrics.dead.inc(dropped)
    for (const by of decided.flatMap(({ suppressedBy }) => suppressedBy)) metrics.suppressed.inc({ by })
    if (due.length < ALERTS_MAX || aheadMs > 0) return now
    found = await alerts.dueNotifications(lease.partition, ALERTS_MAX)
  }
}

/** `suppressedBy` is what suppresses the notification and did not before. */
function decide({ id, parts, dueAt }: Due, now: number, storm: StormView, { rules, waitMs }: NotifierOptions) {
  const before = assembleAlert(parts)
  const { key, cause, severity, opened_at } = before
  const waitUntil = waitsUntil(before, waitMs)
  if (waitUntil > now) {
    const notification = notificationStateOf(before)
    return { decision: { id, dueAt, notification, nextCheckAt: waitUntil, notify: null }, suppressedBy: [] }
  }
  const muted = key === null ? null : rules.current.mutedBy(key, now)
  // A storm consists of anomalies. Other alerts that open meanwhile have a cause of their own, and
  // a critical one must not wait for another's end.
  const isInStorm = cause.kind === 'anomaly' && severity !== 'critical' && storm.covers(opened_at)
  const { record, notify } = decideNotification(before, { now, muted, isInStorm })
  const nextCheckAt = nextCheckOf(record, now, muted)
  return {
    decision: { id, dueAt, notification: notificationStateOf(record), nextCheckAt, notify },
    suppressedBy: SUPPRESSORS.filter(by => record.suppressed[by] > before.suppressed[by]),
  }
}

/** Storms wait too: they start with the minimum of keys, and more keys follow. */
function waitsUntil({ cause, state, told, opened_at }: AlertRecord, waitMs: number): number {
  return cause.kind === 'storm' && state !== 'resolved' && told === 0 ? opened_at + waitMs : 0
}

function nextCheckOf(record: AlertRecord, now: number, muted: { readonly until: number } | null): number | null {
  const until = suppressedUntil(record, { muted })
  if (until === Number.POSITIVE_INFINITY) return null
  if (record.suppressed_by === 'snooze') return until
  const soon = now + Math.min(Math.max(now - record.opened_at, RECHECK_MIN_MS), RECHECK_MAX_MS)
  return record.suppressed_by === 'mute' ? Math.min(until, soon) : soon
}
