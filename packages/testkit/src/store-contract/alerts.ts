import {
  type AlertEnd,
  type AlertOpening,
  FLEET_PARTITION,
  NO_OPERATOR_STATE,
  NOT_NOTIFIED,
  type ReceiverState,
} from '@tidemark/shared/detection/alerts/record'
import { ENTRY_ID_ZERO } from '@tidemark/shared/sample/receipt'
import {
  ALERT_FEED_KEPT,
  type AlertAt,
  type EndedAlert,
  type NotificationDecision,
  type OpenedAlert,
} from '@tidemark/shared/store/ports/alerts'
import type { Checkpoint, Commit } from '@tidemark/shared/store/ports/commit'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import type { Store } from '@tidemark/shared/store/ports/store'
import { describe, expect, test } from 'vitest'
import {
  appendAndRead,
  bytes,
  commitOf,
  keyUpdate,
  type OpenStore,
  only,
  own,
  type StoreUnderTest,
  stateOf,
} from './harness.ts'

const ZERO: Checkpoint = { id: '0-0', offset: 0 }
const NOW = 1_700_000_000_000
const NO_RESULTS = { alerts: [], dead: [] }
const NONE = { opened: 0, useful: 0, noise: 0 }

function opening(n: number, opened_at = NOW + n): AlertOpening {
  const cause = { kind: 'silent', last_at: NOW, expected_ms: 1000 } as const
  return { id: idOf(n), key: `edge-${n}/"cpu" ☃`, rule: null, severity: 'warning', opened_at, cause }
}

function idOf(n: number): string {
  return `0-${n.toString(16).padStart(24, '0')}`
}

function opened(n: number, changes: { opened_at?: number; notifyAfterMs?: number } = {}): OpenedAlert {
  const { opened_at = NOW + n, notifyAfterMs = 0 } = changes
  return { opening: opening(n, opened_at), openedBefore: NOW - 7, notifyAfterMs }
}

function ended(n: number, resolved_at = NOW + 1000 + n): EndedAlert {
  const end: AlertEnd = { resolved_at, resolve_reason: 'heard', peak: null }
  return { id: idOf(n), key: `edge-${n}/"cpu" ☃`, cause: 'silent', openedAt: NOW + n, end }
}

/** Makes commits to partition 0, one after another. */
export async function committer(
  store: Store,
): Promise<{ lease: Lease; commit(effects: Partial<Commit>): Promise<void>; checkpoint(): Checkpoint }> {
  const lease = await own(store, 0)
  let from = ZERO
  return {
    lease,
    checkpoint: () => from,
    async commit(effects) {
      const made = commitOf(from, await appendAndRead(store, 0, 1), effects)
      expect(await store.analyzer.commit(lease, made)).toMatchObject({ kind: 'ok' })
      from = made.to
    },
  }
}

/** A commit of elapsed time: it has no entries. */
export function timeCommit(from: Checkpoint, effects: Partial<Commit> = {}): Commit {
  const nothing = { witness: undefined, analysed: 0, entries: [] }
  return {
    ...commitOf(from, [{ id: '1-1', samples: '', count: 0, offset: 0 }]),
    ...nothing,
    from,
    to: from,
    ...effects,
  }
}

async function all(store: Store, state: 'firing' | 'resolved'): Promise<AlertAt[]> {
  return store.alerts.list(0, { state, count: 1000 })
}

export function describeAlerts(open: OpenStore): void {
  describe('alerts', () => {
    test('are opened and ended by commits, and read as they were written', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      await commit({ alerts: { opened: [opened(1), opened(2)], ended: [] } })
      await commit({ alerts: { opened: [opened(3)], ended: [ended(3), ended(1)] } })
      expect(await all(store, 'firing')).toEqual([{ id: idOf(2), time: NOW + 2 }])
      expect(await all(store, 'resolved')).toEqual([
        { id: idOf(3), time: NOW + 1003 },
        { id: idOf(1), time: NOW + 1001 },
      ])
      expect(await store.alerts.count([0, 1])).toEqual([
        { firing: 1, resolved: 2 },
        { firing: 0, resolved: 0 },
      ])
      expect(await store.alerts.read(0, [idOf(1), 'unknown', idOf(2)])).toEqual([
        { opening: opening(1), end: ended(1).end, operator: null, notification: null, similar: NONE },
        null,
        { opening: opening(2), end: null, operator: null, notification: null, similar: NONE },
      ])
      expect(await store.alerts.read(0, [])).toEqual([])
      const feed = await store.alerts.feed(0, ENTRY_ID_ZERO, 10)
      expect(feed.map(({ kind, alert }) => `${kind} ${alert}`)).toEqual([
        `opened ${idOf(1)}`,
        `opened ${idOf(2)}`,
        `opened ${idOf(3)}`,
        `resolved ${idOf(3)}`,
        `resolved ${idOf(1)}`,
      ])
      expect(feed[0]).toMatchObject({ key: opening(1).key, cause: 'silent', openedAt: NOW + 1, openedBefore: NOW - 7 })
      expect(feed[4]).toMatchObject({ openedAt: NOW + 1, resolvedAt: NOW + 1001 })
      expect(await store.alerts.feed(0, feed[3]?.id ?? '', 10)).toEqual(feed.slice(4))
      const positions = [
        { partition: 1, after: ENTRY_ID_ZERO },
        { partition: 0, after: feed[1]?.id ?? '' },
      ]
      expect(await store.alerts.feeds(positions, 2)).toEqual([[], feed.slice(2, 4)])
      expect(await store.alerts.feeds([{ partition: 0, after: feed[4]?.id ?? '' }], 10)).toEqual([[]])
      expect(await store.alerts.feeds([], 10)).toEqual([])
    })

    test('that the range of a rule opened are read as they were written', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const numbers = { value: 93, score: 2, line: 90, samples: 1, of: 1, low: 90, high: 90, spread: 0, window: 0 }
      const evidence = { detector: 'zscore', ...numbers, range: { max: 90 }, unit: '°C', by: 'range' } as const
      const outside = { ...opening(1), cause: { kind: 'anomaly', evidence } } as const
      await commit({ alerts: { opened: [{ ...opened(1), opening: outside }], ended: [] } })
      expect(await store.alerts.read(0, [idOf(1)])).toMatchObject([{ opening: outside }])
    })

    test('are opened and ended once, however often a commit says so', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      await commit({ alerts: { opened: [opened(1)], ended: [] } })
      await commit({ alerts: { opened: [opened(1)], ended: [ended(1), ended(1), ended(9)] } })
      await commit({ alerts: { opened: [opened(1)], ended: [ended(1, NOW + 5000)] } })
      expect(await all(store, 'firing')).toEqual([])
      expect(await all(store, 'resolved')).toEqual([{ id: idOf(1), time: NOW + 1001 }])
      expect(await store.alerts.feed(0, ENTRY_ID_ZERO, 10)).toHaveLength(2)
    })

    test('are listed by pages, newest first, including many of the same time and after one that was deleted', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const many = Array.from({ length: 45 }, (_, n) => opened(n, { opened_at: NOW + Math.floor(n / 30) }))
      await commit({ alerts: { opened: many, ended: [] } })
      const expected = [...many.slice(30).toReversed(), ...many.slice(0, 30).toReversed()].map(one => one.opening.id)
      const pages: string[] = []
      let after: AlertAt | undefined
      for (;;) {
        const page = await store.alerts.list(0, { state: 'firing', after, count: 4 })
        pages.push(...page.map(({ id }) => id))
        after = page.at(-1)
        if (after === undefined) break
      }
      expect(pages).toEqual(expected)
      await commit({ alerts: { opened: [], ended: [ended(20)] } })
      const rest = await store.alerts.list(0, { state: 'firing', after: { id: idOf(20), time: NOW }, count: 100 })
      expect(rest.map(({ id }) => id)).toEqual(
        many
          .slice(0, 20)
          .toReversed()
          .map(one => one.opening.id),
      )
      expect(await store.alerts.list(0, { state: 'firing', after: { id: '0', time: NOW - 1 }, count: 9 })).toEqual([])
    })

    test('that are resolved are kept up to a limit, the last resolved ones, and nothing remains of the others', async () => {
      await using under = await open()
      const { store, limits } = under
      const { commit } = await committer(store)
      const numbers = Array.from({ length: limits.alertsMax + 5 }, (_, n) => n)
      await commit({
        alerts: { opened: numbers.map(n => opened(n)), ended: numbers.map(n => ended(n)) },
      })
      expect((await all(store, 'resolved')).map(({ id }) => id)).toEqual(numbers.slice(5).toReversed().map(idOf))
      expect(await store.alerts.read(0, [idOf(4), idOf(5)])).toMatchObject([null, { opening: { id: idOf(5) } }])
      const { alerts } = await store.alerts.dueNotifications(0, 1000)
      expect(alerts.map(({ id }) => id).sort()).toEqual(numbers.slice(5).map(idOf))
    })

    test('accept an operator state while they fire, and not afterwards', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const acknowledgement = { ...NO_OPERATOR_STATE, acknowledged: { who: 'ada', why: 'known', at: NOW } }
      expect(await store.alerts.setOperatorState(0, idOf(1), acknowledgement, NOW)).toBe(false)
      await commit({ alerts: { opened: [opened(1)], ended: [] } })
      expect(await store.alerts.setOperatorState(0, idOf(1), acknowledgement, NOW)).toBe(true)
      expect(only(await store.alerts.read(0, [idOf(1)]))?.operator).toEqual(acknowledgement)
      const snoozed = { who: 'ole', why: 'tomorrow', at: NOW, until: NOW + 1000 }
      expect(await store.alerts.setOperatorState(0, idOf(1), { snoozed }, NOW)).toBe(true)
      expect(only(await store.alerts.read(0, [idOf(1)]))?.operator).toEqual({ ...acknowledgement, snoozed })
      await commit({ alerts: { opened: [], ended: [ended(1)] } })
      expect(await store.alerts.setOperatorState(0, idOf(1), NO_OPERATOR_STATE, NOW)).toBe(false)
      expect(only(await store.alerts.read(0, [idOf(1)]))?.operator).toEqual({ ...acknowledgement, snoozed })
    })
  })

  describe('notification checks', () => {
    const decided = (id: string, dueAt: number, changes: Partial<NotificationDecision> = {}): NotificationDecision => ({
      id,
      dueAt,
      notification: { ...NOT_NOTIFIED, told: 1, told_at: NOW },
      nextCheckAt: null,
      notify: 'firing',
      ...changes,
    })

    test('are due at their time, again after a change of the alert, and removed once decided', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease } = await committer(store)
      await commit({ alerts: { opened: [opened(1), opened(2, { notifyAfterMs: 1e9 })], ended: [] } })
      const { alerts, now } = await store.alerts.dueNotifications(0, 10)
      expect(now).toBeGreaterThan(1.7e12)
      const dueAt = alerts[0]?.dueAt ?? 0
      expect(dueAt).toBeLessThanOrEqual(now)
      expect(dueAt).toBeGreaterThan(now - 10_000)
      expect(alerts).toEqual([
        {
          id: idOf(1),
          dueAt,
          parts: { opening: opening(1), end: null, operator: null, notification: null, similar: NONE },
        },
      ])
      expect(await store.alerts.recordNotifications(lease, [decided(idOf(1), dueAt)], [])).toBe(0)
      expect((await store.alerts.dueNotifications(0, 10)).alerts).toEqual([])
      expect(only(await store.alerts.read(0, [idOf(1)]))?.notification).toMatchObject({ told: 1 })

      await commit({ alerts: { opened: [], ended: [ended(1), ended(2)] } })
      const again = await store.alerts.dueNotifications(0, 10)
      expect(again.alerts.map(({ id }) => id).sort()).toEqual([idOf(1), idOf(2)])
      expect((await store.alerts.dueNotifications(0, 1)).alerts).toHaveLength(1)
    })

    test('stay due when the alert changed between the read and the decision', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease } = await committer(store)
      await commit({ alerts: { opened: [opened(1)], ended: [] } })
      const [due] = (await store.alerts.dueNotifications(0, 10)).alerts
      await commit({ alerts: { opened: [], ended: [ended(1)] } })
      await store.alerts.recordNotifications(lease, [decided(idOf(1), due?.dueAt ?? 0)], [])
      expect((await store.alerts.dueNotifications(0, 10)).alerts).toMatchObject([
        { id: idOf(1), parts: { end: ended(1).end } },
      ])
    })

    test('are known to be scheduled, however far ahead', async () => {
      await using under = await open()
      const { alerts } = under.store
      const { commit, lease } = await committer(under.store)
      expect(await alerts.scheduled([], ['one'])).toEqual([])
      expect(await alerts.scheduled([0, 1], ['one'])).toEqual([])
      await commit({ alerts: { opened: [opened(1, { notifyAfterMs: 60_000 })], ended: [] } })
      expect(await alerts.scheduled([0, 1], ['one'])).toContain(0)
      expect(await alerts.scheduled([1], ['one'])).toEqual([])
      const [due] = (await alerts.dueNotifications(0, 10, 120_000)).alerts
      await alerts.recordNotifications(lease, [decided(idOf(1), due?.dueAt ?? 0)], [])
      expect(await alerts.scheduled([0, 1], ['one'])).toEqual([])
      const state = { told: 1, told_at: NOW, told_resolved: false, failing_since: NOW }
      const retried = { receiver: 'one', receivers: ['one'], upTo: undefined, dead: [] }
      const retryAt = NOW + 1e9
      await alerts.recordDeliveries(lease, { ...retried, alerts: [{ id: idOf(1), state, retryAt }] })
      expect(await alerts.scheduled([0], ['other', 'one'])).toEqual([0])
      expect(await alerts.scheduled([0], ['other'])).toEqual([])
    })

    test('are due again at the time that a decision sets', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease } = await committer(store)
      await commit({ alerts: { opened: [opened(1), opened(2)], ended: [] } })
      const [one, two] = (await store.alerts.dueNotifications(0, 10)).alerts
      const decisions = [
        decided(idOf(1), one?.dueAt ?? 0, { nextCheckAt: 9, notify: null }),
        decided(idOf(2), two?.dueAt ?? 0, { nextCheckAt: Date.now() + 1e9, notify: null }),
      ]
      await store.alerts.recordNotifications(lease, decisions, [])
      expect((await store.alerts.dueNotifications(0, 10)).alerts).toMatchObject([{ id: idOf(1), dueAt: 9 }])
      expect(await store.alerts.pendingNotifications([0], [])).toMatchObject([{ outbox: 0, oldest: null }])
      await store.alerts.setOperatorState(0, idOf(2), NO_OPERATOR_STATE, 3)
      expect((await store.alerts.dueNotifications(0, 10)).alerts.map(({ id }) => id)).toEqual([idOf(2), idOf(1)])
    })

    test('of deleted alerts are removed', async () => {
      await using under = await open()
      const { store } = under
      const { lease } = await committer(store)
      expect(await store.alerts.recordNotifications(lease, [decided('unknown', 5, { nextCheckAt: 6 })], [])).toBe(0)
      expect((await store.alerts.dueNotifications(0, 10)).alerts).toEqual([])
      expect(await store.alerts.pendingNotifications([0], [])).toMatchObject([{ outbox: 0, oldest: null }])
    })

    test('are decided and delivered by the owner of the lease only', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease } = await committer(store)
      await commit({ alerts: { opened: [opened(1)], ended: [] } })
      const stranger = { partition: 0, token: 'another:owner' }
      expect(await store.alerts.recordNotifications(stranger, [decided(idOf(1), 5)], [])).toBeUndefined()
      expect(await store.alerts.pendingNotifications([0], [])).toMatchObject([{ outbox: 0, oldest: null }])
      await store.alerts.recordNotifications(lease, [decided(idOf(1), 5)], [])
      const [entry] = await store.alerts.outbox(0, 'hook', 10)
      const delivered = { ...NO_RESULTS, receiver: 'hook', upTo: entry?.id, receivers: ['hook'] }
      expect(await store.alerts.recordDeliveries(stranger, delivered)).toBe(false)
      expect(await store.alerts.pendingNotifications([0], [])).toMatchObject([{ outbox: 1 }])
    })
  })

  describe('the outbox', () => {
    async function filled(under: StoreUnderTest, count: number, dropped = 0): Promise<Lease> {
      const { commit, lease } = await committer(under.store)
      const numbers = Array.from({ length: count }, (_, n) => n)
      await commit({ alerts: { opened: numbers.map(n => opened(n)), ended: [] } })
      const notification = { ...NOT_NOTIFIED, told: 2 }
      const decisions = numbers.map(n => ({
        id: idOf(n),
        dueAt: 5,
        notification,
        nextCheckAt: null,
        notify: 'firing' as const,
      }))
      expect(await under.store.alerts.recordNotifications(lease, decisions, ['one', 'two'])).toBe(dropped)
      return lease
    }

    test('returns to each receiver what was not delivered to it, in order, and drops what was delivered to all', async () => {
      await using under = await open()
      const { alerts } = under.store
      const lease = await filled(under, 4)
      const entries = await alerts.outbox(0, 'one', 10)
      expect(entries.map(({ alert, status, number }) => ({ alert, status, number }))).toEqual(
        [0, 1, 2, 3].map(n => ({ alert: idOf(n), status: 'firing', number: 2 })),
      )
      const ids = entries.map(({ id }) => id)
      const receivers = ['one', 'two']
      await alerts.recordDeliveries(lease, { ...NO_RESULTS, receiver: 'one', upTo: ids[2] ?? '', receivers })
      expect((await alerts.outbox(0, 'one', 10)).map(({ id }) => id)).toEqual(ids.slice(3))
      expect((await alerts.outbox(0, 'two', 2)).map(({ id }) => id)).toEqual(ids.slice(0, 2))
      expect(await alerts.pendingNotifications([0, 1], [])).toMatchObject([
        { outbox: 4, oldest: ids[0] },
        { outbox: 0 },
      ])
      await alerts.recordDeliveries(lease, { ...NO_RESULTS, receiver: 'two', upTo: ids[1] ?? '', receivers })
      expect(await alerts.pendingNotifications([0], [])).toMatchObject([{ outbox: 2, oldest: ids[2] }])
      // A late report of an earlier delivery does not move a position back.
      await alerts.recordDeliveries(lease, { ...NO_RESULTS, receiver: 'one', upTo: ids[0] ?? '', receivers })
      expect((await alerts.outbox(0, 'one', 10)).map(({ id }) => id)).toEqual(ids.slice(3))
      await alerts.recordDeliveries(lease, { ...NO_RESULTS, receiver: 'two', upTo: ids[3] ?? '', receivers: ['two'] })
      expect(await alerts.pendingNotifications([0], [])).toMatchObject([{ outbox: 0, oldest: null }])
    })

    test('is bounded and keeps the newest entries; the others are dead letters of each receiver', async () => {
      await using under = await open()
      const { store, limits } = under
      await filled(under, limits.outboxMax + 3, 6)
      expect((await store.alerts.deadNotifications(0, { count: 10 })).map(one => [one.alert, one.receiver])).toEqual(
        [2, 1, 0].flatMap(n => [
          [idOf(n), 'two'],
          [idOf(n), 'one'],
        ]),
      )
      expect((await store.alerts.deadNotifications(0, { count: 1 }))[0]).toMatchObject({
        status: 'firing',
        number: 2,
        reason: 'the outbox was full',
      })
      const kept = await store.alerts.outbox(0, 'one', 1000)
      expect(kept.map(({ alert }) => alert)).toEqual(Array.from({ length: limits.outboxMax }, (_, n) => idOf(n + 3)))
    })
  })

  describe('deliveries', () => {
    const state = (changes: Partial<ReceiverState> = {}): ReceiverState => ({
      told: 1,
      told_at: NOW,
      told_resolved: false,
      failing_since: 0,
      ...changes,
    })
    const receivers = ['one', 'two']

    async function withAlerts(under: StoreUnderTest): Promise<Lease> {
      const { commit, lease } = await committer(under.store)
      await commit({ alerts: { opened: [opened(1), opened(2)], ended: [] } })
      return lease
    }

    test('are recorded by alert and receiver', async () => {
      await using under = await open()
      const { alerts } = under.store
      const lease = await withAlerts(under)
      const record = (receiver: string, one: ReceiverState) =>
        alerts.recordDeliveries(lease, {
          receiver,
          receivers,
          upTo: undefined,
          alerts: [{ id: idOf(1), state: one, retryAt: null }],
          dead: [],
        })
      expect(await record('one', state())).toBe(true)
      expect(await record('two', state({ told: 0, told_at: 0, failing_since: NOW }))).toBe(true)
      expect(await record('one', state({ told_resolved: true }))).toBe(true)
      expect(await alerts.read(0, [idOf(1), idOf(2)])).toMatchObject([
        { receivers: { one: state({ told_resolved: true }), two: state({ told: 0, told_at: 0, failing_since: NOW }) } },
        { opening: opening(2) },
      ])
      expect((await alerts.read(0, [idOf(2)]))[0]?.receivers).toBeUndefined()
    })

    test('that failed are due again at their time, for their receiver only', async () => {
      await using under = await open()
      const { alerts } = under.store
      const lease = await withAlerts(under)
      const failing = state({ failing_since: NOW })
      const retry = (n: number, retryAt: number | null) =>
        alerts.recordDeliveries(lease, {
          receiver: 'one',
          receivers,
          upTo: undefined,
          alerts: [{ id: idOf(n), state: failing, retryAt }],
          dead: [],
        })
      await retry(1, NOW + 20)
      await retry(2, NOW + 10)
      await retry(9, NOW)
      expect(await alerts.pendingNotifications([0], receivers)).toEqual([
        {
          outbox: 0,
          oldest: null,
          dead: 0,
          retries: [
            { count: 2, dueAt: NOW + 10 },
            { count: 0, dueAt: Number.POSITIVE_INFINITY },
          ],
        },
      ])
      expect(await alerts.dueRetries(0, 'one', { now: NOW + 9, count: 10 })).toEqual([])
      expect(await alerts.dueRetries(0, 'one', { now: NOW + 20, count: 10 })).toEqual([idOf(2), idOf(1)])
      expect(await alerts.dueRetries(0, 'one', { now: NOW + 20, count: 1 })).toEqual([idOf(2)])
      expect(await alerts.dueRetries(0, 'two', { now: NOW + 20, count: 10 })).toEqual([])
      await retry(2, null)
      expect(await alerts.dueRetries(0, 'one', { now: NOW + 20, count: 10 })).toEqual([idOf(1)])
    })

    test('that became dead letters are listed, redriven once and discarded', async () => {
      await using under = await open()
      const { alerts } = under.store
      const lease = await withAlerts(under)
      const letter = (n: number) => ({
        alert: idOf(n),
        status: 'firing' as const,
        number: 1,
        reason: 'status 403: "no" ☃',
        since: NOW,
      })
      const dead = [letter(1), letter(2), letter(9)]
      await alerts.recordDeliveries(lease, { receiver: 'one', receivers, upTo: undefined, alerts: [], dead })
      const letters = await alerts.deadNotifications(0, { count: 10 })
      expect(letters).toEqual(dead.toReversed().map(one => ({ ...one, id: expect.any(String), receiver: 'one' })))
      expect(await alerts.deadNotifications(1, { count: 10 })).toEqual([])
      const [ninth, second, first] = letters
      if (first === undefined || second === undefined || ninth === undefined) throw new Error('letters are missing')
      expect(await alerts.deadNotifications(0, { upTo: second.id, count: 1 })).toEqual([second])
      expect(await alerts.redriveNotification(0, first)).toBe('scheduled')
      expect(await alerts.redriveNotification(0, first)).toBe('unknown')
      expect(await alerts.redriveNotification(0, ninth)).toBe('alert-unknown')
      const [due] = await alerts.pendingNotifications([0], ['one'])
      expect(due).toMatchObject({ dead: 2, retries: [{ count: 1 }] })
      expect(await alerts.dueRetries(0, 'one', { now: Date.now() + 60_000, count: 10 })).toEqual([idOf(1)])
      const since = only(await alerts.read(0, [idOf(1)]))?.receivers?.one?.failing_since
      expect(since).toBe(due?.retries[0]?.dueAt)
      expect(await alerts.discardDeadNotification(0, second.id)).toBe(true)
      expect(await alerts.discardDeadNotification(0, second.id)).toBe(false)
      expect(await alerts.deadNotifications(0, { count: 10 })).toEqual([ninth])
    })

    test('are recorded for a message that another partition sent, and only ever grow', async () => {
      await using under = await open()
      const { alerts } = under.store
      await withAlerts(under)
      const stateNow = async () => only(await alerts.read(0, [idOf(1)]))?.receivers?.one
      const firing = (number: number) => ({ alert: idOf(1), status: 'firing' as const, number })
      const unknown = { alert: idOf(99), status: 'firing' as const, number: 1 }
      await alerts.recordTaken(0, 'one', [firing(2), unknown])
      const taken = await stateNow()
      expect(taken).toMatchObject({ told: 2, told_resolved: false, failing_since: 0 })
      expect(taken?.told_at).toBeGreaterThan(0)
      await alerts.recordTaken(0, 'one', [firing(1)])
      expect(await stateNow()).toEqual(taken)
      await alerts.recordTaken(0, 'one', [{ alert: idOf(1), status: 'resolved', number: 2 }])
      expect(await stateNow()).toEqual({ ...taken, told_resolved: true })
      expect(only(await alerts.read(0, [idOf(99)]))).toBeNull()
      expect(only(await alerts.read(0, [idOf(1)]))?.receivers?.two).toBeUndefined()
    })

    test('of a notification from now on are recorded even before a receiver took it', async () => {
      await using under = await open()
      const { store } = under
      const lease = await withAlerts(under)
      const decision = {
        id: idOf(1),
        dueAt: 5,
        notification: { ...NOT_NOTIFIED, told: 1 },
        nextCheckAt: null,
        notify: 'firing' as const,
      }
      await store.alerts.recordNotifications(lease, [decision], receivers)
      expect(only(await store.alerts.read(0, [idOf(1)]))?.receivers).toEqual({})
    })
  })

  test('openings and ends that a feed drops are counted', async () => {
    await using under = await open()
    const { store } = under
    const { commit } = await committer(store)
    expect(await store.alerts.feedTrimmed([0, 1])).toEqual([0, 0])
    const numbers = Array.from({ length: ALERT_FEED_KEPT / 2 + 200 }, (_, n) => n)
    await commit({ alerts: { opened: numbers.map(n => opened(n)), ended: numbers.map(n => ended(n)) } })
    const kept = await store.alerts.feed(0, ENTRY_ID_ZERO, 2 * numbers.length)
    expect(kept.length).toBeLessThan(2 * numbers.length)
    expect(await store.alerts.feedTrimmed([0, 1])).toEqual([2 * numbers.length - kept.length, 0])
  })

  describe('elapsed time', () => {
    test('is committed without entries, moves no checkpoint, and has the same effect when committed twice', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease, checkpoint } = await committer(store)
      await commit({ alerts: { opened: [opened(1)], ended: [] }, timers: [{ key: 'a', at: 5 }], rulesVersion: 3 })
      const before = await store.analyzer.loadCheckpoint(0)
      expect(before.rulesVersion).toBe(3)
      const effects = {
        keys: [{ ...keyUpdate('a', 9), analysis: null }],
        timers: [{ key: 'a', at: null }],
        rulesVersion: 4,
        alerts: { opened: [], ended: [ended(1)] },
        requiresDrained: true,
      }
      for (let i = 0; i < 2; i++) {
        expect(await store.analyzer.commit(lease, timeCommit(checkpoint(), effects))).toMatchObject({ kind: 'ok' })
      }
      const timeCommits = before.timeCommits + 2
      expect(await store.analyzer.loadCheckpoint(0)).toEqual({ ...before, rulesVersion: 4, timeCommits })
      const state = await stateOf(under, 0, ['a'])
      expect(state).toMatchObject({ analyses: [null], windows: [[...bytes('a', 9)]], progress: { analysed: 1 } })
      expect(await store.alerts.feed(0, ENTRY_ID_ZERO, 10)).toHaveLength(2)
      expect((await store.analyzer.expiredTimers(0, 10)).keys).toEqual([])
    })

    test('makes commits stale that do not know of it, or know of one that the store has lost', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease, checkpoint } = await committer(store)
      await commit({})
      const send = async (one: Commit) => (await store.analyzer.commit(lease, one)).kind
      for (const timeCommits of [0, 1]) expect(await send(timeCommit(checkpoint(), { timeCommits }))).toBe('ok')
      const entries = await appendAndRead(store, 0, 1)
      for (const timeCommits of [0, 1, 3]) {
        expect(await send(timeCommit(checkpoint(), { timeCommits }))).toBe('stale')
        // With keys, so that it may be a transaction.
        expect(await send(commitOf(checkpoint(), entries, { timeCommits, keys: [keyUpdate('a')] }))).toBe('stale')
      }
      const last = commitOf(checkpoint(), entries, { timeCommits: 2, keys: [keyUpdate('a')] })
      expect(await send(last)).toBe('ok')
      // The response was lost: it is known to be applied, whatever came after it.
      expect(await send(last)).toBe('already')
      expect(await store.analyzer.loadCheckpoint(0)).toMatchObject({ id: last.to.id, timeCommits: 2 })
    })

    test('is refused when another owner holds the lease, the checkpoint moved, or an entry has arrived', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease, checkpoint } = await committer(store)
      await commit({})
      const stranger = { partition: 0, token: 'another:owner' }
      expect(await store.analyzer.commit(stranger, timeCommit(checkpoint()))).toEqual({ kind: 'fenced' })
      expect(await store.analyzer.commit(lease, timeCommit(ZERO))).toEqual({
        kind: 'stale',
        checkpoint: checkpoint().id,
      })
      const [entry] = await appendAndRead(store, 0, 1)
      const drained = timeCommit(checkpoint(), { requiresDrained: true, alerts: { opened: [opened(1)], ended: [] } })
      expect(await store.analyzer.commit(lease, drained)).toEqual({ kind: 'gap', id: entry?.id })
      expect(await all(store, 'firing')).toEqual([])
      expect(await store.analyzer.commit(lease, { ...drained, requiresDrained: false })).toMatchObject({ kind: 'ok' })
      expect(await all(store, 'firing')).toHaveLength(1)
    })

    test('expires timers of keys, the longest expired first', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const far = Date.now() + 1e9
      const timers = [
        { key: 'late', at: far },
        { key: 'b', at: 9 },
        { key: 'a"☃', at: 7 },
      ]
      expect(await store.analyzer.expiredTimers(0, 10)).toMatchObject({ keys: [], firstAt: null })
      await commit({ timers })
      const found = await store.analyzer.expiredTimers(0, 10)
      expect(found).toEqual({ now: expect.any(Number), keys: ['a"☃', 'b'], firstAt: 7 })
      expect((await store.analyzer.expiredTimers(0, 1)).keys).toEqual(['a"☃'])
      expect(await store.analyzer.keptCounts([0])).toEqual([{ deadLetters: 0, timers: 3, keys: 0 }])
      await commit({
        timers: [
          { key: 'a"☃', at: far },
          { key: 'b', at: null },
        ],
      })
      expect(await store.analyzer.expiredTimers(0, 10)).toMatchObject({ keys: [], firstAt: far })
    })
  })

  describe('counts of rules', () => {
    test('add up, are read by both services and are deleted by name', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      await commit({
        counts: [
          { name: 'r:1:judged', by: 3 },
          { name: 'r:1:flagged', by: 1 },
        ],
      })
      await commit({ counts: [{ name: 'r:1:judged', by: 4 }] })
      const expected = new Map([
        ['r:1:judged', 7],
        ['r:1:flagged', 1],
      ])
      expect(await store.analyzer.ruleCounts(0)).toEqual(expected)
      expect(await store.gateway.ruleCounts(0)).toEqual(expected)
      expect(await store.gateway.ruleCounts(1)).toEqual(new Map())
      await store.analyzer.dropRuleCounts(0, ['r:1:judged', 'unknown'])
      await store.analyzer.dropRuleCounts(0, [])
      expect(await store.gateway.ruleCounts(0)).toEqual(new Map([['r:1:flagged', 1]]))
    })

    test('what shadow rules would have flagged is kept, the newest analyses of each', async () => {
      await using under = await open()
      const { store, limits } = under
      const { commit } = await committer(store)
      const flagged = (rule: string, n: number) => ({ rule, analysis: `{"n":${n},"rule":"${rule}"}` })
      await commit({ shadowed: [flagged('x', 1), flagged('y', 2), flagged('x', 3)] })
      expect(await store.gateway.shadowed(0, 'x', 10)).toEqual([flagged('x', 3).analysis, flagged('x', 1).analysis])
      expect(await store.gateway.shadowed(0, 'x', 1)).toEqual([flagged('x', 3).analysis])
      expect(await store.gateway.shadowed(0, 'z', 10)).toEqual([])
      await commit({ shadowed: Array.from({ length: 500 }, (_, n) => flagged('x', n)) })
      expect((await store.gateway.shadowed(0, 'x', 1000)).length).toBeLessThanOrEqual(
        limits.shadowedMax + limits.trimSlack,
      )
      expect((await store.gateway.shadowed(0, 'x', 1000)).length).toBeGreaterThanOrEqual(limits.shadowedMax)
    })
  })

  describe('storms', () => {
    const storm = (keys: number): AlertOpening => ({
      id: `fleet-${NOW}`,
      key: null,
      rule: null,
      severity: 'critical',
      opened_at: NOW,
      cause: { kind: 'storm', keys: ['a'], key_count: keys, keys_total: 100 },
    })

    test('are saved with the alert changes they cause, all or nothing, by the owner of their partition', async () => {
      await using under = await open()
      const { store } = under
      const { lease } = await committer(store)
      expect(await store.alerts.loadStorm()).toBeNull()
      expect(await store.alerts.saveStorm(lease, { state: 'one', opening: storm(20), end: null })).toBe(true)
      expect(await store.alerts.loadStorm()).toBe('one')
      expect(await store.alerts.saveStorm(lease, { state: 'two', opening: storm(30), end: null })).toBe(true)
      const [parts] = await store.alerts.read(FLEET_PARTITION, [`fleet-${NOW}`])
      expect(parts?.opening).toEqual(storm(30))
      expect((await store.alerts.dueNotifications(FLEET_PARTITION, 10)).alerts).toMatchObject([{ id: `fleet-${NOW}` }])
      const end = { resolved_at: NOW + 9, resolve_reason: 'few_keys', peak: null } as const
      const stranger = { partition: FLEET_PARTITION, token: 'another:owner' }
      const over = { state: 'three', opening: null, end: { id: `fleet-${NOW}`, end } }
      expect(await store.alerts.saveStorm(stranger, over)).toBe(false)
      expect(await store.alerts.loadStorm()).toBe('two')
      expect(await store.alerts.saveStorm(lease, over)).toBe(true)
      expect(await all(store, 'firing')).toEqual([])
      expect(await all(store, 'resolved')).toEqual([{ id: `fleet-${NOW}`, time: NOW + 9 }])
    })

    test('read the number of keys', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      await commit({ keys: [keyUpdate('a'), keyUpdate('b'), { ...keyUpdate('\u0001a'), analysis: null }] })
      expect(await store.alerts.keyCounts([0, 1])).toEqual([2, 0])
    })
  })
}
