import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openHostMetrics, Rates, unitOf } from './host-metrics.ts'

test('this computer has a load between 0 and 100 percent on each CPU, memory in use and rates of its traffic', async () => {
  using metrics = await openHostMetrics()
  await metrics.read()
  await pause(300)
  const reading = await metrics.read()
  const loads = Object.entries(reading).filter(([name]) => unitOf(name) === 'percent')
  expect(loads.length).toBeGreaterThan(1)
  // The kernel counts in units of 10 ms.
  for (const [, load] of loads) expect(load).toBeLessThan(110)
  expect(reading['memory.used']).toBeGreaterThan(0)
  for (const value of Object.values(reading)) expect(value).toBeGreaterThanOrEqual(0)
})

describe('a rate', () => {
  test('is the increase in a second since the last call', () => {
    const rates = new Rates()
    expect(rates.next({ in: 1000, out: 0 }, 0)).toEqual({})
    expect(rates.next({ in: 1500, out: 100 }, 250)).toEqual({ in: 2000, out: 400 })
  })

  test('has no value after its counter decreased', () => {
    const rates = new Rates()
    rates.next({ in: 1000, out: 0 }, 0)
    expect(rates.next({ in: 10, out: 0 }, 250)).toEqual({ out: 0 })
    expect(rates.next({ in: 20, out: 0 }, 500)).toEqual({ in: 40, out: 0 })
  })

  test('has no value for a new counter', () => {
    const rates = new Rates()
    rates.next({ in: 1 }, 0)
    expect(rates.next({ in: 1, out: 5 }, 250)).toEqual({ in: 0 })
  })
})
