import { type AlertGroup, groupAlerts } from '@tidemark/shared/detection/alerts/grouping'
import { placesOf } from '@tidemark/shared/detection/alerts/place'
import type { PendingItem } from './pending.ts'
import type { Notification } from './receiver.ts'

/** Alerts in one message: 100 KiB of it at most. */
const MEMBERS_MAX = 250

/**
 * How long a partition's notification waits for the partition that sends those of its group, once
 * the group is complete. An analyzer may have crashed, or have other receivers.
 */
const OTHERS_WAIT_MS = 30_000

/** An item with a notification. */
export interface Unsent extends PendingItem {
  readonly notification: Notification
}

interface Timing {
  readonly now: number
  /** How long a notification waits for others of its group; 0 if it does not. */
  readonly groupWaitMs: number
}

/**
 * Returns the items that may share a message: of each key the oldest, so that the notifications of
 * a key keep their order. Critical ones and those of the whole fleet share none.
 */
export function sharable(items: readonly PendingItem[]): Unsent[] {
  const unsent = items.filter(isUnsent)
  const urgent = new Set(unsent.filter(isUrgent).map(keyOf))
  const oldest = new Map<string | null, Unsent>()
  for (const item of unsent) {
    const key = keyOf(item)
    if (!urgent.has(key) && !oldest.has(key)) oldest.set(key, item)
  }
  return [...oldest.values()]
}

/** Whether an item has waited for others of its group as long as it should. */
export function hasWaited(item: PendingItem, { now, groupWaitMs }: Timing): boolean {
  return ageOf(item, now) >= groupWaitMs
}

/** The times of outbox entries stay ahead if the clock was: those are not waited for. */
function ageOf({ since }: PendingItem, now: number): number {
  return Math.abs(now - since)
}

/**
 * Returns what a partition handles now of its items, in their order. `others` is what other
 * partitions may send. The partition of a group's first alert sends one message for all, and the
 * others wait until they find theirs taken. If two disagree about a group, an alert may be in two
 * messages, but it is in one at least.
 */
export function composeMessages(
  items: readonly PendingItem[],
  others: readonly Unsent[],
  timing: Timing,
): readonly PendingItem[] {
  const own = sharable(items)
  const messages = messagesOf(own, others, timing)
  const shared = new Set(own.map(keyOf))
  let isBehind = false
  return items.flatMap(item => {
    const message = messages.get(item)
    if (message === undefined && isUnsent(item) && shared.has(keyOf(item))) {
      isBehind = true
      return []
    }
    const handled = message ?? item
    // The position of the receiver must not pass an item that waits.
    return isBehind ? [{ ...handled, entry: undefined }] : [handled]
  })
}

/** Maps the items whose message is due to what is sent. */
function messagesOf(own: readonly Unsent[], others: readonly Unsent[], timing: Timing): Map<PendingItem, Unsent> {
  const messages = new Map<PendingItem, Unsent>()
  const mine = new Set(own)
  const due = own.filter(item => hasWaited(item, timing))
  if (due.length === 0) return messages
  // Others can only be of the same group if they share a place: most of a large fleet do not.
  const places = new Set(due.flatMap(placeIdsOf))
  const near = others.filter(item => placeIdsOf(item).some(id => places.has(id)))
  for (const [, items] of Map.groupBy([...own, ...near], ({ notification }) => notification.status)) {
    const alerts = items.map(item => ({ ...item.notification.record, item }))
    for (const group of groupAlerts(alerts)) {
      const members = group.alerts.map(({ item }) => item)
      const sharesMessage = group.by === 'device' || group.by === 'prefix'
      const leaders = sharesMessage ? [members.find(isImpatient) ?? members[0]] : members
      for (const leader of leaders) {
        if (leader === undefined || !mine.has(leader) || !hasWaited(leader, timing)) continue
        messages.set(leader, sharesMessage ? withGroup(leader, members, group) : leader)
      }
    }
  }
  return messages

  function isImpatient(item: Unsent): boolean {
    return mine.has(item) && ageOf(item, timing.now) >= timing.groupWaitMs + OTHERS_WAIT_MS
  }
}

function withGroup(leader: Unsent, all: readonly Unsent[], group: AlertGroup): Unsent {
  const others = all.filter(item => item !== leader).slice(0, MEMBERS_MAX - 1)
  const members = [leader, ...others].map(({ notification }) => notification)
  const alerts = members.map(({ record }) => record)
  const keyCount = new Set(alerts.map(({ key }) => key)).size
  return { ...leader, notification: { ...leader.notification, group: { ...group, alerts, keyCount, members } } }
}

function placeIdsOf({ notification: { record } }: Unsent): string[] {
  return placesOf(record.key ?? '').map(({ id }) => id)
}

function isUnsent(item: PendingItem): item is Unsent {
  return item.notification !== undefined
}

function isUrgent({ notification: { record } }: Unsent): boolean {
  return record.severity === 'critical' || record.key === null
}

function keyOf({ notification }: Unsent): string | null {
  return notification.record.key
}
