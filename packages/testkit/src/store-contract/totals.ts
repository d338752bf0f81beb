import { describe, expect, test } from 'vitest'
import type { OpenStore } from './harness.ts'

const point = (time: number, count: number, sum: number) => ({ time, count, sum })

export function describeTotals(open: OpenStore): void {
  describe('totals', () => {
    test('have a point before each one, the same for every connection and each time', async () => {
      await using under = await open()
      await using other = await under.connect()
      const { totals } = under.store
      expect(await totals.advance('a.mean', point(1000, 1, 0.1))).toBeUndefined()
      expect(await totals.advance('a.mean', point(1000, 1, 0.1))).toBeUndefined()
      expect(await other.totals.advance('a.mean', point(2000, 3, -1e-7))).toEqual(point(1000, 1, 0.1))
      expect(await totals.advance('a.mean', point(2000, 3, -1e-7))).toEqual(point(1000, 1, 0.1))
      expect(await totals.advance('a.mean', point(2000.5, 2 ** 53, 1e22))).toEqual(point(2000, 3, -1e-7))
      expect(await totals.advance('a.mean', point(3000, 0, 0))).toEqual(point(2000.5, 2 ** 53, 1e22))
    })

    test('of one series are not those of another, whatever its name', async () => {
      await using under = await open()
      const { totals } = under.store
      for (const name of ['a', '{a}', 'a;b c', 'é\u0000']) {
        expect(await totals.advance(name, point(1, 1, 1))).toBeUndefined()
        expect(await totals.advance(name, point(2, 2, 2))).toEqual(point(1, 1, 1))
      }
    })

    test('do not go back: a late point has none before it, and changes nothing', async () => {
      await using under = await open()
      const { totals } = under.store
      await totals.advance('a', point(1000, 1, 1))
      await totals.advance('a', point(2000, 2, 2))
      expect(await totals.advance('a', point(1500, 9, 9))).toBeUndefined()
      expect(await totals.advance('a', point(3000, 3, 3))).toEqual(point(2000, 2, 2))
    })
  })
}
