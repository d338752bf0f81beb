import {
  decideNotification,
  notificationStateOf,
  suppressedUntil,
} from '@tidemark/shared/detection/alerts/notification'
import { type AlertRecord, assembleAlert, SUPPRESSORS, type Suppressor } from '@tidemark/shared/detection/alerts/record'
import type { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { AlertStore, DueNotifications, NotificationDecision } from '@tidemark/shared/store/ports/alerts'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { NotifyMetrics } from './metrics.ts'

/** Settled in one go. */
const NOTICES_MAX = 100

/**
 * A mute may be taken back, a storm may end, and nobody says so to each alert: those that are held back are asked about again
 * after as long as they have fired, within these bounds.
 */
const ASK_AGAIN_MIN_MS = 2000
const ASK_AGAIN_MAX_MS = 60_000

export interface NoticeOptions {
  readonly alerts: Pick<AlertStore, 'dueNotifications' | 'recordNotifications'>
  readonly rules: { readonly current: Pick<RuleSet, 'mutedBy'> }
  readonly storm: { covers(openedAt: number): boolean }
  readonly metrics: NotifyMetrics
  /** As the worker lets receivers wait. */
  readonly waitMs: number
}

type Due = DueNotifications['alerts'][number]

/** Decides what receivers are to be told of a partition's alerts, and puts it into the outbox. False when the lease is not ours. */
export async function settleDue(lease: Lease, options: NoticeOptions): Promise<boolean> {
  const { alerts, metrics } = options
  for (;;) {
    const { now, alerts: due } = await alerts.dueNotifications(lease.partition, NOTICES_MAX)
    if (due.length === 0) return true
    const decided = due.map(one => decide(one, now, options))
    if (
      !(await alerts.recordNotifications(
        lease,
        decided.map(({ settled }) => settled),
      ))
    )
      return false
    for (const by of decided.flatMap(({ heldBack }) => heldBack)) metrics.suppressed.inc({ by })
    if (due.length < NOTICES_MAX) return true
  }
}

function decide(
  { id, parts, dueAt }: Due,
  now: number,
  { rules, storm, waitMs }: NoticeOptions,
): { readonly settled: NotificationDecision; readonly heldBack: readonly Suppressor[] } {
  const before = assembleAlert(parts)
  const waitUntil = waitsUntil(before, waitMs)
  if (waitUntil > now) {
    return {
      settled: { id, dueAt, notification: notificationStateOf(before), nextCheckAt: waitUntil, notify: null },
      heldBack: [],
    }
  }
  const muted = before.key === null ? null : rules.current.mutedBy(before.key, now)
  // Storms are made of anomalies. What else opens meanwhile has a cause of its own.
  const isInStorm = before.cause.kind === 'anomaly' && storm.covers(before.opened_at)
  const { record, notify: tell } = decideNotification(before, { now, muted, isInStorm })
  return {
    settled: {
      id,
      dueAt,
      notification: notificationStateOf(record),
      nextCheckAt: askAgainAt(record, { now, muted }),
      notify: tell,
    },
    heldBack: SUPPRESSORS.filter(by => record.suppressed[by] > before.suppressed[by]),
  }
}

/** A storm is found with the first keys that make it one: a little later it can list the others too. */
function waitsUntil({ cause, state, told, opened_at }: AlertRecord, waitMs: number): number {
  return cause.kind === 'storm' && state !== 'resolved' && told === 0 ? opened_at + waitMs : 0
}

function askAgainAt(
  record: AlertRecord,
  { now, muted }: { readonly now: number; readonly muted: { readonly until: number } | null },
): number | null {
  const until = suppressedUntil(record, { muted })
  if (until === Number.POSITIVE_INFINITY) return null
  if (record.suppressed_by === 'snooze') return until
  const soon = now + Math.min(Math.max(now - record.opened_at, ASK_AGAIN_MIN_MS), ASK_AGAIN_MAX_MS)
  return record.suppressed_by === 'mute' ? Math.min(until, soon) : soon
}
