import { StoreError } from '@tidemark/shared/store/ports/errors'
import { describe, expect, test } from 'vitest'
import type { Notification } from '../../src/notify/receiver.ts'
import { createWorld, failed, GROUP_WAIT_MS, Listener, MINUTE, refused, WAIT_MS } from './notify-world.ts'

const METRICS = ['cpu', 'fan', 'load', 'mem', 'net', 'rps', 'temp']

type World = Awaited<ReturnType<typeof createWorld>>

/** Opens an alert on each metric of a device, 100 ms apart, in alternating partitions. */
async function openAll(world: World, device = 'edge-17', metrics: readonly string[] = METRICS) {
  const opened = []
  for (const [i, metric] of metrics.entries()) {
    opened.push({ opening: await world.open(`${device}/${metric}`, {}, i % 2), partition: i % 2 })
    await world.clock.advance(100)
  }
  return opened
}

const keysOf = ({ record, group }: Notification) => group?.members.map(one => one.record.key) ?? [record.key]

function messagesOf(listener: Listener): string[] {
  return listener.taken.map(one => `${one.status} ${keysOf(one).join(' ')}`)
}

const listening = (world: World, options = {}) => new Listener(world.clock, { takesGroups: true, ...options })

const ALL = METRICS.map(metric => `edge-17/${metric}`).join(' ')

describe('the alerts of a group', () => {
  test('are one message when they open and one when they end, also from two partitions', async () => {
    const world = await createWorld()
    const listener = listening(world)
    world.start([listener])
    const opened = await openAll(world)
    await world.clock.advance(WAIT_MS + GROUP_WAIT_MS - 1000)
    expect(listener.requests).toEqual([])
    await world.clock.advance(MINUTE)
    expect(messagesOf(listener)).toEqual([`firing ${ALL}`])
    for (const { opening, partition } of opened) {
      const { told, receivers } = await world.record(opening, partition)
      expect([told, receivers?.one]).toMatchObject([1, { told: 1, failing_since: 0 }])
    }
    expect(await world.outbox('one')).toBe(0)
    for (const { opening, partition } of opened) await world.end(opening, partition)
    await world.clock.advance(MINUTE)
    expect(messagesOf(listener)).toEqual([`firing ${ALL}`, `resolved ${ALL}`])
    expect(await world.outbox('one')).toBe(0)
  })

  test('are one message when two analyzers own their partitions', async () => {
    const world = await createWorld()
    const [one, two] = [listening(world), listening(world)]
    world.start([one], world.store.alerts, { owned: [0] })
    world.start([two], world.store.alerts, { owned: [1] })
    await openAll(world)
    await openAll(world, 'edge-18', ['a', 'b'])
    await world.clock.advance(MINUTE)
    expect([...messagesOf(one), ...messagesOf(two)].sort()).toEqual(
      [`firing ${ALL}`, 'firing edge-18/a edge-18/b'].sort(),
    )
    expect(await world.outbox('one')).toBe(0)
  })

  test('are sent by another partition if that of the first alert does not for a while', async () => {
    const world = await createWorld()
    const listener = listening(world)
    const unreachable = listening(world)
    unreachable.respond = () => failed()
    world.start([unreachable], world.store.alerts, { owned: [0] })
    world.start([listener], world.store.alerts, { owned: [1] })
    await openAll(world)
    await world.clock.advance(20_000)
    expect(listener.requests).toEqual([])
    await world.clock.advance(MINUTE)
    const [message, ...others] = listener.taken
    expect(message && keysOf(message).sort().join(' ')).toBe(ALL)
    expect(others).toEqual([])
  })

  test('are repeated if what the receiver took of them could not be recorded', async () => {
    const world = await createWorld()
    const listener = listening(world)
    let failures = 1
    world.start([listener], {
      ...world.store.alerts,
      recordTaken: async (...args) => {
        if (failures-- > 0) throw new StoreError('unavailable', { kind: 'refused' })
        return world.store.alerts.recordTaken(...args)
      },
    })
    await openAll(world)
    await world.clock.advance(MINUTE)
    expect(messagesOf(listener)).toEqual([
      `firing ${ALL}`,
      // The record of one partition failed, that of the other did not.
      'firing edge-17/cpu edge-17/load edge-17/net edge-17/temp',
    ])
    expect(await world.outbox('one')).toBe(0)
  })

  test('that open later are a message of their own', async () => {
    const world = await createWorld()
    const listener = listening(world)
    world.start([listener])
    await openAll(world, 'a', ['x', 'y'])
    await world.clock.advance(8000)
    await openAll(world, 'a', ['z', 'w'])
    await world.clock.advance(MINUTE)
    expect(messagesOf(listener)).toEqual(['firing a/x a/y', 'firing a/z a/w'])
  })

  test('are sent when the receiver works again, and lose none that it refuses', async () => {
    const world = await createWorld()
    const listener = listening(world)
    const until = world.clock.wallMs() + 20_000
    listener.respond = () => (world.clock.wallMs() < until ? failed() : { kind: 'delivered' })
    world.start([listener])
    await openAll(world)
    await world.clock.advance(2 * MINUTE)
    expect(new Set(listener.taken.flatMap(keysOf))).toEqual(new Set(ALL.split(' ')))
    expect(listener.taken.some(({ group }) => group?.members.length === METRICS.length)).toBe(true)
    listener.respond = ([one]) => (one !== undefined && keysOf(one).includes('b/y') ? refused() : { kind: 'delivered' })
    await openAll(world, 'b', ['x', 'y', 'z'])
    await world.clock.advance(MINUTE)
    expect(new Set(listener.taken.slice(-2).flatMap(keysOf))).toEqual(new Set(['b/x', 'b/z']))
    listener.respond = () => ({ kind: 'delivered' })
    await world.clock.advance(2 * MINUTE)
    expect(messagesOf(listener).at(-1)).toBe('firing b/y')
    expect(await world.outbox('one')).toBe(0)
  })

  test('become a dead letter each if they are refused for too long', async () => {
    const world = await createWorld()
    const listener = listening(world)
    listener.respond = () => refused()
    world.start([listener], world.store.alerts, { retryMaxMs: 2 * MINUTE })
    await openAll(world, 'b', ['x', 'y', 'z'])
    await world.clock.advance(5 * MINUTE)
    const dead = [0, 1].map(partition => world.store.alerts.deadNotifications(partition, { count: 100 }))
    expect((await Promise.all(dead)).flat()).toHaveLength(3)
    expect(await world.outbox('one')).toBe(0)
  })
})

describe('a message of its own has', () => {
  test('a critical alert, at once, also while others wait', async () => {
    const world = await createWorld()
    const listener = listening(world)
    world.start([listener])
    await world.open('edge-17/cpu', {}, 0)
    await world.open('edge-17/fan', {}, 1)
    await world.clock.advance(300)
    await world.open('edge-17/fire', { severity: 'critical' }, 1)
    await world.clock.advance(WAIT_MS + 500)
    expect(messagesOf(listener)).toEqual(['firing edge-17/fire'])
    await world.clock.advance(MINUTE)
    expect(messagesOf(listener)).toEqual(['firing edge-17/fire', 'firing edge-17/cpu edge-17/fan'])
  })

  test('an alert that shares no more than the time', async () => {
    const world = await createWorld()
    const listener = listening(world)
    world.start([listener])
    await world.open('boiler', {}, 0)
    await world.open('hall/co2', {}, 1)
    await world.clock.advance(MINUTE)
    expect(messagesOf(listener).sort()).toEqual(['firing boiler', 'firing hall/co2'])
  })

  test('each alert for a receiver that groups by itself', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await openAll(world)
    await world.clock.advance(WAIT_MS + 500)
    expect(listener.requests).toHaveLength(METRICS.length)
  })
})

test('the notifications of a key keep their order', async () => {
  const world = await createWorld()
  const listener = listening(world)
  world.start([listener])
  const [first] = await openAll(world, 'a', ['x', 'y'])
  await world.clock.advance(WAIT_MS + 500)
  if (first === undefined) throw new Error('nothing was opened')
  // Decided on while its start still waits for others.
  await world.end(first.opening, first.partition)
  await world.clock.advance(500)
  await world.open('a/x', {}, first.partition)
  await world.clock.advance(MINUTE)
  const ofKey = listener.taken.filter(one => keysOf(one).includes('a/x')).map(({ status }) => status)
  expect(ofKey).toEqual(['firing', 'resolved', 'firing'])
})
