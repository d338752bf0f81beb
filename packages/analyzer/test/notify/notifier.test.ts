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
  test('is told after the wait that an alert fires, and when it is over, once each', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { metrics } = world.start([listener])
    const opening = await world.open('edge-17/cpu')
    await world.clock.advance(1900)
    expect(listener.told).toEqual([])
    await world.clock.advance(600)
    expect(listener.told).toEqual(['edge-17/cpu firing'])
    await world.clock.advance(10_000)
    await world.end(opening)
    await world.clock.advance(10 * MINUTE)
    expect(listener.told).toEqual(['edge-17/cpu firing', 'edge-17/cpu resolved'])
    expect(listener.requests.map(({ ids }) => ids)).toEqual([[`${opening.id}:firing:1`], [`${opening.id}:resolved:1`]])
    expect(listener.taken[1]?.record).toMatchObject({ state: 'resolved', told: 1, told_resolved: true })
    expect(await world.outbox()).toBe(0)
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'delivered' })).toBe(2)
  })

  test('is not told of what was over before the wait was', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    const opening = await world.open('a')
    await world.clock.advance(1000)
    await world.end(opening)
    await world.clock.advance(MINUTE)
    expect(listener.requests).toEqual([])
  })

  test('that was told and whose answer got lost is told again under the same id', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { noteDelivered } = world.store.alerts
    let isAway = true
    world.start([listener], {
      ...world.store.alerts,
      noteDelivered: async (...args) => {
        if (isAway) throw new StoreError('away', { kind: 'refused' })
        return noteDelivered(...args)
      },
    })
    const opening = await world.open('a')
    await world.clock.advance(2200)
    const id = `${opening.id}:firing:1`
    expect(listener.requests.map(({ ids }) => ids)).toEqual([[id]])
    isAway = false
    await world.clock.advance(1000)
    expect(listener.requests.map(({ ids }) => ids)).toEqual([[id], [id]])
    expect(await world.outbox()).toBe(0)
  })

  test('hears the rest from the next owner when the one before was killed between delivery and its note', async () => {
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

  test('is told in the order of the outbox, and what was there before it failed first', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    let failures = 2
    listener.answer = () => (failures-- > 0 ? failed() : { kind: 'delivered' })
    world.start([listener])
    const first = await world.open('a')
    await world.clock.advance(2200)
    await world.open('b')
    await world.end(first)
    await world.clock.advance(MINUTE)
    expect(listener.told).toEqual(['a firing', 'a resolved', 'b firing'])
  })

  test('that fails is asked again after 1 to 2 s, twice as long each time, up to a minute', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.answer = () => failed()
    const { metrics } = world.start([listener])
    await world.open('a')
    await world.clock.advance(5 * MINUTE)
    const times = listener.requests.map(({ at }) => at)
    const waits = times.slice(1).map((at, i) => Math.round((at - (times[i] ?? 0)) / 500) / 2)
    expect(waits).toEqual([1.5, 3, 6, 12, 24, 45, 45, 45, 45, 45])
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'failed' })).toBe(times.length)
    expect(await world.outbox()).toBe(1)
  })

  test('that says when to come again is left alone until then, by all partitions', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.answer = () => (world.clock.wallMs() < NOW + 30_000 ? failed(30_000) : { kind: 'delivered' })
    world.start([listener])
    await world.open('a', {}, 0)
    await world.clock.advance(2200)
    await world.open('b')
    await world.clock.advance(MINUTE)
    expect(listener.requests.map(({ at }) => at)).toEqual([2000, 32_000, 32_000])
    expect(listener.told.toSorted()).toEqual(['a firing', 'b firing'])
  })

  test('that refuses something is not asked again, and told the next', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    listener.answer = ([one]) =>
      one?.record.key === 'a' ? { kind: 'refused', reason: 'it answered 400' } : { kind: 'delivered' }
    const { metrics } = world.start([listener])
    await world.open('a')
    await world.open('b')
    await world.clock.advance(MINUTE)
    expect(listener.requests).toHaveLength(2)
    expect(listener.told).toEqual(['b firing'])
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'refused' })).toBe(1)
    expect(await world.outbox()).toBe(0)
  })

  test('that refuses one of a batch is told the others', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100 })
    listener.answer = all =>
      all.some(({ record }) => record.key === 'b')
        ? { kind: 'refused', reason: 'it answered 400' }
        : { kind: 'delivered' }
    world.start([listener])
    for (const key of ['a', 'b', 'c']) {
      await world.clock.advance(1)
      await world.open(key)
    }
    await world.clock.advance(MINUTE)
    expect(listener.requests.map(({ ids }) => ids.length)).toEqual([3, 1, 1, 1])
    expect(listener.told).toEqual(['a firing', 'c firing'])
    expect(await world.outbox()).toBe(0)
  })

  test('that is down or never answers does not keep others waiting', async () => {
    const world = await createWorld()
    const down = new Listener(world.clock, { name: 'down' })
    const silent = new Listener(world.clock, { name: 'silent' })
    const up = new Listener(world.clock, { name: 'up' })
    const answer = Promise.withResolvers<Delivery>()
    down.answer = () => failed()
    silent.answer = () => answer.promise
    world.start([down, silent, up])
    const opening = await world.open('a')
    await world.clock.advance(3000)
    await world.end(opening)
    await world.clock.advance(3000)
    expect(up.told).toEqual(['a firing', 'a resolved'])
    expect(silent.requests).toHaveLength(1)
    expect(await world.outbox()).toBe(2)
    answer.resolve({ kind: 'delivered' })
    down.answer = () => ({ kind: 'delivered' })
    await world.clock.advance(MINUTE)
    expect([down.told, silent.told]).toEqual([up.told, up.told])
    expect(await world.outbox()).toBe(0)
  })

  test('that is being told when the analyzer stops is waited for, and that it was told is noted', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const answer = Promise.withResolvers<Delivery>()
    listener.answer = () => answer.promise
    const { notifier } = world.start([listener])
    await world.open('a')
    await world.open('b')
    await world.clock.advance(2200)
    const stopped = notifier[Symbol.asyncDispose]()
    await world.clock.advance(100)
    answer.resolve({ kind: 'delivered' })
    await stopped
    expect(listener.told).toEqual(['a firing'])
    expect(await world.outbox()).toBe(1)
  })

  test('is told nothing by who is not the owner any more', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await world.open('a')
    for (const lease of world.leases) await world.store.analyzer.releaseLease(lease)
    await world.clock.advance(MINUTE)
    expect(listener.requests).toEqual([])
  })

  test('is told nothing by who stops to be the owner while it looks into the outbox', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { isForgetful: true })
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
    expect(listener.told).toEqual(['a firing'])
    isLeaving = true
    await world.clock.advance(2 * MINUTE)
    expect(listener.told).toEqual(['a firing'])
  })
})

test('with no receiver at all records say when one would have been told, and the outbox stays empty', async () => {
  const world = await createWorld()
  world.start([])
  const opening = await world.open('a')
  await world.clock.advance(5000)
  await world.end(opening)
  await world.clock.advance(5000)
  expect(await world.record(opening)).toMatchObject({ told: 1, told_resolved: true })
  expect(await world.outbox()).toBe(0)
})

describe('nobody is told', () => {
  test('of a muted key until the mute is over or taken back', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { metrics } = world.start([listener])
    const mute = (id: string, pattern: string, until: number) => ({
      ...{ ...NOTE, id, pattern, until: new Date(until).toISOString() },
    })
    const one = withMute(EMPTY_DOCUMENT, mute('one', 'a', NOW + 5 * MINUTE), NOW)
    const two = withMute(one, mute('two', 'b', NOW + 60 * MINUTE), NOW)
    world.rules.current = new RuleSet(two, VERDICT_DEFAULTS)
    const a = await world.open('a')
    await world.open('b')
    await world.open('c')
    await world.clock.advance(4 * MINUTE)
    expect(listener.told).toEqual(['c firing'])
    expect(await world.record(a)).toMatchObject({ suppressed_by: 'mute', suppressed: { mute: 1 }, told: 0 })
    expect(await counted(metrics.suppressed, { by: 'mute' })).toBe(2)
    await world.clock.advance(1.1 * MINUTE)
    expect(listener.told).toEqual(['c firing', 'a firing'])
    world.rules.current = new RuleSet(one, VERDICT_DEFAULTS)
    await world.clock.advance(1.1 * MINUTE)
    expect(listener.told).toEqual(['c firing', 'a firing', 'b firing'])
    expect(await counted(metrics.suppressed, { by: 'mute' })).toBe(2)
  })

  test('of the end of what nobody was told of', async () => {
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

  test('of a snoozed alert again before the snooze is over', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    const opening = await world.open('a')
    await world.clock.advance(3000)
    const at = world.clock.wallMs()
    const snoozed = { ...NOTE, at, until: at + 10 * MINUTE }
    expect(await world.store.alerts.setOperatorState(1, opening.id, { acknowledged: null, snoozed }, at)).toBe(true)
    await world.clock.advance(9.9 * MINUTE)
    expect(listener.told).toEqual(['a firing'])
    await world.clock.advance(0.2 * MINUTE)
    expect(listener.requests.map(({ ids }) => ids[0])).toEqual([`${opening.id}:firing:1`, `${opening.id}:firing:2`])
  })
})

describe('a receiver that forgets', () => {
  test('is told again and again of what fires and was told, and not after its end', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100, isForgetful: true })
    const { metrics } = world.start([listener])
    const until = new Date(NOW + 60 * MINUTE).toISOString()
    world.rules.current = new RuleSet(withMute(EMPTY_DOCUMENT, { ...NOTE, id: 'm', pattern: 'b', until }, NOW))
    const opening = await world.open('a')
    await world.open('b')
    await world.clock.advance(3 * MINUTE)
    expect(listener.told).toEqual(['a firing', 'a firing', 'a firing', 'a firing'])
    await world.end(opening)
    await world.clock.advance(3 * MINUTE)
    expect(listener.told.slice(4)).toEqual(['a resolved'])
    expect(await counted(metrics.notifications, { receiver: 'webhook', result: 'delivered' })).toBe(2)
  })

  test('is not reminded of what ends while it is looked up', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { isForgetful: true })
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
    expect(listener.told).toEqual(['a firing', 'a resolved'])
  })

  test('is told all of many, some hundred in a request', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock, { batchMax: 100, isForgetful: true })
    world.start([listener])
    const openings = Array.from({ length: 250 }, (_, i) =>
      openingOf({ partition: 1, key: `key ${i}`, at: world.clock.wallMs() }, { severity: 'info' }),
    ).map(opening => ({ ...opening, cause: { kind: 'silent', last_at: NOW, expected_ms: 1000 } as const }))
    await commitAlerts(world.store, world.lease(1), { opened: openings, waitMs: WAIT_MS })
    await world.clock.advance(10_000)
    expect(new Set(listener.told).size).toBe(250)
    expect(listener.requests.map(({ ids }) => ids.length)).toEqual([100, 100, 50])
    await world.clock.advance(MINUTE)
    expect(listener.requests.slice(3).map(({ ids }) => ids.length)).toEqual([100, 100, 50])
  })
})
