import { Counter, Gauge, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { measureWhenRead } from './metric-tables.ts'

/** Metrics that are measured when they are read, and a clock that stands still. */
function createWorld() {
  const registers = [new Registry()]
  const gauge = new Gauge({ name: 'length', help: 'Length.', registers })
  const counter = new Counter({ name: 'events_total', help: 'Events.', registers })
  const world = {
    now: 0,
    measured: 0,
    measure: async (): Promise<void> => gauge.set(world.measured),
    /** Ends the pauses. */
    endPause(): void {},
    read: async () => [(await gauge.get()).values[0]?.value, (await counter.get()).values[0]?.value],
  }
  const clock = {
    monotonicMs: () => world.now,
    pause: () =>
      new Promise<void>(resolve => {
        world.endPause = resolve
      }),
  }
  measureWhenRead([gauge, counter], clock, async () => {
    world.measured++
    counter.inc()
    await world.measure()
  })
  return world
}

test('metrics that are measured when they are read are measured together, once a second at most', async () => {
  const world = createWorld()
  expect(world.measured).toBe(0)
  expect(await world.read()).toEqual([1, 1])
  world.now = 999
  expect(await world.read()).toEqual([1, 1])
  world.now = 1000
  expect(await world.read()).toEqual([2, 2])
})

test('a measurement that takes too long does not keep readers, and is not repeated meanwhile', async () => {
  const world = createWorld()
  expect(await world.read()).toEqual([1, 1])
  const { measure } = world
  const hanging = Promise.withResolvers<void>()
  world.measure = async () => {
    await hanging.promise
    await measure()
  }
  world.now = 5000
  for (const _ of [1, 2]) {
    const reading = world.read()
    // The gauge, then the counter.
    for (const _ of [1, 2]) {
      await new Promise(setImmediate)
      world.endPause()
    }
    expect(await reading).toEqual([1, 2])
  }
  hanging.resolve()
  await new Promise(setImmediate)
  expect(await world.read()).toEqual([2, 2])
})
