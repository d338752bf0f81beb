import { decodeRow } from '@tidemark/shared/window-row'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Windows } from './windows.ts'

const CAPACITY = 5

function newWindows(keysMax = 1000): Windows {
  return new Windows({ capacity: CAPACITY, keysMax })
}

describe('windows', () => {
  test('keep the newest samples of a key, oldest first', () => {
    const windows = newWindows()
    const slot = windows.load('k', null)
    for (let i = 0; i < 12; i++) windows.push(slot, i, 100 + i)
    expect(decodeRow(windows.row(slot))).toEqual({
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
        const reloaded = other.load('k', one.row(slot).slice())
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
        expect(decodeRow(other.row(reloaded))).toEqual(decodeRow(one.row(slot)))
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
    expect(decodeRow(windows.row(windows.load('k', large.row(slot))))).toMatchObject({
      count: 13,
      values: [8, 9, 10, 11, 12],
    })
  })

  test('begin anew, and say so, where Redis holds something else than a window', () => {
    const windows = newWindows()
    const slot = windows.load('k', new Uint8Array([1, 2, 3]))
    expect(windows.count(slot)).toBe(0)
    expect(windows.unreadableCount).toBe(1)
  })

  test('keep no more keys than they may, and those that were used last', () => {
    const windows = newWindows(300)
    for (let i = 0; i < 1000; i++) {
      windows.push(windows.load(`k${i}`, null), i, i)
      windows.has('k0')
      windows.evict()
      expect(windows.keyCount).toBeLessThanOrEqual(300)
    }
    expect(windows.find('k0')).toBeDefined()
    expect(windows.find('k1')).toBeUndefined()
    const kept = windows.find('k999')
    expect(kept !== undefined && decodeRow(windows.row(kept))?.values).toEqual([999])
  })

  test('give a slot that comes free to another key with nothing of the former', () => {
    const windows = newWindows(1)
    const first = windows.load('a', null)
    for (let i = 0; i < 9; i++) windows.push(first, i, i)
    windows.load('b', null)
    windows.evict()
    windows.evict()
    const again = windows.load('c', null)
    expect(decodeRow(windows.row(again))).toEqual({ count: 0, values: [], timestamps: [] })
  })
})
