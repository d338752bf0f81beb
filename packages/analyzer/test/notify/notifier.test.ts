import { EMPTY_DOCUMENT, withMute } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { commitAlerts, openingOf } from '@tidemark/testkit/alert-commits'
import { describe, expect, test } from 'vitest'
import type { Delivery } from '../../src/notify/receiver.ts'
import { counted, createWorld, failed, Listener, MINUTE, NOW, WAIT_MS } from './notify-world.ts'

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
    const { noteDelivered } = world.store.alerts
    let isUnavailable = true
    world.start([listener], {
      ...world.store.alerts,
      noteDelivered: async (...args) => {
        if (isUnavailable) throw new StoreError('unavailable', { kind: 'refused' })
        return noteDelivered(...args)
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
    world.start([listener], { ...world.store.alerts, noteDelivered: () => never.promise })
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

  test('that refuses a notification does not get it again, but the next one', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.respond = ([one]) =>
      one?.record.key === 'a'
        ? { kind: 'refused', reason: 'the receiver responded with status 400' }
        : { kind: 'delivered' }
    const { metrics } = world.start([listener])
    await world.open('a')
    await world.open('b')
    await world.clock.advance(MINUTE)
    expect(listener.requests).toHaveLength(2)
    expect(listener.notified).toEqual(['b firing'])
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'refused' })).toBe(1)
    expect(await world.outbox()).toBe(0)
  })

  test('that refuses one notification of a batch gets the others', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100 })
    listener.respond = all =>
      all.some(({ record }) => record.key === 'b')
        ? { kind: 'refused', reason: 'the receiver responded with status 400' }
        : { kind: 'delivered' }
    world.start([listener])
    for (const key of ['a', 'b', 'c']) {
      await world.clock.advance(1)
      await world.open(key)
    }
    await world.clock.advance(MINUTE)
    expect(listener.requests.map(({ ids }) => ids.length)).toEqual([3, 1, 1, 1])
    expect(listener.notified).toEqual(['a firing', 'c firing'])
    expect(await world.outbox()).toBe(0)
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
