import assert from 'node:assert/strict'
import { type AlertParts, FLEET_PARTITION } from '../../detection/alerts/record.ts'
import type { EntryId } from '../../sample/receipt.ts'
import type { Keys, PartitionKeys } from '../keys.ts'
import type {
  AlertAt,
  AlertFeedEntry,
  AlertPage,
  AlertStore,
  NotificationDecision,
  OutboxEntry,
} from '../ports/alerts.ts'
import { type Client, inOneWrite, type ScriptRunner } from './connection.ts'
import { asked } from './errors.ts'
import type { RedisStoreOptions } from './store.ts'

/** Parts of an alert, as fields of one hash: this and its id. Each has one writer. */
const PARTS = ['o:', 'e:', 'a:', 's:', 't:'] as const

/** Alerts of the same time that one step of paging looks at. */
const TIES_AT_ONCE = 1000

export interface AlertStoreOptions {
  readonly client: Client & ScriptRunner
  readonly keys: Keys
  readonly options: Pick<RedisStoreOptions, 'outboxMax'>
}

export function createAlertStore({ client, keys, options }: AlertStoreOptions): AlertStore {
  const at = (partition: number): PartitionKeys => keys.partition(partition)
  const ofEach = <T>(partitions: readonly number[], ask: (at: PartitionKeys) => Promise<T>): Promise<T[]> =>
    asked(() => inOneWrite(client, () => Promise.all(partitions.map(partition => ask(at(partition))))))

  return {
    list: (partition, page) =>
      asked(() => {
        const { alertsFiring, alertsResolved } = at(partition)
        return pageOf(client, page.state === 'firing' ? alertsFiring : alertsResolved, page)
      }),

    count: partitions =>
      ofEach(partitions, async ({ alertsFiring, alertsResolved }) => {
        const [firing, resolved] = await Promise.all([client.zcard(alertsFiring), client.zcard(alertsResolved)])
        return { firing, resolved }
      }),

    read: (partition, ids) =>
      ids.length === 0
        ? Promise.resolve([])
        : asked(async () => {
            const fields = ids.flatMap(id => PARTS.map(part => part + id))
            const texts = await client.hmget(at(partition).alerts, ...fields)
            return ids.map((_, i) => toParts(texts.slice(i * PARTS.length, (i + 1) * PARTS.length)))
          }),

    setOperatorState: (partition, id, { acknowledged, snoozed }, noticeAt) =>
      asked(async () => {
        const { alerts, alertsFiring, notices } = at(partition)
        const notes = [acknowledged, snoozed].map(note => (note === undefined ? '' : JSON.stringify(note)))
        return (await client.setOperatorState(alerts, alertsFiring, notices, id, noticeAt, ...notes)) === 1
      }),

    dueNotifications: (partition, count) =>
      asked(async () => {
        const { notices, alerts } = at(partition)
        const [now, ...flat] = (await client.dueNotifications(notices, alerts, count)) as [number, ...string[]]
        const due: { id: string; dueAt: number; parts: AlertParts }[] = []
        for (let i = 0; i + 1 + PARTS.length < flat.length; i += 2 + PARTS.length) {
          const parts = toParts(flat.slice(i + 2, i + 2 + PARTS.length))
          if (parts !== null) due.push({ id: flat[i] ?? '', dueAt: Number(flat[i + 1]), parts })
        }
        return { now, alerts: due }
      }),

    recordNotifications: ({ partition, token }, notices) =>
      asked(async () => {
        const { lease, alerts, notices: due, outbox } = at(partition)
        const args = notices.flatMap(settlement)
        return (await client.recordNotifications(lease, alerts, due, outbox, token, options.outboxMax, ...args)) === 1
      }),

    outbox: (partition, receiver, count) =>
      asked(async () => {
        const { outbox, outboxPositions } = at(partition)
        const position = (await client.hget(outboxPositions, receiver)) ?? '0-0'
        return (await client.xrange(outbox, `(${position}`, '+', 'COUNT', count)).map(toOutboxEntry)
      }),

    noteDelivered: ({ partition, token }, { receiver, upTo, receivers }) =>
      asked(async () => {
        const { lease, outbox, outboxPositions } = at(partition)
        return (await client.noteDelivered(lease, outbox, outboxPositions, token, receiver, upTo, ...receivers)) === 1
      }),

    outboxLengths: partitions => ofEach(partitions, ({ outbox }) => client.xlen(outbox)),

    feed: (partition, after, count) =>
      asked(async () =>
        (await client.xrange(at(partition).alertFeed, `(${after}`, '+', 'COUNT', count)).map(toFeedEntry),
      ),

    keyCounts: partitions => ofEach(partitions, ({ lastAnalysis }) => client.hlen(lastAnalysis)),

    loadStorm: () => asked(() => client.get(at(FLEET_PARTITION).storm)),

    saveStorm: ({ partition, token }, { state, opening, end }) =>
      asked(async () => {
        assert.equal(partition, FLEET_PARTITION, 'storms are saved by who owns the partition of the fleet')
        const { lease, storm, alerts, alertsFiring, alertsResolved, notices } = at(partition)
        const opened = opening === null ? ['', '', ''] : [opening.id, JSON.stringify(opening), opening.opened_at]
        const ended = end === null ? ['', '', ''] : [end.id, JSON.stringify(end.end), end.end.resolved_at]
        const touched = [lease, storm, alerts, alertsFiring, alertsResolved, notices]
        return (await client.saveStorm(...touched, token, state, ...opened, ...ended)) === 1
      }),
  }
}

function settlement({ id, notification, dueAt, nextCheckAt, notify }: NotificationDecision): (string | number)[] {
  return [id, JSON.stringify(notification), dueAt, nextCheckAt ?? '', notify ?? '', notification.told]
}

/** Strictly after the cursor, by falling time, then by falling id. */
async function pageOf(client: Client, key: string, { after, count }: AlertPage): Promise<AlertAt[]> {
  if (after === undefined) return toAlertsAt(await client.zrevrange(key, 0, count - 1, 'WITHSCORES'))
  const rank = await client.zrevrank(key, after.id)
  const score = rank === null ? null : await client.zscore(key, after.id)
  if (rank !== null && Number(score) === after.time) {
    return toAlertsAt(await client.zrevrange(key, rank + 1, rank + count, 'WITHSCORES'))
  }
  // It is gone: those of its time are looked through for the first one after it.
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
  const found: AlertAt[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) found.push({ id: flat[i] ?? '', time: Number(flat[i + 1]) })
  return found
}

function toParts([opening, end, acknowledged, snoozed, telling]: readonly (
  | string
  | null
  | undefined
)[]): AlertParts | null {
  if (!opening) return null
  const parse = (text: string | null | undefined): unknown => (text ? JSON.parse(text) : null)
  return {
    opening: parse(opening),
    end: parse(end),
    operator: acknowledged || snoozed ? { acknowledged: parse(acknowledged), snoozed: parse(snoozed) } : null,
    notification: parse(telling),
  } as AlertParts
}

function toOutboxEntry([id, flat]: readonly [EntryId, readonly string[]]): OutboxEntry {
  const fields = toFields(flat)
  return {
    id,
    alert: fields.get('a') ?? '',
    status: fields.get('s') as OutboxEntry['status'],
    number: Number(fields.get('n')),
  }
}

function toFeedEntry([id, flat]: readonly [EntryId, readonly string[]]): AlertFeedEntry {
  const fields = toFields(flat)
  return {
    id,
    kind: fields.get('k') as AlertFeedEntry['kind'],
    alert: fields.get('a') ?? '',
    key: fields.get('key') ?? '',
    cause: fields.get('c') as AlertFeedEntry['cause'],
    openedAt: Number(fields.get('o')),
    openedBefore: Number(fields.get('b') ?? 0),
    resolvedAt: Number(fields.get('r') ?? 0),
  }
}

function toFields(flat: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>()
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] ?? '', flat[i + 1] ?? '')
  return fields
}
