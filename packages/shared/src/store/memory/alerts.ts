import assert from 'node:assert/strict'
import {
  type AlertEnd,
  type AlertOpening,
  type AlertParts,
  FLEET_PARTITION,
  NO_OPERATOR_STATE,
  type NotificationState,
  type OperatorState,
} from '../../detection/alerts/record.ts'
import { compareEntryIds, ENTRY_ID_ZERO } from '../../sample/receipt.ts'
import {
  ALERT_FEED_KEPT,
  type AlertAt,
  type AlertPage,
  type AlertStore,
  type DueNotifications,
  type EndedAlert,
  type NotificationDecision,
  type OpenedAlert,
  type SavedStorm,
} from '../ports/alerts.ts'
import type { Lease } from '../ports/lease.ts'
import { type Alerts, type Data, heldLease, partitionAt } from './data.ts'
import { addToLog, logAfter } from './stream.ts'

export function alertsOn(data: Data): AlertStore {
  const alertsAt = (number: number): Alerts => partitionAt(data, number).alerts
  const isOurs = ({ partition, token }: Lease): boolean => heldLease(data, partitionAt(data, partition)) === token
  return {
    list: async (number, page) => pageOf(alertsAt(number), page),
    count: async numbers =>
      numbers.map(number => {
        const { firing, resolved } = alertsAt(number)
        return { firing: firing.size, resolved: resolved.size }
      }),
    read: async (number, ids) => ids.map(id => partsOf(alertsAt(number), id)),
    async setOperatorState(number, id, state, noticeAt) {
      const alerts = alertsAt(number)
      if (!alerts.firing.has(id)) return false
      const before = JSON.parse(alerts.operatorStates.get(id) ?? JSON.stringify(NO_OPERATOR_STATE)) as OperatorState
      alerts.operatorStates.set(id, JSON.stringify({ ...before, ...state }))
      putNotice(alerts, id, noticeAt)
      return true
    },

    dueNotifications: async (number, count) => dueNotifications(alertsAt(number), { count, now: data.now() }),
    async recordNotifications(lease, notices) {
      if (!isOurs(lease)) return false
      for (const notice of notices) settle(alertsAt(lease.partition), notice, data)
      return true
    },
    outbox: async (number, receiver, count) => {
      const { outbox, outboxPositions } = alertsAt(number)
      return logAfter(outbox, outboxPositions.get(receiver) ?? ENTRY_ID_ZERO, count)
    },
    async noteDelivered(lease, { receiver, upTo, receivers }) {
      if (!isOurs(lease)) return false
      const { outbox, outboxPositions: positions } = alertsAt(lease.partition)
      if (compareEntryIds(upTo, positions.get(receiver) ?? ENTRY_ID_ZERO) > 0) positions.set(receiver, upTo)
      const told = receivers.map(one => positions.get(one) ?? ENTRY_ID_ZERO).sort(compareEntryIds)[0]
      const kept = outbox.entries.filter(({ id }) => told === undefined || compareEntryIds(id, told) > 0)
      outbox.entries.splice(0, outbox.entries.length, ...kept)
      return true
    },
    outboxLengths: async numbers => numbers.map(number => alertsAt(number).outbox.entries.length),

    feed: async (number, after, count) => logAfter(alertsAt(number).feed, after, count),
    keyCounts: async numbers => numbers.map(number => partitionAt(data, number).keys.length),
    loadStorm: async () => alertsAt(FLEET_PARTITION).storm,
    async saveStorm(lease, saved) {
      assert.equal(lease.partition, FLEET_PARTITION, 'storms are saved by who owns the partition of the fleet')
      if (!isOurs(lease)) return false
      saveStorm(alertsAt(FLEET_PARTITION), saved, data)
      return true
    },
  }
}

/** Does nothing when the alert is known already: the commit was sent twice. */
export function openAlert(alerts: Alerts, { opening, openedBefore, notifyAfterMs }: OpenedAlert, { now }: Data): void {
  const { id, key, cause, opened_at: openedAt } = opening
  if (alerts.openings.has(id)) return
  alerts.openings.set(id, JSON.stringify(opening))
  alerts.firing.set(id, openedAt)
  putNotice(alerts, id, now() + notifyAfterMs)
  const event = { alert: id, key: key ?? '', cause: cause.kind, openedAt, openedBefore, resolvedAt: 0 }
  addToLog(alerts.feed, { kind: 'opened', ...event }, { max: ALERT_FEED_KEPT, now: now() })
}

/** Does nothing when the alert does not fire: the commit was sent twice. */
export function endAlert(alerts: Alerts, { id, key, cause, openedAt, end }: EndedAlert, data: Data): void {
  if (!resolve(alerts, id, end, data)) return
  const event = { alert: id, key, cause, openedAt, openedBefore: 0, resolvedAt: end.resolved_at }
  addToLog(alerts.feed, { kind: 'resolved', ...event }, { max: ALERT_FEED_KEPT, now: data.now() })
}

function saveStorm(alerts: Alerts, { state, opening, end }: SavedStorm, data: Data): void {
  alerts.storm = state
  if (opening !== null) {
    alerts.openings.set(opening.id, JSON.stringify(opening))
    if (!alerts.resolved.has(opening.id)) alerts.firing.set(opening.id, opening.opened_at)
    putNotice(alerts, opening.id, data.now())
  }
  if (end !== null) resolve(alerts, end.id, end.end, data)
}

/** False when the alert does not fire. */
function resolve(alerts: Alerts, id: string, end: AlertEnd, { alertsMax, now }: Data): boolean {
  if (!alerts.firing.delete(id)) return false
  alerts.ends.set(id, JSON.stringify(end))
  alerts.resolved.set(id, end.resolved_at)
  putNotice(alerts, id, now())
  for (const oldest of inOrder(alerts.resolved).slice(0, Math.max(0, alerts.resolved.size - alertsMax))) {
    forget(alerts, oldest.id)
  }
  return true
}

function forget({ openings, ends, operatorStates, notificationStates, resolved, notices }: Alerts, id: string): void {
  for (const map of [openings, ends, operatorStates, notificationStates, resolved, notices]) map.delete(id)
}

/** A notice that is there already only moves earlier, and always moves: who has read it finds out that the alert changed since. */
function putNotice({ notices }: Alerts, id: string, at: number): void {
  const before = notices.get(id)
  notices.set(id, before === undefined ? at : Math.min(at, before - 1))
}

function dueNotifications(alerts: Alerts, { count, now }: { count: number; now: number }): DueNotifications {
  const due: DueNotifications['alerts'][number][] = []
  for (const { id, time: dueAt } of inOrder(alerts.notices)) {
    if (dueAt > now || due.length === count) break
    const parts = partsOf(alerts, id)
    if (parts === null) alerts.notices.delete(id)
    else due.push({ id, parts, dueAt })
  }
  return { now, alerts: due }
}

function settle(
  alerts: Alerts,
  { id, notification, dueAt, nextCheckAt, notify }: NotificationDecision,
  data: Data,
): void {
  const { openings, notificationStates, notices, outbox } = alerts
  if (!openings.has(id)) {
    notices.delete(id)
    return
  }
  notificationStates.set(id, JSON.stringify(notification))
  if (notices.get(id) === dueAt) notices.delete(id)
  if (nextCheckAt !== null) notices.set(id, Math.min(nextCheckAt, notices.get(id) ?? nextCheckAt))
  if (notify === null) return
  const entry = { alert: id, status: notify, number: notification.told }
  addToLog(outbox, entry, { max: data.outboxMax, now: data.now() })
}

function partsOf({ openings, ends, operatorStates, notificationStates }: Alerts, id: string): AlertParts | null {
  const opening = openings.get(id)
  if (opening === undefined) return null
  return {
    opening: JSON.parse(opening) as AlertOpening,
    end: JSON.parse(ends.get(id) ?? 'null') as AlertEnd | null,
    operator: JSON.parse(operatorStates.get(id) ?? 'null') as OperatorState | null,
    notification: JSON.parse(notificationStates.get(id) ?? 'null') as NotificationState | null,
  }
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
