import assert from 'node:assert/strict'
import { countName, dayOf, recentCounts, similarIn, withChange } from '../../detection/alerts/alert-counts.ts'
import {
  type AlertEnd,
  type AlertOpening,
  type AlertParts,
  type Feedback,
  FLEET_PARTITION,
  NOTHING_TAKEN,
  parseAlert,
  type ReceiverState,
  type StoredAlert,
} from '../../detection/alerts/record.ts'
import { compareEntryIds, ENTRY_ID_ZERO, type EntryId, entryTimeMs } from '../../sample/receipt.ts'
import {
  ALERT_FEED_KEPT,
  type AlertAt,
  type AlertPage,
  type AlertStore,
  type DeadNotification,
  type Deliveries,
  type DueNotifications,
  type EndedAlert,
  type NotificationDecision,
  type OpenedAlert,
  type OutboxEntry,
  type SavedStorm,
} from '../ports/alerts.ts'
import { ALERT_CHANGES_KEPT } from '../ports/feed.ts'
import { type Alerts, type Data, ownedBy, partitionAt } from './data.ts'

const NO_PARTS: StoredAlert = { opening: null, end: null, acknowledged: null, snoozed: null, notification: null }

export function alertsOn(data: Data): AlertStore {
  const alertsAt = (number: number): Alerts => partitionAt(data, number).alerts
  return {
    list: async (number, page) => pageOf(alertsAt(number), page),
    count: async numbers =>
      numbers.map(number => {
        const { firing, resolved } = alertsAt(number)
        return { firing: firing.size, resolved: resolved.size }
      }),
    read: async (number, ids) => ids.map(id => partsOf(alertsAt(number), id)),
    async setOperatorState(number, id, { acknowledged, snoozed }, checkAt) {
      const alerts = alertsAt(number)
      if (!alerts.firing.has(id)) return false
      for (const [change, note] of [
        ['acknowledged', acknowledged],
        ['snoozed', snoozed],
      ] as const) {
        if (note === undefined) continue
        setPart(alerts, id, change, note)
        alerts.changes.add({ alert: id, change }, data.now(), ALERT_CHANGES_KEPT)
      }
      scheduleCheck(alerts, id, checkAt)
      return true
    },

    setFeedback: async (number, opening, feedback) => setFeedback(alertsAt(number), opening, feedback),
    keyAlertCounts: async (number, { cursor, count }) => {
      const all = [...alertsAt(number).ofKeys]
      const from = Number(cursor)
      return { keys: all.slice(from, from + count), next: from + count < all.length ? String(from + count) : '0' }
    },
    ruleAlertCounts: async numbers => numbers.map(number => new Map(alertsAt(number).ofRules)),

    scheduled: async (numbers, receivers) =>
      numbers.filter(number => {
        const { notificationChecks, retries } = alertsAt(number)
        return notificationChecks.size > 0 || receivers.some(receiver => (retries.get(receiver)?.size ?? 0) > 0)
      }),
    dueNotifications: async (number, count, aheadMs = 0) =>
      dueNotifications(alertsAt(number), { count, now: data.now(), aheadMs }),
    async recordNotifications(lease, decisions, receivers) {
      const alerts = ownedBy(data, lease)?.alerts
      if (alerts === undefined) return undefined
      return decisions.reduce((dropped, decision) => dropped + recordOne(alerts, decision, receivers, data), 0)
    },
    pendingNotifications: async (numbers, receivers) =>
      numbers.map(number => {
        const { outbox, retries, deadNotifications } = alertsAt(number)
        return {
          outbox: outbox.entries.length,
          oldest: outbox.entries[0]?.id ?? null,
          retries: receivers.map(receiver => {
            const times = [...(retries.get(receiver)?.values() ?? [])]
            return { count: times.length, dueAt: Math.min(...times) }
          }),
          dead: deadNotifications.entries.length,
        }
      }),
    outbox: async (number, receiver, count) => {
      const { outbox, outboxPositions } = alertsAt(number)
      return outbox.after(outboxPositions.get(receiver) ?? ENTRY_ID_ZERO, count)
    },
    dueRetries: async (number, receiver, { now, count }) =>
      inOrder(alertsAt(number).retries.get(receiver) ?? new Map())
        .filter(({ time }) => time <= now)
        .slice(0, count)
        .map(({ id }) => id),
    async recordDeliveries(lease, deliveries) {
      const { receiver, upTo, receivers } = deliveries
      const alerts = ownedBy(data, lease)?.alerts
      if (alerts === undefined) return false
      recordResults(alerts, deliveries, data)
      const { outbox, outboxPositions: positions } = alerts
      if (upTo !== undefined && compareEntryIds(upTo, positions.get(receiver) ?? ENTRY_ID_ZERO) > 0) {
        positions.set(receiver, upTo)
      }
      const toAll = receivers.map(one => positions.get(one) ?? ENTRY_ID_ZERO).sort(compareEntryIds)[0]
      const kept = outbox.entries.filter(({ id }) => toAll === undefined || compareEntryIds(id, toAll) > 0)
      outbox.entries.splice(0, outbox.entries.length, ...kept)
      return true
    },
    async recordTaken(number, receiver, taken) {
      const alerts = alertsAt(number)
      for (const one of taken) if (alerts.parts.has(one.alert)) recordTaken(alerts, receiver, one, data)
    },
    deadNotifications: async (number, { upTo, count }) =>
      alertsAt(number)
        .deadNotifications.entries.filter(({ id }) => upTo === undefined || compareEntryIds(id, upTo) <= 0)
        .reverse()
        .slice(0, count),
    redriveNotification: async (number, letter) => redrive(alertsAt(number), letter, data),
    discardDeadNotification: async (number, id) => discard(alertsAt(number), id),

    feed: async (number, after, count) => alertsAt(number).feed.after(after, count),
    feeds: async (positions, count) =>
      positions.map(({ partition, after }) => alertsAt(partition).feed.after(after, count)),
    feedTrimmed: async numbers => numbers.map(number => alertsAt(number).feed.trimmed),
    keyCounts: async numbers => numbers.map(number => partitionAt(data, number).keys.size),
    loadStorm: async () => alertsAt(FLEET_PARTITION).storm,
    async saveStorm(lease, saved) {
      assert.equal(lease.partition, FLEET_PARTITION, 'the owner of the fleet partition saves storms')
      const alerts = ownedBy(data, lease)?.alerts
      if (alerts === undefined) return false
      saveStorm(alerts, saved, data)
      return true
    },
  }
}

/** Does nothing when the alert exists: the commit was sent twice. */
export function openAlert(alerts: Alerts, { opening, openedBefore, notifyAfterMs }: OpenedAlert, { now }: Data): void {
  const { id, key, cause, opened_at: openedAt } = opening
  if (alerts.parts.has(id)) return
  setPart(alerts, id, 'opening', opening)
  alerts.firing.set(id, openedAt)
  scheduleCheck(alerts, id, now() + notifyAfterMs)
  const event = { alert: id, key: key ?? '', cause: cause.kind, openedAt, openedBefore, resolvedAt: 0 }
  alerts.feed.add({ kind: 'opened', ...event }, now(), ALERT_FEED_KEPT)
  if (key !== null) countOpening(alerts, { ...opening, key })
}

function countOpening(
  alerts: Alerts,
  { id, key, rule, cause, opened_at: openedAt }: AlertOpening & { key: string },
): void {
  const { ofKeys, ofRules } = alerts
  const day = dayOf(openedAt)
  const opened = { day, opened: 1, useful: 0, noise: 0 }
  const before = recentCounts(ofKeys.get(key) ?? [], day)
  setPart(alerts, id, 'similar', similarIn(before, cause.kind))
  ofKeys.set(key, withChange(before, { ...opened, name: countName(cause.kind, rule) }))
  const rules = ofRules.get(rule ?? '')
  if (rules === undefined) {
    for (const [other, counts] of ofRules) if (recentCounts(counts, day).length === 0) ofRules.delete(other)
  }
  ofRules.set(rule ?? '', withChange(recentCounts(rules ?? [], day), { ...opened, name: '' }))
}

function setFeedback(alerts: Alerts, opening: AlertOpening, feedback: Feedback | null): boolean {
  const { id, key, rule, cause, opened_at: openedAt } = opening
  const parts = partsOf(alerts, id)
  if (parts === null) return false
  const marks = (useful: boolean): number =>
    Number(feedback?.useful === useful) - Number(parts.feedback?.useful === useful)
  setPart(alerts, id, 'feedback', feedback)
  const change = { day: dayOf(openedAt), opened: 0, useful: marks(true), noise: marks(false) }
  if (key === null || (change.useful === 0 && change.noise === 0)) return true
  const { ofKeys, ofRules } = alerts
  ofKeys.set(key, withChange(ofKeys.get(key) ?? [], { ...change, name: countName(cause.kind, rule) }))
  ofRules.set(rule ?? '', withChange(ofRules.get(rule ?? '') ?? [], { ...change, name: '' }))
  return true
}

/** Does nothing when the alert does not fire: the commit was sent twice. */
export function endAlert(alerts: Alerts, { id, key, cause, openedAt, end }: EndedAlert, data: Data): void {
  if (!resolve(alerts, id, end, data)) return
  const event = { alert: id, key, cause, openedAt, openedBefore: 0, resolvedAt: end.resolved_at }
  alerts.feed.add({ kind: 'resolved', ...event }, data.now(), ALERT_FEED_KEPT)
}

function saveStorm(alerts: Alerts, { state, opening, end }: SavedStorm, data: Data): void {
  alerts.storm = state
  if (opening !== null) {
    const change = alerts.parts.has(opening.id) ? 'updated' : 'opened'
    alerts.changes.add({ alert: opening.id, change }, data.now(), ALERT_CHANGES_KEPT)
    setPart(alerts, opening.id, 'opening', opening)
    if (!alerts.resolved.has(opening.id)) alerts.firing.set(opening.id, opening.opened_at)
    scheduleCheck(alerts, opening.id, data.now())
  }
  if (end !== null && resolve(alerts, end.id, end.end, data)) {
    alerts.changes.add({ alert: end.id, change: 'resolved' }, data.now(), ALERT_CHANGES_KEPT)
  }
}

/** False when the alert does not fire. */
function resolve(alerts: Alerts, id: string, end: AlertEnd, { alertsMax, now }: Data): boolean {
  if (!alerts.firing.delete(id)) return false
  setPart(alerts, id, 'end', end)
  alerts.resolved.set(id, end.resolved_at)
  scheduleCheck(alerts, id, now())
  for (const oldest of inOrder(alerts.resolved).slice(0, Math.max(0, alerts.resolved.size - alertsMax))) {
    for (const map of [alerts.parts, alerts.resolved, alerts.notificationChecks]) map.delete(oldest.id)
  }
  return true
}

function setPart({ parts }: Alerts, id: string, part: keyof StoredAlert, value: unknown): void {
  parts.set(id, { ...(parts.get(id) ?? NO_PARTS), [part]: JSON.stringify(value) })
}

/** A scheduled check always moves earlier: its reader can tell that the alert changed since. */
function scheduleCheck({ notificationChecks }: Alerts, id: string, at: number): void {
  const before = notificationChecks.get(id)
  notificationChecks.set(id, before === undefined ? at : Math.min(at, before - 1))
}

function dueNotifications(
  alerts: Alerts,
  { count, now, aheadMs }: { count: number; now: number; aheadMs: number },
): DueNotifications {
  const due: DueNotifications['alerts'][number][] = []
  for (const { id, time: dueAt } of inOrder(alerts.notificationChecks)) {
    if (dueAt > now + aheadMs || due.length === count) break
    const parts = partsOf(alerts, id)
    if (parts === null) alerts.notificationChecks.delete(id)
    else due.push({ id, parts, dueAt })
  }
  return { now, alerts: due }
}

/** Returns how many dead letters there are of the outbox entry that made room. */
function recordOne(alerts: Alerts, decision: NotificationDecision, receivers: readonly string[], data: Data): number {
  const { id, notification, dueAt, nextCheckAt, notify } = decision
  const { parts, notificationChecks: checks, outbox } = alerts
  const isKnown = parts.has(id)
  if (!isKnown || checks.get(id) === dueAt) checks.delete(id)
  if (!isKnown) return 0
  setPart(alerts, id, 'notification', notification)
  if (nextCheckAt !== null) checks.set(id, Math.min(nextCheckAt, checks.get(id) ?? nextCheckAt))
  if (notify === null) return 0
  const { told: number } = notification
  if (notify === 'firing' && number === 1) setPart(alerts, id, 'receivers', parts.get(id)?.receivers ?? {})
  const oldest = outbox.entries.length < data.outboxMax ? undefined : outbox.entries[0]
  outbox.add({ alert: id, status: notify, number }, data.now(), data.outboxMax)
  if (oldest === undefined) return 0
  const missed = receivers.filter(
    name => compareEntryIds(oldest.id, alerts.outboxPositions.get(name) ?? ENTRY_ID_ZERO) > 0,
  )
  const letter = { alert: oldest.alert, status: oldest.status, number: oldest.number, reason: 'the outbox was full' }
  const since = entryTimeMs(oldest.id)
  for (const receiver of missed) {
    alerts.deadNotifications.add({ ...letter, receiver, since }, data.now(), data.deadMax)
  }
  return missed.length
}

function recordResults(alerts: Alerts, { receiver, alerts: results, dead }: Deliveries, data: Data): void {
  const retries = alerts.retries.get(receiver) ?? new Map<string, number>()
  alerts.retries.set(receiver, retries)
  for (const { id, state, retryAt } of results) {
    retries.delete(id)
    if (!alerts.parts.has(id)) continue
    setReceiverState(alerts, id, receiver, state)
    if (retryAt !== null) retries.set(id, retryAt)
  }
  for (const one of dead) alerts.deadNotifications.add({ ...one, receiver }, data.now(), data.deadMax)
}

function setReceiverState(alerts: Alerts, id: string, receiver: string, state: ReceiverState): void {
  setPart(alerts, id, 'receivers', { ...partsOf(alerts, id)?.receivers, [receiver]: state })
}

function recordTaken(
  alerts: Alerts,
  receiver: string,
  { alert, status, number }: Omit<OutboxEntry, 'id'>,
  { now }: Data,
): void {
  const state = partsOf(alerts, alert)?.receivers?.[receiver] ?? NOTHING_TAKEN
  if (status === 'resolved') setReceiverState(alerts, alert, receiver, { ...state, told_resolved: true })
  else if (number > state.told) setReceiverState(alerts, alert, receiver, { ...state, told: number, told_at: now() })
}

function redrive(alerts: Alerts, { id, alert, receiver }: DeadNotification, { now }: Data) {
  if (alerts.deadNotifications.find(id) === undefined) return 'unknown'
  const parts = partsOf(alerts, alert)
  if (parts === null) return 'alert-unknown'
  const state = { ...NOTHING_TAKEN, ...parts.receivers?.[receiver], failing_since: now() }
  setReceiverState(alerts, alert, receiver, state)
  const retries = alerts.retries.get(receiver) ?? new Map<string, number>()
  alerts.retries.set(receiver, retries.set(alert, now()))
  discard(alerts, id)
  return 'scheduled'
}

function discard({ deadNotifications: { entries } }: Alerts, id: EntryId): boolean {
  const index = entries.findIndex(entry => entry.id === id)
  if (index >= 0) entries.splice(index, 1)
  return index >= 0
}

function partsOf({ parts }: Alerts, id: string): AlertParts | null {
  return parseAlert(parts.get(id) ?? NO_PARTS)
}

function pageOf(alerts: Alerts, { state, after, count }: AlertPage): AlertAt[] {
  const newestFirst = inOrder(state === 'firing' ? alerts.firing : alerts.resolved).reverse()
  const start = after === undefined ? 0 : newestFirst.findIndex(one => compareTimes(one, after) < 0)
  return start === -1 ? [] : newestFirst.slice(start, start + count)
}

function inOrder(times: ReadonlyMap<string, number>): AlertAt[] {
  return Array.from(times, ([id, time]) => ({ id, time })).sort(compareTimes)
}

function compareTimes(a: AlertAt, b: AlertAt): number {
  if (a.time !== b.time) return a.time - b.time
  return a.id < b.id ? -1 : Number(a.id > b.id)
}
