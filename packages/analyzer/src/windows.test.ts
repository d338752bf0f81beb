import assert from 'node:assert/strict'
import { decodeWindow, type StoredWindow } from '@tidemark/shared/window-row'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Windows } from './windows.ts'

const CAPACITY = 5

function newWindows(keysMax = 1000): Windows {
  return new Windows({ capacity: CAPACITY, keysMax })
}

/** What a store has of a window after it took the update. */
function stored(windows: Windows, slot: number, before: StoredWindow | null = null): StoredWindow {
  const { kind, bytes } = windows.update(slot)
  const copy = bytes.slice()
  if (kind === 'row') return { row: copy, tail: before?.tail ?? null }
  assert(before !== null)
  return { row: before.row, tail: copy }
}

function contentOf(windows: Windows, slot: number) {
  const content = decodeWindow(stored(windows, slot))
  assert(content !== undefined)
  const { count, values, timestamps } = content
  return { count, values, timestamps }
}

describe('windows', () => {
  test('keep the newest samples of a key, oldest first', () => {
    const windows = newWindows()
    const slot = windows.load('k', null)
    for (let i = 0; i < 12; i++) windows.push(slot, i, 100 + i)
    expect(contentOf(windows, slot)).toEqual({
      count: 12,
      values: [7, 8, 9, 10, 11],
      timestamps: [107, 108, 109, 110, 111],
    })
    expect(windows.size(slot)).toBe(CAPACITY)
    expect(windows.count(slot)).toBe(12)
  })

  test('go on after a reload as if nothing had happened', () => {
    const value = fc.double({ noNaN: true, min: -1e6, max: 1e6 })
    fc.assert(
      fc.property(fc.array(value, { maxLength: 20 }), fc.array(value, { maxLength: 20 }), (before, after) => {
        const one = newWindows()
        const slot = one.load('k', null)
        for (const value of before) one.push(slot, value, 1)
        const other = newWindows()
        const reloaded = other.load('k', stored(one, slot))
        for (const value of after) {
          one.push(slot, value, 2)
          other.push(reloaded, value, 2)
          const [a, b] = [
            { mean: 0, deviation: 0 },
            { mean: 0, deviation: 0 },
          ]
          one.summarize(slot, a)
          other.summarize(reloaded, b)
          expect(b).toEqual(a)
        }
      }),
    )
  })

  test('are in the store what they are in memory, whenever it is written, read again and written by another size', () => {
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ kind: fc.constant('push' as const), many: fc.integer({ min: 1, max: 24 }) }),
      },
      { weight: 2, arbitrary: fc.constant({ kind: 'reload' as const, many: 0 }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('resize' as const), many: fc.integer({ min: 2, max: 40 }) }),
      },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        let capacity = 20
        let windows = new Windows({ capacity, keysMax: 10 })
        let slot = windows.load('k', null)
        let inStore: StoredWindow | null = null
        let expected: number[] = []
        let count = 0
        for (const { kind, many } of steps) {
          if (kind === 'push') {
            for (let i = 0; i < many; i++) windows.push(slot, ++count, 1000 + count)
            expected = [...expected, ...Array.from({ length: many }, (_, i) => count - many + 1 + i)].slice(-capacity)
            inStore = stored(windows, slot, inStore)
          } else {
            if (kind === 'resize') capacity = many
            windows = new Windows({ capacity, keysMax: 10 })
            slot = windows.load('k', inStore)
            expected = expected.slice(-capacity)
            if (kind === 'resize' && count > 0) inStore = stored(windows, slot, inStore)
          }
          if (inStore === null) continue
          const timestamps = expected.map(value => 1000 + value)
          expect(decodeWindow(inStore)).toMatchObject({ count, values: expected, timestamps })
        }
      }),
    )
  })

  test('forget a spike bit by bit once it has left', () => {
    for (const spike of [1e15, 1e100, 1e300, -1e300]) {
      const [spiked, calm] = [newWindows(), newWindows()]
      const [a, b] = [spiked.load('k', null), calm.load('k', null)]
      spiked.push(a, spike, 0)
      for (let i = 0; i < CAPACITY; i++) {
        spiked.push(a, 20 + Math.sin(i), i)
        calm.push(b, 20 + Math.sin(i), i)
      }
      const [of, reference] = [
        { mean: 0, deviation: 0 },
        { mean: 0, deviation: 0 },
      ]
      spiked.summarize(a, of)
      calm.summarize(b, reference)
      expect(of).toEqual(reference)
    }
  })

  test('take the newest samples of a window that was larger', () => {
    const large = new Windows({ capacity: 10, keysMax: 10 })
    const slot = large.load('k', null)
    for (let i = 0; i < 13; i++) large.push(slot, i, i)
    const windows = newWindows()
    expect(contentOf(windows, windows.load('k', stored(large, slot)))).toMatchObject({
      count: 13,
      values: [8, 9, 10, 11, 12],
    })
  })

  test('begin anew, and say so, where Redis holds something else than a window', () => {
    const windows = newWindows()
    const slot = windows.load('k', { row: new Uint8Array([1, 2, 3]), tail: null })
    expect(windows.count(slot)).toBe(0)
    expect(windows.unreadableCount).toBe(1)
  })

  test('that began anew keep what came since, whatever tail is left from before', () => {
    const tail = new Uint8Array(Float64Array.of(1000, 1000, 7, 7).buffer)
    const windows = newWindows()
    const slot = windows.load('k', { row: new Uint8Array([1, 2, 3]), tail })
    for (let i = 0; i < 3; i++) windows.push(slot, i, i)
    const { row } = stored(windows, slot)
    const reloaded = newWindows()
    const again = reloaded.load('k', { row, tail })
    expect(reloaded.unreadableCount).toBe(0)
    expect(contentOf(reloaded, again)).toEqual({ count: 3, values: [0, 1, 2], timestamps: [0, 1, 2] })
  })

  test('keep no more keys than they may, and those that were used last', () => {
    const windows = newWindows(300)
    for (let i = 0; i < 1000; i++) {
      windows.push(windows.load(`k${i}`, null), i, i)
      windows.use('k0')
      windows.evict()
      expect(windows.keyCount).toBeLessThanOrEqual(300)
    }
    expect(windows.use('k0')).toBeDefined()
    expect(windows.use('k1')).toBeUndefined()
    const kept = windows.use('k999')
    expect(kept !== undefined && contentOf(windows, kept).values).toEqual([999])
  })

  test('give a slot that comes free to another key with nothing of the former', () => {
    const windows = newWindows(1)
    const first = windows.load('a', null)
    for (let i = 0; i < 9; i++) windows.push(first, i, i)
    windows.load('b', null)
    windows.evict()
    windows.evict()
    const again = windows.load('c', null)
    expect(contentOf(windows, again)).toEqual({ count: 0, values: [], timestamps: [] })
  })
})
