import assert from 'node:assert/strict'
import { countName, parseAlertCounts } from '../../detection/alerts/alert-counts.ts'
import {
  type AlertParts,
  FLEET_PARTITION,
  formatOpening,
  NOTHING_TAKEN,
  parseAlert,
} from '../../detection/alerts/record.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { PartitionKeys } from '../keys.ts'
import type {
  AlertAt,
  AlertFeedEntry,
  AlertPage,
  AlertStore,
  DeadNotification,
  DueNotifications,
  NotificationDecision,
  OutboxEntry,
  PendingNotifications,
} from '../ports/alerts.ts'
import { ALERT_CHANGES_KEPT } from '../ports/feed.ts'
import { type Client, eachInOneWrite, inOneCommand } from './connection.ts'
import { withStoreErrors } from './errors.ts'
import type { RedisStoreOptions } from './options.ts'
import { toFields, toPairs } from './replies.ts'
import type { StoreContext } from './scripts.ts'

/** The parts of an alert are fields of one hash, each with one writer: this and the alert's id. */
const PARTS = ['o:', 'e:', 'a:', 's:', 't:', 'n:', 'h:', 'f:'] as const

/** Alerts of the same time that one step of paging reads. */
const TIES_AT_ONCE = 1000

export function createAlertStore(context: StoreContext): AlertStore {
  return withStoreErrors<AlertStore>({ ...alertAccess(context), ...notifications(context), ...storms(context) })
}

function alertAccess({ client, keys, options }: StoreContext) {
  return {
    list(partition, page) {
      const { alertsFiring, alertsResolved } = keys.partition(partition)
      return pageOf(client, page.state === 'firing' ? alertsFiring : alertsResolved, page)
    },
    count: partitions =>
      eachInOneWrite(client, partitions, async partition => {
        const { alertsFiring, alertsResolved } = keys.partition(partition)
        const [firing, resolved] = await Promise.all([client.zcard(alertsFiring), client.zcard(alertsResolved)])
        return { firing, resolved }
      }),
    async read(partition, ids) {
      if (ids.length === 0) return []
      const fields = ids.flatMap(id => PARTS.map(part => part + id))
      const texts = await client.hmget(keys.partition(partition).alerts, ...fields)
      return ids.map((id, i) => toParts(id, texts.slice(i * PARTS.length), options))
    },
    async feed(partition, after, count) {
      const entries = await client.xrange(keys.partition(partition).alertFeed, `(${after}`, '+', 'COUNT', count)
      return toFeed(entries)
    },
    async feeds(positions, count) {
      const read = async (together: typeof positions): Promise<AlertFeedEntry[][]> => {
        const streams = together.map(({ partition }) => keys.partition(partition).alertFeed)
        const after = together.map(one => one.after)
        const found = await client.readAlertFeeds(streams.length, ...streams, count, ...after)
        return (found as Parameters<typeof toFeed>[0][]).map(toFeed)
      }
      return (await eachInOneWrite(client, inOneCommand(client, positions), read)).flat()
    },
    feedTrimmed: partitions =>
      eachInOneWrite(client, partitions, async partition => {
        const { alertFeed } = keys.partition(partition)
        // A feed that does not exist yet is an error of XINFO.
        const info = await client.xinfo('STREAM', alertFeed).catch(() => [])
        const fields = toFields(info as string[])
        return Number(fields.get('entries-added') ?? 0) - Number(fields.get('length') ?? 0)
      }),
    keyCounts: partitions =>
      eachInOneWrite(client, partitions, partition => client.hlen(keys.partition(partition).lastAnalysis)),
    async setOperatorState(partition, id, { acknowledged, snoozed }, checkAt) {
      const { alerts, alertsFiring, notificationChecks, alertChanges } = keys.partition(partition)
      const notes = [acknowledged, snoozed].map(note => (note === undefined ? '' : JSON.stringify(note)))
      const touched = [alerts, alertsFiring, notificationChecks, alertChanges]
      return (await client.setOperatorState(...touched, id, checkAt, ALERT_CHANGES_KEPT, ...notes)) === 1
    },
    async setFeedback(partition, { id, key, rule, cause, opened_at }, feedback) {
      const { alerts, keyAlerts, ruleAlerts } = keys.partition(partition)
      const stored = feedback === null ? ['', ''] : [JSON.stringify(feedback), feedback.useful ? 'useful' : 'noise']
      const counted = [key ?? '', rule ?? '', countName(cause.kind, rule), opened_at]
      return (await client.setFeedback(alerts, keyAlerts, ruleAlerts, id, ...stored, ...counted)) === 1
    },
    async keyAlertCounts(partition, { cursor, count }) {
      const [next, flat] = await client.hscan(keys.partition(partition).keyAlerts, cursor, 'COUNT', count)
      return { next, keys: toPairs(flat).map(([key, text]) => [key, parseAlertCounts(text)]) }
    },
    ruleAlertCounts: partitions =>
      eachInOneWrite(client, partitions, async partition => {
        const found = await client.hgetall(keys.partition(partition).ruleAlerts)
        return new Map(Object.entries(found).map(([rule, text]) => [rule, parseAlertCounts(text)]))
      }),
  } satisfies Partial<AlertStore>
}

function notifications(context: StoreContext) {
  const { client, keys, options } = context
  return {
    async scheduled(partitions, receivers) {
      const read = async (together: readonly number[]): Promise<readonly number[]> => {
        // Redis deletes a sorted set with its last member.
        const sets = together.flatMap(partition => {
          const at = keys.partition(partition)
          return [at.notificationChecks, ...receivers.map(receiver => retriesKey(at, receiver))]
        })
        return (await client.exists(...sets)) > 0 ? together : []
      }
      return (await eachInOneWrite(client, inOneCommand(client, partitions), read)).flat()
    },
    dueNotifications: (partition, count, aheadMs = 0) => readDueNotifications(context, partition, { count, aheadMs }),
    async recordNotifications({ partition, token }, decisions, receivers) {
      const at = keys.partition(partition)
      const touched = [at.lease, at.alerts, at.notificationChecks, at.outbox, at.outboxPositions, at.deadNotifications]
      const lists = [...listArguments(receivers, name => [name]), ...listArguments(decisions, decisionArguments)]
      const args = [token, options.outboxMax, options.deadMax, ...lists]
      const dropped = Number(await client.recordNotifications(...touched, ...args))
      return dropped < 0 ? undefined : dropped
    },
    pendingNotifications: (partitions, receivers) =>
      eachInOneWrite(client, partitions, async partition => {
        const at = keys.partition(partition)
        const [outbox, first, dead, ...retries] = await Promise.all([
          client.xlen(at.outbox),
          client.xrange(at.outbox, '-', '+', 'COUNT', 1),
          client.xlen(at.deadNotifications),
          ...receivers.map(receiver => retriesOf(client, retriesKey(at, receiver))),
        ])
        return { outbox, oldest: first[0]?.[0] ?? null, dead, retries }
      }),
    async outbox(partition, receiver, count) {
      const { outbox, outboxPositions } = keys.partition(partition)
      const position = (await client.hget(outboxPositions, receiver)) ?? '0-0'
      const entries = await client.xrange(outbox, `(${position}`, '+', 'COUNT', count)
      return entries.flatMap(([id, flat]) => toOutboxEntry(id, toFields(flat)) ?? [])
    },
    dueRetries: (partition, receiver, { now, count }) =>
      client.zrangebyscore(retriesKey(keys.partition(partition), receiver), '-inf', now, 'LIMIT', 0, count),
    async recordDeliveries({ partition, token }, { receiver, upTo, receivers, alerts, dead }) {
      const at = keys.partition(partition)
      const retries = retriesKey(at, receiver)
      const touched = [at.lease, at.alerts, at.outbox, at.outboxPositions, retries, at.deadNotifications]
      const lists = [
        ...listArguments(receivers, name => [name]),
        ...listArguments(alerts, ({ id, state, retryAt }) => [id, JSON.stringify(state), retryAt ?? '']),
        ...listArguments(dead, one => [one.alert, one.status, one.number, one.reason, one.since]),
      ]
      const args = [token, receiver, upTo ?? '', options.deadMax, ...lists]
      return (await client.recordDeliveries(...touched, ...args)) === 1
    },
    async recordTaken(partition, receiver, taken) {
      const list = listArguments(taken, ({ alert, status, number }) => [alert, status, number])
      const { alerts } = keys.partition(partition)
      await client.recordTaken(alerts, receiver, JSON.stringify(NOTHING_TAKEN), 'told', ...list)
    },
    async deadNotifications(partition, { upTo = '+', count }) {
      const { deadNotifications } = keys.partition(partition)
      const entries = await client.xrevrange(deadNotifications, upTo, '-', 'COUNT', count)
      return entries.flatMap(([id, flat]) => toDeadNotification(id, toFields(flat)) ?? [])
    },
    async redriveNotification(partition, { id, alert, receiver }) {
      const at = keys.partition(partition)
      const touched = [at.deadNotifications, retriesKey(at, receiver), at.alerts]
      const outcome = await client.redriveNotification(...touched, id, alert, receiver, JSON.stringify(NOTHING_TAKEN))
      return outcome === 'scheduled' || outcome === 'alert-unknown' ? outcome : 'unknown'
    },
    discardDeadNotification: async (partition, id) =>
      (await client.xdel(keys.partition(partition).deadNotifications, id)) === 1,
  } satisfies Partial<AlertStore>
}

function storms({ client, keys }: StoreContext) {
  return {
    loadStorm: () => client.get(keys.partition(FLEET_PARTITION).storm),
    async saveStorm({ partition, token }, { state, opening, end }) {
      assert.equal(partition, FLEET_PARTITION, 'the owner of the fleet partition saves storms')
      const at = keys.partition(partition)
      const opened = opening === null ? ['', '', ''] : [opening.id, formatOpening(opening), opening.opened_at]
      const ended = end === null ? ['', '', ''] : [end.id, JSON.stringify(end.end), end.end.resolved_at]
      const alerts = [at.alerts, at.alertsFiring, at.alertsResolved, at.notificationChecks, at.alertChanges]
      const args = [token, state, ...opened, ...ended, ALERT_CHANGES_KEPT]
      return (await client.saveStorm(at.lease, at.storm, ...alerts, ...args)) === 1
    },
  } satisfies Partial<AlertStore>
}

async function readDueNotifications(
  { client, keys, options }: StoreContext,
  partition: number,
  { count, aheadMs }: { count: number; aheadMs: number },
): Promise<DueNotifications> {
  const { notificationChecks, alerts } = keys.partition(partition)
  const reply = await client.dueNotifications(notificationChecks, alerts, count, aheadMs)
  const [now, ...flat] = reply as [number, ...string[]]
  const found: DueNotifications['alerts'][number][] = []
  const unreadable: string[] = []
  for (let i = 0; i + 1 + PARTS.length < flat.length; i += 2 + PARTS.length) {
    const [id = '', dueAt, ...texts] = flat.slice(i, i + 2 + PARTS.length)
    const parts = toParts(id, texts, options)
    if (parts === null) unreadable.push(id)
    else found.push({ id, dueAt: Number(dueAt), parts })
  }
  // They would come first for ever. The next change of such an alert schedules its check again.
  if (unreadable.length > 0) await client.zrem(notificationChecks, ...unreadable)
  return { now, alerts: found }
}

function retriesKey({ outboxRetries }: PartitionKeys, receiver: string): string {
  return `${outboxRetries}:${receiver}`
}

async function retriesOf(client: Client, key: string): Promise<PendingNotifications['retries'][number]> {
  const [count, [, dueAt]] = await Promise.all([client.zcard(key), client.zrange(key, '0', '0', 'WITHSCORES')])
  return { count, dueAt: dueAt === undefined ? Number.POSITIVE_INFINITY : Number(dueAt) }
}

/** Returns a list as arguments.lua reads it. */
function listArguments<T>(items: readonly T[], fieldsOf: (item: T) => (string | number)[]): (string | number)[] {
  return [items.length, ...items.flatMap(fieldsOf)]
}

/** What record-notifications.lua is given of each alert. */
function decisionArguments(decision: NotificationDecision): (string | number)[] {
  const { id, notification, dueAt, nextCheckAt, notify } = decision
  return [id, JSON.stringify(notification), dueAt, nextCheckAt ?? '', notify ?? '', notification.told]
}

/** Reads the page strictly after its cursor, by falling time, then by falling id. */
async function pageOf(client: Client, key: string, { after, count }: AlertPage): Promise<AlertAt[]> {
  if (after === undefined) return toAlertsAt(await client.zrevrange(key, 0, count - 1, 'WITHSCORES'))
  const rank = await client.zrevrank(key, after.id)
  const score = rank === null ? null : await client.zscore(key, after.id)
  if (rank !== null && Number(score) === after.time) {
    return toAlertsAt(await client.zrevrange(key, rank + 1, rank + count, 'WITHSCORES'))
  }
  // The cursor's alert was deleted: search the alerts of its time for the first one after it.
  for (let offset = 0; ; offset += TIES_AT_ONCE) {
    const range = [key, after.time, '-inf', 'WITHSCORES', 'LIMIT', offset, TIES_AT_ONCE] as const
    const found = toAlertsAt(await client.zrevrangebyscore(...range))
    const skipped = found.findIndex(({ id, time }) => time < after.time || id < after.id)
    if (skipped === -1 && found.length === TIES_AT_ONCE) continue
    if (skipped === -1) return []
    const from = [key, after.time, '-inf', 'WITHSCORES', 'LIMIT', offset + skipped, count] as const
    return toAlertsAt(await client.zrevrangebyscore(...from))
  }
}

function toAlertsAt(flat: readonly string[]): AlertAt[] {
  return toPairs(flat).map(([id, time]) => ({ id, time: Number(time) }))
}

/** Unreadable counts as missing: one corrupt value must not make the whole list unusable. */
function toParts(id: string, texts: readonly (string | null)[], { onFailure }: RedisStoreOptions): AlertParts | null {
  try {
    const [opening, end, acknowledged, snoozed, notification, receivers, similar, feedback] = texts
    return parseAlert({ opening, end, acknowledged, snoozed, notification, receivers, similar, feedback })
  } catch (error) {
    onFailure(new Error(`the stored alert ${id} cannot be read; it is left out`, { cause: error }))
    return null
  }
}

function toOutboxEntry(id: EntryId, fields: ReadonlyMap<string, string>): OutboxEntry | undefined {
  const [alert, status, number] = [fields.get('a'), fields.get('s'), Number(fields.get('n'))]
  if (alert === undefined || Number.isNaN(number) || (status !== 'firing' && status !== 'resolved')) return undefined
  return { id, alert, status, number }
}

function toDeadNotification(id: EntryId, fields: ReadonlyMap<string, string>): DeadNotification | undefined {
  const pending = toOutboxEntry(id, fields)
  const receiver = fields.get('r')
  if (pending === undefined || receiver === undefined) return undefined
  return { ...pending, receiver, reason: fields.get('w') ?? '', since: Number(fields.get('t')) }
}

const CAUSES = ['anomaly', 'silent', 'level_shift', 'storm'] as const satisfies AlertFeedEntry['cause'][]

function toFeed(entries: readonly [id: EntryId, fields: string[]][]): AlertFeedEntry[] {
  return entries.flatMap(([id, flat]) => toFeedEntry(id, toFields(flat)) ?? [])
}

function toFeedEntry(id: EntryId, fields: ReadonlyMap<string, string>): AlertFeedEntry | undefined {
  const [kind, alert] = [fields.get('k'), fields.get('a')]
  const cause = CAUSES.find(one => one === fields.get('c'))
  if (alert === undefined || cause === undefined || (kind !== 'opened' && kind !== 'resolved')) return undefined
  return {
    id,
    kind,
    alert,
    cause,
    key: fields.get('key') ?? '',
    openedAt: Number(fields.get('o')),
    openedBefore: Number(fields.get('b') ?? 0),
    resolvedAt: Number(fields.get('r') ?? 0),
  }
}
