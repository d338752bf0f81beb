import { NOT_NOTIFIED } from '@tidemark/shared/detection/alerts/record'
import { EMPTY_DOCUMENT, withMute } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { commitAlerts, openingOf } from '@tidemark/testkit/alert-commits'
import type { FakeClock } from '@tidemark/testkit/fake-clock'
import { describe, expect, test } from 'vitest'
import type { Delivery } from '../../src/notify/receiver.ts'
import {
  counted,
  createWorld,
  DAY,
  DELIVERED,
  failed,
  Listener,
  MINUTE,
  NOW,
  PARTITIONS,
  refused,
  WAIT_MS,
} from './notify-world.ts'

/** Not an anomaly: many at once are no storm. */
const SILENT = { cause: { kind: 'silent', last_at: NOW, expected_ms: 1000 } } as const

/** Lets a day and `more` pass: the last minutes in steps, and most of it at once. */
async function passADay({ clock }: { clock: FakeClock }, more: number): Promise<void> {
  await clock.advance(3 * MINUTE)
  clock.jump(DAY - 10 * MINUTE)
  await clock.advance(7 * MINUTE + more)
}

const NOTE = { who: 'ada', why: 'known' }

describe('a receiver', () => {
  test('is notified once when an alert fires, after the delay, and once when it is resolved', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { metrics } = world.start([listener])
    const opening = await world.open('edge-17/cpu')
    await world.clock.advance(1900)
    expect(listener.notified).toEqual([])
    await world.clock.advance(600)
    expect(listener.notified).toEqual(['edge-17/cpu firing'])
    await world.clock.advance(10_000)
    await world.end(opening)
    await world.clock.advance(10 * MINUTE)
    expect(listener.notified).toEqual(['edge-17/cpu firing', 'edge-17/cpu resolved'])
    expect(listener.requests.map(({ ids }) => ids)).toEqual([[`${opening.id}:firing:1`], [`${opening.id}:resolved:1`]])
    expect(listener.taken[1]?.record).toMatchObject({ state: 'resolved', told: 1, told_resolved: true })
    expect(await world.outbox()).toBe(0)
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'delivered' })).toBe(2)
  })

  test('is not notified of an alert that was resolved within the delay', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    const opening = await world.open('a')
    await world.clock.advance(1000)
    await world.end(opening)
    await world.clock.advance(MINUTE)
    expect(listener.requests).toEqual([])
  })

  test('is notified again with the same id when the delivery could not be recorded', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { recordDeliveries } = world.store.alerts
    let isUnavailable = true
    world.start([listener], {
      ...world.store.alerts,
      recordDeliveries: async (...args) => {
        if (isUnavailable) throw new StoreError('unavailable', { kind: 'refused' })
        return recordDeliveries(...args)
      },
    })
    const opening = await world.open('a')
    await world.clock.advance(2200)
    const id = `${opening.id}:firing:1`
    expect(listener.requests.map(({ ids }) => ids)).toEqual([[id]])
    isUnavailable = false
    await world.clock.advance(1000)
    expect(listener.requests.map(({ ids }) => ids)).toEqual([[id], [id]])
    expect(await world.outbox()).toBe(0)
  })

  test('is notified by the next owner when the previous one crashed between a delivery and its record', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const never = Promise.withResolvers<boolean>()
    world.start([listener], { ...world.store.alerts, recordDeliveries: () => never.promise })
    const opening = await world.open('a')
    await world.clock.advance(2200)
    await world.own('b')
    world.start([listener])
    await world.clock.advance(1000)
    expect(listener.requests.map(({ ids }) => ids)).toEqual([[`${opening.id}:firing:1`], [`${opening.id}:firing:1`]])
    expect(await world.outbox()).toBe(0)
    never.resolve(false)
  })

  test('is notified in the order of the outbox, also after failures', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    let failures = 2
    listener.respond = () => (failures-- > 0 ? failed() : { kind: 'delivered' })
    world.start([listener])
    const first = await world.open('a')
    await world.clock.advance(2200)
    await world.open('b')
    await world.end(first)
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['a firing', 'a resolved', 'b firing'])
  })

  test('that fails is retried after 1 to 2 s, then after twice as long each time, up to a minute', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => failed()
    const { metrics } = world.start([listener])
    await world.open('a')
    await world.clock.advance(5 * MINUTE)
    const times = listener.requests.map(({ at }) => at)
    const waits = times.slice(1).map((at, i) => Math.round((at - (times[i] ?? 0)) / 500) / 2)
    expect(waits).toEqual([1.5, 3, 6, 12, 24, 45, 45, 45, 45, 45])
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'failed' })).toBe(times.length)
    expect(await world.outbox()).toBe(1)
  })

  test('gets no request from any partition until its Retry-After is over', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => (world.clock.wallMs() < NOW + 30_000 ? failed(30_000) : { kind: 'delivered' })
    world.start([listener])
    await world.open('a', {}, 0)
    await world.clock.advance(2200)
    await world.open('b')
    await world.clock.advance(MINUTE)
    expect(listener.requests.map(({ at }) => at)).toEqual([2000, 32_000, 32_000])
    expect(listener.notified.toSorted()).toEqual(['a firing', 'b firing'])
  })

  test('that refuses a notification is sent the others, and it again after ever longer pauses', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = ([one]) => (one?.record.key === 'a' ? refused() : DELIVERED)
    const { metrics } = world.start([listener])
    const opening = await world.open('a')
    await world.open('b')
    await world.clock.advance(10 * MINUTE)
    expect(listener.notified).toEqual(['b firing'])
    const times = listener.requests.filter(({ ids }) => ids[0]?.startsWith(opening.id)).map(({ at }) => at)
    const waits = times.slice(1).map((at, i) => Math.round((at - (times[i] ?? 0)) / 1000))
    expect(waits.slice(0, 6)).toEqual([2, 2, 2, 4, 7, 12])
    expect(Math.max(...waits)).toBeLessThanOrEqual(60)
    expect(waits.length).toBeLessThan(25)
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'refused' })).toBe(times.length)
    expect((await world.record(opening)).receivers?.one).toMatchObject({ told: 0, failing_since: NOW + 2000 })
    expect(await world.outbox('one')).toBe(1)
    listener.respond = () => DELIVERED
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['b firing', 'a firing'])
    expect(await world.outbox('one')).toBe(0)
  })

  test.each([400, 403, 404, 410])('that responds %i to everything for a while gets start and end', async status => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => (world.clock.wallMs() < NOW + 20_000 ? refused(status) : DELIVERED)
    world.start([listener])
    const short = await world.open('short')
    const long = await world.open('long')
    await world.clock.advance(10_000)
    await world.end(short)
    await world.clock.advance(MINUTE)
    await world.end(long)
    await world.clock.advance(MINUTE)
    const of = (key: string) => listener.notified.filter(one => one.startsWith(key))
    expect([of('short'), of('long')]).toEqual([
      ['short firing', 'short resolved'],
      ['long firing', 'long resolved'],
    ])
    expect(await world.outbox('one')).toBe(0)
    expect(await world.dead()).toEqual([])
  })

  test.each([
    ['refuses', 'the receiver refused a notification; retrying', refused(403)],
    ['fails', 'a notification failed; retrying', failed()],
  ])('that %s is in the log with the start of its response', async (_, what, delivery) => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => ({ ...delivery, body: 'no route to the team' })
    world.start([listener])
    await world.open('a')
    await world.clock.advance(3000)
    expect(world.logged[0]).toMatchObject({
      message: delivery.kind === 'delivered' ? '' : delivery.reason,
      what,
      address: 'http://listener',
      response: 'no route to the team',
    })
  })

  test('that refuses everything gets few requests, and a new alert within a minute of its recovery', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => refused(404)
    world.start([listener])
    for (let i = 0; i < 50; i++) await world.open(`key ${i}`, SILENT)
    await world.clock.advance(60 * MINUTE)
    expect(listener.requests.length).toBeLessThan(100 * 50)
    listener.respond = () => DELIVERED
    await world.clock.advance(1.1 * MINUTE)
    await world.open('new')
    await world.clock.advance(MINUTE)
    expect(new Set(listener.notified).size).toBe(51)
    expect(await world.outbox('one')).toBe(0)
  })

  test('that refuses many alerts for good takes another one within a minute of its recovery', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    let isUp = false
    listener.respond = ([one]) => (isUp && one?.record.key === 'good' ? DELIVERED : refused(413))
    world.start([listener])
    for (let i = 0; i < 30; i++) await world.open(`bad ${i}`, SILENT)
    await world.open('good')
    await world.clock.advance(20 * MINUTE)
    isUp = true
    await world.clock.advance(1.1 * MINUTE)
    expect(listener.notified).toEqual(['good firing'])
  })

  test('that refuses two notifications of a batch gets the others with few requests', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100 })
    const bad = ['key 17', 'key 60']
    listener.respond = all => (all.some(({ record }) => bad.includes(record.key ?? '')) ? refused() : DELIVERED)
    world.start([listener])
    for (let i = 0; i < 100; i++) await world.open(`key ${i}`, SILENT)
    await world.clock.advance(2500)
    expect(listener.notified).toHaveLength(98)
    expect(listener.requests.length).toBeLessThanOrEqual(2 * 2 * Math.log2(128) + 1)
    listener.respond = () => DELIVERED
    await world.clock.advance(MINUTE)
    expect(listener.notified.slice(98).toSorted()).toEqual(bad.map(key => `${key} firing`))
  })

  test('that refuses the start of an alert in a batch does not get its end before', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100 })
    let isUp = false
    listener.respond = all => {
      if (!isUp) return failed()
      return world.clock.wallMs() < NOW + 5 * MINUTE && all.some(({ id }) => id.includes(`${a.id}:firing`))
        ? refused()
        : DELIVERED
    }
    world.start([listener])
    const a = await world.open('a')
    await world.open('b')
    await world.clock.advance(3000)
    await world.end(a)
    await world.clock.advance(3000)
    isUp = true
    await world.clock.advance(4 * MINUTE)
    expect(listener.notified).toEqual(['b firing'])
    await world.clock.advance(3 * MINUTE)
    expect(listener.notified).toEqual(['b firing', 'a firing', 'a resolved'])
  })

  test('that fails or does not respond does not delay others', async () => {
    const world = await createWorld()
    const down = new Listener(world.clock, { name: 'down' })
    const silent = new Listener(world.clock, { name: 'silent' })
    const up = new Listener(world.clock, { name: 'up' })
    const response = Promise.withResolvers<Delivery>()
    down.respond = () => failed()
    silent.respond = () => response.promise
    world.start([down, silent, up])
    const opening = await world.open('a')
    await world.clock.advance(3000)
    await world.end(opening)
    await world.clock.advance(3000)
    expect(up.notified).toEqual(['a firing', 'a resolved'])
    expect(silent.requests).toHaveLength(1)
    expect(await world.outbox()).toBe(2)
    response.resolve({ kind: 'delivered' })
    down.respond = () => ({ kind: 'delivered' })
    await world.clock.advance(MINUTE)
    expect([down.notified, silent.notified]).toEqual([up.notified, up.notified])
    expect(await world.outbox()).toBe(0)
  })

  test('may finish its request when the analyzer stops, and the delivery is recorded', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const response = Promise.withResolvers<Delivery>()
    listener.respond = () => response.promise
    const { notifier } = world.start([listener])
    await world.open('a')
    await world.open('b')
    await world.clock.advance(2200)
    const stopped = notifier[Symbol.asyncDispose]()
    await world.clock.advance(100)
    response.resolve({ kind: 'delivered' })
    await stopped
    expect(listener.notified).toEqual(['a firing'])
    expect(await world.outbox()).toBe(1)
  })

  test('is not notified by a former owner', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await world.open('a')
    for (const lease of world.leases) await world.store.analyzer.releaseLease(lease)
    await world.clock.advance(MINUTE)
    expect(listener.requests).toEqual([])
  })

  test('is not notified by an owner that loses the lease while it reads the outbox', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { needsReminders: true })
    const held = world.leases
    let isLeaving = false
    world.start([listener], {
      ...world.store.alerts,
      read: async (...args) => {
        if (isLeaving) world.leases = []
        return world.store.alerts.read(...args)
      },
    })
    await world.open('a')
    await world.clock.advance(1900)
    isLeaving = true
    await world.clock.advance(MINUTE)
    expect(listener.requests).toEqual([])
    isLeaving = false
    world.leases = held
    await world.clock.advance(1000)
    expect(listener.notified).toEqual(['a firing'])
    isLeaving = true
    await world.clock.advance(2 * MINUTE)
    expect(listener.notified).toEqual(['a firing'])
  })
})

describe("when the store's clock", () => {
  test('was an hour ahead for a while, an alert of that time is notified soon, and a snoozed one is not', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    const snoozedOne = await world.open('snoozed')
    await world.clock.advance(3000)
    const at = world.clock.wallMs()
    const snoozed = { ...NOTE, at, until: at + 30 * MINUTE }
    await world.store.alerts.setOperatorState(1, snoozedOne.id, { snoozed }, at)
    await world.clock.advance(1000)
    world.skew.ms = 60 * MINUTE
    await world.clock.advance(7000)
    // By the clock ahead the snooze is over.
    expect(listener.notified).toEqual(['snoozed firing', 'snoozed firing'])
    await world.open('a')
    await world.clock.advance(1000)
    world.skew.ms = 0
    await world.clock.advance(3000)
    expect(listener.notified.slice(2)).toEqual(['a firing'])
  })

  test('differs from the clock of the analyzer, receivers are given the time of the store', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.skew.ms = -5 * MINUTE
    world.start([listener])
    await world.open('a')
    await world.clock.advance(3000)
    const { now = 0 } = listener.times[0] ?? {}
    expect(now).toBe(NOW + 2000 - 5 * MINUTE)
  })
})

describe('after the time for retries', () => {
  test.each([
    ['fails', () => failed()],
    ['refuses it', () => refused(403)],
  ])('a notification whose receiver %s is a dead letter, and others hear of it', async (_, respond) => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const other = new Listener(world.clock, { name: 'other' })
    listener.respond = respond
    const { metrics } = world.start([listener, other])
    const opening = await world.open('a')
    await passADay(world, -5 * MINUTE)
    expect(await world.dead()).toEqual([])
    await world.clock.advance(7 * MINUTE)
    expect(other.notified).toEqual(['a firing'])
    expect(await world.dead()).toMatchObject([
      { alert: opening.id, status: 'firing', number: 1, receiver: 'one', since: NOW + 2000 },
    ])
    expect(await world.outbox('one', 'other')).toBe(0)
    expect(await counted(metrics.dead, {})).toBe(1)
    const { length } = listener.requests
    await passADay(world, 0)
    expect(listener.requests).toHaveLength(length)
  })

  test('a dead letter that is redriven is sent, and its end too', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => failed()
    world.start([listener])
    const opening = await world.open('a')
    await passADay(world, 2 * MINUTE)
    await world.end(opening)
    await world.clock.advance(MINUTE)
    listener.respond = () => DELIVERED
    const [letter] = await world.dead()
    if (letter === undefined) throw new Error('there is no dead letter')
    expect(await world.store.alerts.redriveNotification(1, letter)).toBe('scheduled')
    expect(await world.store.alerts.redriveNotification(1, letter)).toBe('unknown')
    await world.clock.advance(2 * MINUTE)
    expect(listener.notified).toEqual(['a firing', 'a resolved'])
    expect(await world.dead()).toEqual([])
    expect(await world.outbox('one')).toBe(0)
  })

  test('the end of an alert whose start is a dead letter is sent with the start', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => refused(403)
    world.start([listener])
    const opening = await world.open('a')
    await passADay(world, 2 * MINUTE)
    expect(await world.dead()).toHaveLength(1)
    listener.respond = () => DELIVERED
    await world.end(opening)
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['a firing', 'a resolved'])
  })

  test('retries and their age survive a new owner', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = () => refused()
    world.start([listener])
    await world.open('a')
    await passADay(world, -5 * MINUTE)
    await world.own('b')
    await world.clock.advance(3 * MINUTE)
    expect(await world.outbox('one')).toBe(1)
    await world.clock.advance(3 * MINUTE)
    expect(await world.dead()).toHaveLength(1)
  })
})

describe('an alert', () => {
  test('is recorded as notified for each receiver that took it', async () => {
    const world = await createWorld()
    const up = new Listener(world.clock, { name: 'up' })
    const down = new Listener(world.clock, { name: 'down' })
    down.respond = () => failed()
    world.start([up, down])
    const opening = await world.open('a')
    await world.clock.advance(3000)
    await world.end(opening)
    await world.clock.advance(3000)
    const taken = { told: 1, told_at: NOW + 2000, told_resolved: true, failing_since: 0 }
    expect((await world.record(opening)).receivers).toEqual({ up: taken })
  })

  test('whose start an earlier version delivered is ended without another start', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const opening = await world.open('a')
    const told = { ...NOT_NOTIFIED, told: 1, told_at: NOW }
    const decision = { id: opening.id, dueAt: NOW + WAIT_MS, notification: told, nextCheckAt: null, notify: null }
    await world.store.alerts.recordNotifications(world.lease(1), [decision], [])
    world.start([listener])
    await world.clock.advance(3000)
    await world.end(opening)
    await world.clock.advance(3000)
    expect(listener.notified).toEqual(['a resolved'])
  })
})

test('what a full outbox and a full feed of alerts drop is counted', async () => {
  const world = await createWorld({ outboxMax: 2 })
  const listener = new Listener(world.clock)
  listener.respond = () => failed()
  let trimmed = 7
  const { metrics } = world.start([listener], {
    ...world.store.alerts,
    feedTrimmed: async partitions => partitions.map(() => trimmed),
  })
  for (const key of ['a', 'b', 'c', 'd', 'e']) await world.open(key)
  await world.clock.advance(5000)
  expect(await counted(metrics.dropped, {})).toBe(3)
  expect(await counted(metrics.dead, {})).toBe(3)
  // What was dropped before this analyzer owned the partitions is not of its time.
  expect(await counted(metrics.feedTrimmed, {})).toBe(0)
  trimmed = 12
  await world.clock.advance(2000)
  expect(await counted(metrics.feedTrimmed, {})).toBe(5 * PARTITIONS)
})

test('a partition at rest is not read, and what changes it from outside is noticed', async () => {
  const world = await createWorld()
  const listener = new Listener(world.clock)
  const reads: number[] = []
  world.start([listener], {
    ...world.store.alerts,
    async dueNotifications(partition, ...rest) {
      reads.push(partition)
      return world.store.alerts.dueNotifications(partition, ...rest)
    },
    async pendingNotifications(partitions, receivers) {
      reads.push(...partitions)
      return world.store.alerts.pendingNotifications(partitions, receivers)
    },
  })
  const opening = await world.open('a')
  await world.clock.advance(WAIT_MS + 1000)
  expect(listener.notified).toEqual(['a firing'])
  await world.clock.advance(1000)
  reads.length = 0
  await world.clock.advance(30_000)
  expect(reads).toEqual([])
  // The gateway schedules a check when an operator changes the alert.
  await world.store.alerts.setOperatorState(1, opening.id, { acknowledged: null }, world.clock.wallMs())
  await world.clock.advance(1000)
  expect(reads).toContain(1)
  expect(reads).not.toContain(0)
  await world.end(opening)
  await world.clock.advance(1000)
  expect(listener.notified).toEqual(['a firing', 'a resolved'])
  // A dead letter is redriven by the gateway.
  listener.respond = () => refused()
  await world.open('b')
  await passADay(world, MINUTE)
  const [letter] = await world.dead()
  listener.respond = () => DELIVERED
  if (letter === undefined) throw new Error('there is no dead letter')
  expect(await world.store.alerts.redriveNotification(1, letter)).toBe('scheduled')
  await world.clock.advance(1000)
  expect(listener.notified).toEqual(['a firing', 'a resolved', 'b firing'])
})

describe('a notifier at rest', () => {
  /** Between two checks. */
  const REST_MS = 30_100

  test('decides at once on what a commit of its analyzer ended', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { notifier } = world.start([listener])
    const opening = await world.open('a')
    await world.clock.advance(REST_MS)
    await world.end(opening)
    notifier.wake()
    await world.clock.advance(1)
    expect(listener.notified).toEqual(['a firing', 'a resolved'])
  })

  test('checks soon again if a commit came during a check', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    let duringCheck: () => Promise<void> = async () => undefined
    const { notifier } = world.start([listener], {
      ...world.store.alerts,
      async scheduled(...args) {
        const found = await world.store.alerts.scheduled(...args)
        await duringCheck()
        return found
      },
    })
    const opening = await world.open('a')
    await world.clock.advance(REST_MS)
    duringCheck = async () => {
      duringCheck = async () => undefined
      await world.end(opening)
      notifier.wake()
    }
    await world.clock.advance(900)
    expect(listener.notified).toEqual(['a firing'])
    await world.clock.advance(250)
    expect(listener.notified).toEqual(['a firing', 'a resolved'])
  })

  test('is not woken by each of many commits', async () => {
    const world = await createWorld()
    let checks = 0
    const { notifier } = world.start([new Listener(world.clock)], {
      ...world.store.alerts,
      scheduled(...args) {
        checks++
        return world.store.alerts.scheduled(...args)
      },
    })
    await world.clock.advance(REST_MS)
    checks = 0
    for (let i = 0; i < 1000; i++) {
      await world.open(`key ${i}`)
      notifier.wake()
      await world.clock.advance(1)
    }
    expect(checks).toBeLessThanOrEqual(6)
  })
})

test('what an outbox holds unnoticed, as after the restore of a backup, is sent within a minute', async () => {
  const world = await createWorld()
  const listener = new Listener(world.clock)
  world.start([listener])
  await world.clock.advance(1000)
  // Its check is done elsewhere, so nothing is scheduled.
  await world.open('a')
  const [due] = (await world.store.alerts.dueNotifications(1, 1, MINUTE)).alerts
  if (due === undefined) throw new Error('there is no check')
  const notification = { ...NOT_NOTIFIED, told: 1 }
  const decision = { id: due.id, dueAt: due.dueAt, notification, nextCheckAt: null, notify: 'firing' } as const
  await world.store.alerts.recordNotifications(world.lease(1), [decision], [])
  await world.clock.advance(MINUTE + 1000)
  expect(listener.notified).toEqual(['a firing'])
})

test('without a receiver, records hold their notification state and the outbox stays empty', async () => {
  const world = await createWorld()
  world.start([])
  const opening = await world.open('a')
  await world.clock.advance(5000)
  await world.end(opening)
  await world.clock.advance(5000)
  expect(await world.record(opening)).toMatchObject({ told: 1, told_resolved: true })
  expect(await world.outbox()).toBe(0)
})

describe('receivers are not notified', () => {
  test('of a muted key until the mute ends or is deleted', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { metrics } = world.start([listener])
    const mute = (id: string, pattern: string, until: number) => ({
      ...NOTE,
      id,
      pattern,
      until: new Date(until).toISOString(),
    })
    const one = withMute(EMPTY_DOCUMENT, mute('one', 'a', NOW + 5 * MINUTE), NOW)
    const two = withMute(one, mute('two', 'b', NOW + 60 * MINUTE), NOW)
    world.rules.current = new RuleSet(two, VERDICT_DEFAULTS)
    const a = await world.open('a')
    await world.open('b')
    await world.open('c')
    await world.clock.advance(4 * MINUTE)
    expect(listener.notified).toEqual(['c firing'])
    expect(await world.record(a)).toMatchObject({ suppressed_by: 'mute', suppressed: { mute: 1 }, told: 0 })
    expect(await counted(metrics.suppressed, { by: 'mute' })).toBe(2)
    await world.clock.advance(1.1 * MINUTE)
    expect(listener.notified).toEqual(['c firing', 'a firing'])
    world.rules.current = new RuleSet(one, VERDICT_DEFAULTS)
    await world.clock.advance(1.1 * MINUTE)
    expect(listener.notified).toEqual(['c firing', 'a firing', 'b firing'])
    expect(await counted(metrics.suppressed, { by: 'mute' })).toBe(2)
  })

  test('of the end of an alert of which they were not notified', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    const until = new Date(NOW + 60 * MINUTE).toISOString()
    world.rules.current = new RuleSet(withMute(EMPTY_DOCUMENT, { ...NOTE, id: 'm', pattern: '*', until }, NOW))
    const opening = await world.open('a')
    await world.clock.advance(5000)
    await world.end(opening)
    await world.clock.advance(MINUTE)
    expect(listener.requests).toEqual([])
  })

  test('of a snoozed alert again before the snooze ends', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    const opening = await world.open('a')
    await world.clock.advance(3000)
    const at = world.clock.wallMs()
    const snoozed = { ...NOTE, at, until: at + 10 * MINUTE }
    expect(await world.store.alerts.setOperatorState(1, opening.id, { acknowledged: null, snoozed }, at)).toBe(true)
    await world.clock.advance(9.9 * MINUTE)
    expect(listener.notified).toEqual(['a firing'])
    await world.clock.advance(0.2 * MINUTE)
    expect(listener.requests.map(({ ids }) => ids[0])).toEqual([`${opening.id}:firing:1`, `${opening.id}:firing:2`])
  })
})

describe('a receiver that needs reminders', () => {
  test('is reminded of firing alerts of which it was notified, until they end', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100, needsReminders: true })
    const { metrics } = world.start([listener])
    const until = new Date(NOW + 60 * MINUTE).toISOString()
    world.rules.current = new RuleSet(withMute(EMPTY_DOCUMENT, { ...NOTE, id: 'm', pattern: 'b', until }, NOW))
    const opening = await world.open('a')
    await world.open('b')
    await world.clock.advance(3 * MINUTE)
    expect(listener.notified).toEqual(['a firing', 'a firing', 'a firing', 'a firing'])
    await world.end(opening)
    await world.clock.advance(3 * MINUTE)
    expect(listener.notified.slice(4)).toEqual(['a resolved'])
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'delivered' })).toBe(2)
  })

  test('is reminded of all firing alerts at once by a new owner', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100, needsReminders: true })
    world.start([listener])
    await world.open('a')
    await world.open('b')
    await world.clock.advance(10_000)
    expect(listener.notified).toHaveLength(2)
    await world.own('b')
    await world.clock.advance(1000)
    expect(listener.notified.slice(2).toSorted()).toEqual(['a firing', 'b firing'])
  })

  test('that takes longer than the interval is reminded with a later end', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { needsReminders: true })
    listener.respond = async () => {
      await world.clock.pause(100_000)
      return DELIVERED
    }
    world.start([listener])
    await world.open('a')
    await world.open('b')
    await world.open('c')
    await world.clock.advance(20 * MINUTE)
    expect(listener.times.at(-1)?.reminderMs).toBeGreaterThanOrEqual(100_000)
    expect(listener.times.at(-1)?.now).toBeGreaterThan(NOW + 18 * MINUTE)
    listener.respond = () => DELIVERED
    await world.clock.advance(2 * MINUTE)
  })

  test('is reminded of the other alerts when it refuses one of them', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100, needsReminders: true })
    world.start([listener])
    for (const key of ['a', 'b', 'c']) await world.open(key)
    await world.clock.advance(3000)
    listener.respond = all => (all.some(({ record }) => record.key === 'b') ? refused() : DELIVERED)
    await world.clock.advance(MINUTE)
    expect(listener.notified.slice(3).toSorted()).toEqual(['a firing', 'c firing'])
  })

  test.each(['refused', 'dead'])(
    'gets the late end of an alert that was %s before the next one of the key',
    async how => {
      const world = await createWorld()
      const listener = new Listener(world.clock, { batchMax: 100, needsReminders: true })
      world.start([listener], world.store.alerts, { retryMaxMs: MINUTE })
      listener.respond = () => refused()
      const first = await world.open('a')
      await world.clock.advance(5000)
      await world.end(first)
      await world.clock.advance(how === 'dead' ? 3 * MINUTE : 10_000)
      const second = await world.open('a')
      listener.respond = ([one]) => (one?.record.id === first.id ? refused() : DELIVERED)
      await world.clock.advance(WAIT_MS + 500)
      expect(listener.notified).toEqual(['a firing'])
      listener.respond = () => DELIVERED
      if (how === 'dead') {
        const [letter] = await world.dead()
        if (letter === undefined) throw new Error('there is no dead letter')
        await world.store.alerts.redriveNotification(1, letter)
      }
      for (let i = 0; i < 40 && !listener.notified.includes('a resolved'); i++) await world.clock.advance(500)
      const ids = listener.taken.map(
        ({ record, status }) => `${record.id === second.id ? 'second' : 'first'} ${status}`,
      )
      expect(ids.slice(0, 4)).toEqual(['second firing', 'first firing', 'first resolved', 'second firing'])
    },
  )

  test('is not reminded of an alert that ends while it is read', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { needsReminders: true })
    let isEnding = false
    const { list } = world.store.alerts
    world.start([listener], {
      ...world.store.alerts,
      list: async (...args) => {
        const found = await list(...args)
        if (isEnding && found.length > 0) await world.end(opening)
        return found
      },
    })
    const opening = await world.open('a')
    await world.clock.advance(5000)
    isEnding = true
    await world.clock.advance(2 * MINUTE)
    expect(listener.notified).toEqual(['a firing', 'a resolved'])
  })

  test('is reminded of many alerts, a hundred per request', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100, needsReminders: true })
    world.start([listener])
    const openings = Array.from({ length: 250 }, (_, i) =>
      openingOf({ partition: 1, key: `key ${i}`, at: world.clock.wallMs() }, { severity: 'info' }),
    ).map(opening => ({ ...opening, cause: { kind: 'silent', last_at: NOW, expected_ms: 1000 } as const }))
    await commitAlerts(world.store, world.lease(1), { opened: openings, waitMs: WAIT_MS })
    await world.clock.advance(10_000)
    expect(new Set(listener.notified).size).toBe(250)
    expect(listener.requests.map(({ ids }) => ids.length)).toEqual([100, 100, 50])
    await world.clock.advance(MINUTE)
    expect(listener.requests.slice(3).map(({ ids }) => ids.length)).toEqual([100, 100, 50])
  })
})
