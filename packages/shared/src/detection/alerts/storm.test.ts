import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LISTED_MAX, type StormEvent, StormWatch } from './storm.ts'

const START = 1_700_000_000_000
const POLICY = { share: 0.2, keysMin: 10, withinMs: 60_000 }

/** Keys 0, 1, ... open alerts `everyMs` apart. */
function openAlerts(
  watch: StormWatch,
  count: number,
  { keysTotal = 100, from = START, everyMs = 100, first = 0 } = {},
) {
  return Array.from({ length: count }, (_, i) =>
    watch.opened({ key: `k${first + i}`, time: from + i * everyMs, openedBefore: 0 }, keysTotal),
  )
}

describe('a storm', () => {
  test('begins with the first key beyond the share, and lists all keys', () => {
    const events = openAlerts(new StormWatch(POLICY), 22)
    expect(events.slice(0, 20)).toEqual(Array(20).fill(undefined))
    expect(events[20]).toMatchObject({ kind: 'storm', openedAt: START + 2000, keyCount: 21, keysTotal: 100 })
    expect(events[20]?.keys).toEqual(Array.from({ length: 21 }, (_, i) => `k${i}`))
    expect(events[21]).toMatchObject({ kind: 'storm_grows', openedAt: START + 2000, keyCount: 22 })
  })

  test('needs a minimum number of keys', () => {
    expect(openAlerts(new StormWatch(POLICY), 9, { keysTotal: 9 }).some(Boolean)).toBe(false)
    expect(openAlerts(new StormWatch(POLICY), 10, { keysTotal: 10 })[9]).toMatchObject({ kind: 'storm' })
  })

  test('does not begin if the alerts open over a longer time', () => {
    expect(openAlerts(new StormWatch(POLICY), 200, { everyMs: 3100 }).some(Boolean)).toBe(false)
  })

  test('counts a key once that opens alerts repeatedly', () => {
    const watch = new StormWatch(POLICY)
    for (let i = 0; i < 200; i++) {
      const time = START + 100 * i
      expect(watch.opened({ key: 'k', time, openedBefore: i === 0 ? 0 : time - 100 }, 100)).toBeUndefined()
      expect(watch.resolved({ time, openedAt: time }, 100)).toBeUndefined()
    }
  })

  test('covers the alerts that opened shortly before it and while it grew', () => {
    const watch = new StormWatch(POLICY)
    expect(watch.covers(START)).toBe(false)
    openAlerts(watch, 21)
    expect([START, START + 50_000].map(time => watch.covers(time))).toEqual([true, true])
    expect([START - 60_000, START + 106_000].map(time => watch.covers(time))).toEqual([false, false])
  })

  test('is over when half of its alerts fire', () => {
    const watch = new StormWatch(POLICY)
    openAlerts(watch, 30)
    const events = Array.from({ length: 20 }, (_, i) =>
      watch.resolved({ time: START + 600_000, openedAt: START + 100 * i }, 100),
    )
    expect(events.slice(0, 19)).toEqual(Array(19).fill(undefined))
    expect(events[19]).toMatchObject({ kind: 'storm_over', openedAt: START + 2000, keyCount: 30 })
    expect(watch.covers(START)).toBe(false)
  })

  test('is over when too few alerts fire in total, even if their ends were missed', () => {
    const watch = new StormWatch(POLICY)
    expect(watch.limitFiring({ time: START, count: 0 }, 100)).toBeUndefined()
    openAlerts(watch, 30)
    expect(watch.limitFiring({ time: START + 5000, count: 40 }, 100)).toBeUndefined()
    expect(watch.limitFiring({ time: START + 5000, count: 11 }, 100)).toBeUndefined()
    expect(watch.isStorm).toBe(true)
    expect(watch.resolved({ time: START + 6000, openedAt: START }, 100)).toMatchObject({ kind: 'storm_over' })
    openAlerts(watch, 30, { from: START + 60_000 })
    expect(watch.limitFiring({ time: START + 70_000, count: 3 }, 100)).toMatchObject({ kind: 'storm_over' })
    expect(watch.isStorm).toBe(false)
  })

  test('lists a key once that opens another alert', () => {
    const watch = new StormWatch(POLICY)
    openAlerts(watch, 25)
    watch.resolved({ time: START + 5000, openedAt: START }, 100)
    expect(watch.opened({ key: 'k0', time: START + 6000, openedBefore: START }, 100)).toBeUndefined()
    const event = watch.opened({ key: 'new', time: START + 7000, openedBefore: 0 }, 100)
    expect(event).toMatchObject({ kind: 'storm_grows', keyCount: 26 })
    expect(new Set(event?.keys).size).toBe(26)
  })

  test('lists a limited number of keys, and counts the others', () => {
    const watch = new StormWatch(POLICY)
    const events = openAlerts(watch, 3000, { keysTotal: 10_000, everyMs: 1 })
    const last = events.findLast(event => event !== undefined)
    expect(last?.keyCount).toBe(3000)
    expect(last?.keys).toHaveLength(LISTED_MAX)
    expect(JSON.stringify(watch).length).toBeLessThan(50_000)
  })

  test('lists as many keys as it may when it begins, no fewer', () => {
    const events = openAlerts(new StormWatch(POLICY), 2001, { keysTotal: 10_000, everyMs: 1 })
    expect(events[2000]).toMatchObject({ kind: 'storm', keyCount: 2001 })
    expect(events[2000]?.keys).toEqual(Array.from({ length: LISTED_MAX }, (_, i) => `k${2001 - LISTED_MAX + i}`))
    const exact = openAlerts(new StormWatch(POLICY), LISTED_MAX, { keysTotal: 5 * LISTED_MAX - 1, everyMs: 1 })
    expect(exact[LISTED_MAX - 1]?.keys).toHaveLength(LISTED_MAX)
  })

  test('is limited by the number of firing alerts only if fewer fire than it counts', () => {
    const watch = new StormWatch(POLICY)
    openAlerts(watch, 30)
    // As many as it counts: nothing was missed, so more keys alone do not end it.
    expect(watch.limitFiring({ time: START + 5000, count: 30 }, 400)).toBeUndefined()
    expect(watch.isStorm).toBe(true)
    expect(watch.limitFiring({ time: START + 5000, count: 29 }, 400)).toMatchObject({ kind: 'storm_over' })
    expect(watch.isStorm).toBe(false)
  })

  test('continues identically from its stored state', () => {
    const step = fc.record({ key: fc.nat(30), after: fc.constantFrom(0, 100, 1000, 30_000), opens: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), fc.nat(150), (steps, cut) => {
        const watch = new StormWatch({ ...POLICY, keysMin: 5 })
        let restored = new StormWatch({ ...POLICY, keysMin: 5 })
        const firing = new Map<string, number>()
        const openedBefore = new Map<string, number>()
        let time = START
        for (const [i, { key: number, after, opens }] of steps.entries()) {
          if (i === cut) restored = new StormWatch({ ...POLICY, keysMin: 5 }, JSON.parse(JSON.stringify(restored)))
          time += after
          const key = `k${number}`
          const openedAt = firing.get(key)
          const both = (act: (watch: StormWatch) => StormEvent | undefined) => {
            const event = act(watch)
            expect(act(restored)).toEqual(event)
            return event
          }
          if (opens && openedAt === undefined) {
            const wasStorm = watch.covers(time)
            const event = both(one => one.opened({ key, time, openedBefore: openedBefore.get(key) ?? 0 }, 31))
            firing.set(key, time)
            openedBefore.set(key, time)
            // Slots are a second long here, so the last second of the minute may or may not count.
            const within = (ms: number) => [...openedBefore.values()].filter(opened => opened > time - ms).length
            if (!wasStorm && event?.kind === 'storm') expect(within(61_000)).toBeGreaterThan(6.2)
          } else if (!opens && openedAt !== undefined) {
            both(one => one.resolved({ time, openedAt }, 31))
            firing.delete(key)
          }
          expect(restored.covers(time)).toBe(watch.covers(time))
        }
      }),
    )
  })
})

describe('a storm in progress', () => {
  const begun = () => {
    const watch = new StormWatch(POLICY)
    openAlerts(watch, 21)
    return watch
  }

  test('goes on to cover alerts while many keys open one', () => {
    const watch = begun()
    const cascade = openAlerts(watch, 300, { from: START + 10_000, everyMs: 2000, first: 21 })
    expect(cascade.every(event => event?.kind === 'storm_grows')).toBe(true)
    expect(cascade.at(-1)).toMatchObject({ keyCount: 321, openedAt: START + 2000 })
  })

  test('covers no single alert that opens later', () => {
    const watch = begun()
    expect(openAlerts(watch, 1, { from: START + 106_000, first: 50 })).toEqual([undefined])
    expect(watch.covers(START + 106_000)).toBe(false)
    // Its end is not the end of one of the storm's alerts.
    for (let i = 0; i < 10; i++) watch.resolved({ time: START + 110_000, openedAt: START + 106_000 }, 100)
    expect(watch.isStorm).toBe(true)
  })

  test('grows by a second wave as a whole', () => {
    const watch = begun()
    const wave = openAlerts(watch, 22, { from: START + 300_000, first: 21 })
    expect(wave.slice(0, 20)).toEqual(Array(20).fill(undefined))
    expect(wave[20]).toMatchObject({ kind: 'storm_grows', keyCount: 42 })
    expect(wave[21]).toMatchObject({ kind: 'storm_grows', keyCount: 43 })
    const ends = Array.from({ length: 43 }, (_, i) => ({
      time: START + 400_000,
      openedAt: i < 21 ? START + 100 * i : START + 300_000 + 100 * (i - 21),
    }))
    const over = ends.findIndex(end => watch.resolved(end, 100)?.kind === 'storm_over')
    expect(over).toBe(32)
  })

  test('is over after 30 times the time in which it began, however many alerts fire', () => {
    const watch = begun()
    expect(watch.expire(START + 2000 + 30 * 60_000 - 1, 100)).toBeUndefined()
    expect(watch.expire(START + 2000 + 30 * 60_000, 100)).toMatchObject({ kind: 'storm_over', isExpired: true })
    expect(watch.isStorm).toBe(false)
    expect(openAlerts(watch, 21, { from: START + 40 * 60_000, first: 100 })[20]).toMatchObject({ kind: 'storm' })
  })

  test('is at most as long as that if it never stops to grow', () => {
    const watch = begun()
    openAlerts(watch, 2000, { from: START + 10_000, everyMs: 2000, first: 21 })
    expect(watch.covers(START + 2000 + 30 * 60_000 + 1)).toBe(false)
  })

  test('that was saved before storms were bounded ends too', () => {
    const { storm, ...state } = begun().toJSON()
    if (storm === null) throw new Error('no storm')
    const { until: _, ...saved } = storm
    const watch = new StormWatch(POLICY, { ...state, storm: saved })
    expect(watch.covers(START + 3_600_000)).toBe(true)
    expect(watch.expire(START + 3_600_000, 100)).toMatchObject({ isExpired: true })
  })

  test('names no fewer keys in total than it has', () => {
    expect(openAlerts(new StormWatch(POLICY), 12, { keysTotal: 0 }).at(-1)).toMatchObject({
      keyCount: 12,
      keysTotal: 12,
    })
  })
})
