import { advanceOrder, isAnalysed, ORDER_STATE_LENGTH, orderOf } from '@tidemark/shared/detection/order'
import type { SampleOrder } from '@tidemark/shared/verdict/analysis'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HistoryRing } from '../../src/history-ring.ts'

const WINDOW = 5

function createKey() {
  const ring = new HistoryRing(WINDOW)
  const { history } = ring
  const states = new Float64Array(ORDER_STATE_LENGTH)
  return {
    /** Adds a sample that joins the window. */
    step(timestamp: number, value = timestamp, time = 1e9): SampleOrder {
      const sample = { timestamp, value, time }
      const order = orderOf(states, 0, history, sample)
      advanceOrder(states, 0, history, sample, true)
      ring.push(value, timestamp)
      return order
    },
    /** Adds a sample that is kept out of the window. */
    stepOutside(timestamp: number, value: number): SampleOrder {
      const sample = { timestamp, value, time: 1e9 }
      const order = orderOf(states, 0, history, sample)
      advanceOrder(states, 0, history, sample, false)
      return order
    },
    states,
  }
}

describe('a sample', () => {
  test('is late if its key has a sample that was measured later', () => {
    const key = createKey()
    expect([5, 6, 5.5, 7, 6].map((timestamp, i) => key.step(timestamp, i))).toEqual([
      ...['in_order', 'in_order', 'late', 'in_order', 'late'],
    ])
  })

  test('with the same time and another value is in order', () => {
    const key = createKey()
    key.step(5, 1)
    expect(key.step(5, 2)).toBe('in_order')
  })

  test('is a duplicate if a sample in the window has its time and value', () => {
    const key = createKey()
    for (const timestamp of [1, 2, 3]) key.step(timestamp)
    expect(key.step(2)).toBe('duplicate')
    expect(key.step(3)).toBe('duplicate')
    expect(key.step(2, 9)).toBe('late')
  })

  test('is a duplicate if it repeats the previous one, even if that was kept out of the window', () => {
    const key = createKey()
    key.step(4)
    expect([1, 2].map(() => key.stepOutside(5, 99))).toEqual(['in_order', 'duplicate'])
    expect(key.step(4.5)).toBe('late')
    // It is no longer the previous one.
    expect(key.stepOutside(5, 99)).toBe('in_order')
  })

  test('is late, not a duplicate, once the repeated one has left the window', () => {
    const key = createKey()
    for (let timestamp = 1; timestamp <= WINDOW + 1; timestamp++) key.step(timestamp)
    expect(key.step(1)).toBe('late')
  })

  test('from the future does not make all later ones late', () => {
    const key = createKey()
    key.step(100, 1, 100)
    key.step(1e12, 2, 101)
    expect(key.step(102, 3, 102)).toBe('in_order')
    expect(key.step(100.5, 4, 103)).toBe('late')
  })

  test('far in the future does not count, neither as the first of its key nor later', () => {
    const key = createKey()
    key.step(1e12, 1, 100)
    expect(key.step(92, 2, 101)).toBe('in_order')
    expect(key.step(90, 3, 102)).toBe('late')
    key.step(1e12, 4, 103)
    expect(key.step(95, 5, 104)).toBe('in_order')
    expect(key.step(94, 6, 105)).toBe('late')
  })

  test('of a clock that is slightly ahead counts as measured when it arrived', () => {
    const key = createKey()
    key.step(1_000_050, 1, 1_000_000)
    expect(key.step(1_001_050, 2, 1_001_000)).toBe('in_order')
    expect(key.step(990_050, 3, 1_001_500)).toBe('late')
    // What is measured after that arrival is newer, although its timestamp is not.
    expect(key.step(1_001_020, 4, 1_001_600)).toBe('in_order')
  })

  test('is in order if it is the first of its key', () => {
    expect(createKey().step(0, 0)).toBe('in_order')
  })

  test('in order leaves no state beside the window', () => {
    const key = createKey()
    for (let timestamp = 1; timestamp <= 3 * WINDOW; timestamp++) key.step(timestamp)
    expect([...key.states]).toEqual([0, 0, 0])
    key.step(2)
    expect(key.states[0]).toBe(3 * WINDOW)
  })

  test('is analysed unless the rule excludes it', () => {
    const orders = [
      ['in_order', false],
      ['late', true],
      ['duplicate', false],
      ['duplicate', true],
    ] as const
    const analysed = (refusesLate: boolean, dropsDuplicates: boolean): boolean[] =>
      orders.map(([order, isOld]) => isAnalysed({ refusesLate, dropsDuplicates }, order, isOld))
    expect(analysed(false, false)).toEqual([true, true, true, true])
    expect(analysed(true, false)).toEqual([true, false, true, false])
    expect(analysed(false, true)).toEqual([true, true, false, false])
    expect(analysed(true, true)).toEqual([true, false, false, false])
  })
})

test('on any samples the order equals that of a slow, obvious computation, also from a restored state', () => {
  const sample = fc.record({ timestamp: fc.integer({ min: 1, max: 20 }), value: fc.integer({ min: 0, max: 2 }) })
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 40 }), fc.nat(40), (samples, cut) => {
      const ring = new HistoryRing(WINDOW)
      const { history } = ring
      let states = new Float64Array(ORDER_STATE_LENGTH)
      for (const [i, { timestamp, value }] of samples.entries()) {
        if (i === cut) states = new Float64Array(Uint8Array.from(new Uint8Array(states.buffer)).buffer)
        const before = samples.slice(0, i)
        const newest = Math.max(0, ...before.map(one => one.timestamp))
        const isRepeated = before.slice(-WINDOW).some(one => one.timestamp === timestamp && one.value === value)
        const expected = isRepeated ? 'duplicate' : timestamp < newest ? 'late' : 'in_order'
        const next = { timestamp, value, time: 1e9 }
        expect(orderOf(states, 0, history, next)).toBe(expected)
        advanceOrder(states, 0, history, next, true)
        ring.push(value, timestamp)
      }
    }),
  )
})
