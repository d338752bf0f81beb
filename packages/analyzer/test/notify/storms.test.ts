import type { AlertOpening } from '@tidemark/shared/detection/alerts/record'
import { EMPTY_DOCUMENT, withRule, withStorm } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { AlertStore } from '@tidemark/shared/store/ports/alerts'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { commitAlerts, openingOf } from '@tidemark/testkit/alert-commits'
import { describe, expect, test } from 'vitest'
import { parseSavedWatch } from '../../src/notify/storm-view.ts'
import { counted, createWorld, Listener, MINUTE, NOW } from './notify-world.ts'

type World = Awaited<ReturnType<typeof createWorld>>

/** Opens alerts for keys of both partitions, one every 50 ms. */
async function openMany(world: World, count: number, first = 0): Promise<AlertOpening[]> {
  const openings: AlertOpening[] = []
  for (let i = first; i < first + count; i++) {
    openings.push(await world.open(`key ${i}`, {}, i % 2))
    await world.clock.advance(50)
  }
  return openings
}

const fleet = (listener: Listener) => listener.taken.filter(({ record }) => record.key === null)

describe('a storm', () => {
  test('is notified in place of its keys; keys that still fire after it are notified one by one', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { metrics } = world.start([listener])
    const openings = await openMany(world, 20)
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['fleet firing'])
    expect(fleet(listener)[0]?.record).toMatchObject({
      key: null,
      rule: null,
      severity: 'critical',
      state: 'firing',
      cause: { kind: 'storm', key_count: 20, keys: openings.map(({ key }) => key) },
    })
    const [first] = openings
    if (first === undefined) throw new Error('no alert')
    expect(await world.record(first, 0)).toMatchObject({ told: 0, suppressed_by: 'storm', suppressed: { storm: 1 } })
    expect(await counted(metrics.suppressed, { by: 'storm' })).toBe(20)
    expect(await counted(metrics.storms, {})).toBe(1)
    for (const opening of openings.slice(0, 16)) await world.end(opening, Number(opening.id[0]))
    await world.clock.advance(2 * MINUTE)
    expect(listener.notified.slice(0, 2)).toEqual(['fleet firing', 'fleet resolved'])
    expect(listener.notified.slice(2).toSorted()).toEqual([16, 17, 18, 19].map(i => `key ${i} firing`))
    expect(await counted(metrics.suppressed, { by: 'storm' })).toBe(20)
  })

  test.each([
    [600, 1410],
    [510, 1495],
    [700, 1350],
  ])('that begins %d ms after a second also covers an alert that opened %d ms before it', async (after, before) => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await world.clock.advance(10_000 - (world.clock.monotonicMs() % 1000) + after)
    await world.open('early', {}, 0)
    await world.clock.advance(before)
    for (let i = 0; i < 15; i++) await world.open(`key ${i}`, {}, i % 2)
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['fleet firing'])
  })

  test('that ends is notified at once, although its owner is at rest', async () => {
    const world = await createWorld()
    let overAt = Number.NaN
    const listener = new Listener(world.clock)
    world.start(
      [listener],
      {
        ...world.store.alerts,
        async saveStorm(lease, storm) {
          if (storm.end !== null) overAt = world.clock.wallMs() - NOW
          return world.store.alerts.saveStorm(lease, storm)
        },
      },
      { owned: [0] },
    )
    world.start([new Listener(world.clock)], world.store.alerts, { owned: [1] })
    const openings = []
    for (let i = 0; i < 20; i++) openings.push(await world.open(`key ${i}`))
    await world.clock.advance(MINUTE)
    for (const opening of openings) await world.end(opening)
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['fleet firing', 'fleet resolved'])
    expect(listener.requests.at(-1)?.at).toBe(overAt)
  })

  test('covers anomalies that open during it, and no other alerts', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await openMany(world, 12)
    await world.clock.advance(10_000)
    await world.open('late')
    await world.open('quiet', { id: `1-${'f'.repeat(24)}`, cause: { kind: 'silent', last_at: NOW, expected_ms: 1000 } })
    await world.clock.advance(10_000)
    expect(listener.notified).toEqual(['fleet firing', 'quiet firing'])
  })

  test('does not cover a critical alert, or one that opens after it has stopped growing', async () => {
    const world = await createWorld()
    const document = withRule(
      EMPTY_DOCUMENT,
      { id: 'boilers', pattern: 'boiler*', alert: { severity: 'critical' } },
      { who: 'mira', why: 'test', at: NOW },
    )
    world.rules.current = new RuleSet(document, VERDICT_DEFAULTS)
    const listener = new Listener(world.clock)
    world.start([listener])
    await openMany(world, 12)
    await world.clock.advance(10_000)
    await world.open('boiler', { severity: 'critical' })
    await world.clock.advance(96_000)
    await world.open('boiler 2', { severity: 'critical' })
    await world.open('warm')
    await world.clock.advance(10_000)
    expect(listener.notified.slice(0, 2)).toEqual(['fleet firing', 'boiler firing'])
    expect(listener.notified.slice(2).toSorted()).toEqual(['boiler 2 firing', 'warm firing'])
    expect(fleet(listener)[0]?.record.cause).toMatchObject({ key_count: 12 })
  })

  test('is notified again each time that it has twice as many keys', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await openMany(world, 12)
    await world.clock.advance(5000)
    await openMany(world, 11, 12)
    await world.clock.advance(5000)
    expect(fleet(listener)).toHaveLength(1)
    await openMany(world, 1, 23)
    await world.clock.advance(5000)
    await openMany(world, 30, 24)
    await world.clock.advance(5000)
    const keys = fleet(listener).map(({ record }) => (record.cause.kind === 'storm' ? record.cause.key_count : 0))
    expect(keys).toHaveLength(3)
    expect(keys.slice(0, 2)).toEqual([12, 24])
    expect(new Set(fleet(listener).map(({ id }) => id)).size).toBe(3)
    expect(listener.notified).toEqual(Array(3).fill('fleet firing'))
  })

  test('is over after half an hour; keys that still fire are then notified one by one', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await openMany(world, 12)
    await world.clock.advance(29 * MINUTE)
    expect(listener.notified).toEqual(['fleet firing'])
    await world.clock.advance(3 * MINUTE)
    expect(listener.notified.slice(0, 2)).toEqual(['fleet firing', 'fleet resolved'])
    expect(listener.notified).toHaveLength(14)
    expect(fleet(listener)[1]?.record).toMatchObject({ resolve_reason: 'few_keys', expired: true })
  })

  test('counts the keys of the fleet when it begins', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    let keys = 0
    world.start([listener], { ...world.store.alerts, keyCounts: async numbers => numbers.map(() => keys) })
    await world.clock.advance(1000)
    keys = 16
    await openMany(world, 12)
    await world.clock.advance(5000)
    expect(fleet(listener)[0]?.record.cause).toMatchObject({ key_count: 12, keys_total: 32 })
  })

  test('needs a minimum of alerts', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await openMany(world, 9)
    await world.clock.advance(MINUTE)
    expect(listener.notified).toHaveLength(9)
    expect(fleet(listener)).toEqual([])
  })

  test('follows the rules as soon as they change', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    await world.clock.advance(1000)
    const document = withStorm(EMPTY_DOCUMENT, { percent: 20, within: '1m', keys_min: 4 })
    world.rules.current = new RuleSet(document, VERDICT_DEFAULTS)
    await openMany(world, 4)
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['fleet firing'])
  })

  test('in a backlog, whose alerts open late and at once, is notified in place of its keys too', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    world.start([listener])
    const at = world.clock.wallMs() - 5 * MINUTE
    for (const partition of [0, 1]) {
      const opened = Array.from({ length: 10 }, (_, i) =>
        openingOf({ partition, key: `${partition} ${i}`, at: at + i }),
      )
      await commitAlerts(world.store, world.lease(partition), { opened, waitMs: 2000 })
    }
    await world.clock.advance(MINUTE)
    expect(listener.notified).toEqual(['fleet firing'])
  })

  test('that missed the end of its alerts is over when few alerts fire', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { feed } = world.store.alerts
    let isBlind = false
    world.start([listener], { ...world.store.alerts, feed: async (...args) => (isBlind ? [] : feed(...args)) })
    const openings = await openMany(world, 20)
    await world.clock.advance(10_000)
    isBlind = true
    for (const opening of openings) await world.end(opening, Number(opening.id[0]))
    await world.clock.advance(30_000)
    expect(listener.notified).toEqual(['fleet firing', 'fleet resolved'])
  })
})

describe('storm detection', () => {
  /**
   * Ten keys make a storm: six open under one owner of the fleet's partition, `later` under the
   * next.
   */
  async function handOff(later: number, alerts?: (store: AlertStore) => AlertStore) {
    const world = await createWorld()
    const first = world.start([], alerts?.(world.store.alerts))
    await openMany(world, 6)
    await world.clock.advance(500)
    await first.notifier[Symbol.asyncDispose]()
    await world.own('b')
    const listener = new Listener(world.clock)
    world.start([listener])
    await openMany(world, later, 6)
    await world.clock.advance(5000)
    return fleet(listener).map(({ record }) => (record.cause.kind === 'storm' ? record.cause.key_count : 0))
  }

  test('goes on from the state of the previous owner', async () => {
    expect(await handOff(4)).toEqual([10])
  })

  test('counts nothing twice', async () => {
    expect(await handOff(3)).toEqual([])
  })

  test('counts nothing twice when the response to a save is lost', async () => {
    const loseResponse = (alerts: AlertStore): AlertStore => ({
      ...alerts,
      saveStorm: async (...args) => {
        await alerts.saveStorm(...args)
        throw new StoreError('lost', { kind: 'unknown' })
      },
    })
    expect(await handOff(3, loseResponse)).toEqual([])
    expect(await handOff(4, loseResponse)).toEqual([10])
  })

  test('that could not save leaves everything to the next owner', async () => {
    const rejectSave = (alerts: AlertStore): AlertStore => ({
      ...alerts,
      saveStorm: async () => {
        throw new StoreError('refused', { kind: 'refused' })
      },
    })
    expect(await handOff(3, rejectSave)).toEqual([])
    expect(await handOff(4, rejectSave)).toEqual([10])
  })

  test('finds a storm again when it could not be saved', async () => {
    const world = await createWorld()
    const listener = new Listener(world.clock)
    const { saveStorm } = world.store.alerts
    let failures = 0
    world.start([listener], {
      ...world.store.alerts,
      saveStorm: async (lease, saved) => {
        if (saved.opening === null || failures++ > 0) return saveStorm(lease, saved)
        throw new StoreError('refused', { kind: 'refused' })
      },
    })
    await openMany(world, 10)
    await world.clock.advance(5000)
    expect([failures, listener.notified]).toEqual([2, ['fleet firing']])
  })

  test('saves nothing without the lease', async () => {
    const world = await createWorld()
    world.start([])
    for (const lease of world.leases) await world.store.analyzer.releaseLease(lease)
    const stolen = { partition: 0, token: 'thief' }
    expect(await world.store.analyzer.acquireLease(0, 'thief', 1e9)).toBe(true)
    await commitAlerts(world.store, stolen, { opened: [openingOf({ partition: 0, key: 'a', at: NOW })] })
    await world.clock.advance(5000)
    expect(await world.store.alerts.loadStorm()).toBeNull()
  })

  test('starts with an empty state where the saved one is unreadable', async () => {
    const world = await createWorld()
    const saved = { state: '{"of": "a later version"}', opening: null, end: null }
    await world.store.alerts.saveStorm(world.lease(0), saved)
    const listener = new Listener(world.clock)
    world.start([listener])
    await openMany(world, 10)
    await world.clock.advance(5000)
    expect(listener.notified).toEqual(['fleet firing'])
  })

  test('writes nothing while no alert opens or ends', async () => {
    const world = await createWorld()
    let writes = 0
    const { alerts } = world.store
    world.start([new Listener(world.clock)], {
      ...alerts,
      saveStorm: async (...args) => {
        writes++
        return alerts.saveStorm(...args)
      },
      recordNotifications: async (...args) => {
        writes++
        return alerts.recordNotifications(...args)
      },
      recordDeliveries: async (...args) => {
        writes++
        return alerts.recordDeliveries(...args)
      },
    })
    await world.clock.advance(5 * MINUTE)
    expect(writes).toBe(0)
    await world.open('a')
    await world.clock.advance(5 * MINUTE)
    expect(writes).toBe(3)
  })

  test('saves its position in the feed of each partition', async () => {
    const world = await createWorld()
    world.start([])
    await openMany(world, 2)
    await world.clock.advance(1000)
    const saved = parseSavedWatch((await world.store.alerts.loadStorm()) ?? '')
    const feeds = await Promise.all([0, 1].map(partition => world.store.alerts.feed(partition, '0-0', 10)))
    expect(saved?.positions).toEqual({ 0: feeds[0]?.at(-1)?.id, 1: feeds[1]?.at(-1)?.id })
  })
})
