import { describe, expect, test } from 'vitest'
import { RecentMap } from '../src/ingest/protocols/recent-map.ts'

describe('what was used lately', () => {
  test('is found, and what followed it is expected again', () => {
    const map = new RecentMap<string>(1000)
    for (const text of ['a', 'b', 'c']) map.set(text, text.toUpperCase())
    expect([map.get('a'), map.expected]).toEqual(['A', 'B'])
    map.advance()
    expect(map.expected).toBe('C')
    // Out of order: the order of this time is expected next time.
    expect([map.get('a'), map.get('c'), map.get('x'), map.size]).toEqual(['A', 'C', undefined, 3])
    expect([map.get('a'), map.expected]).toEqual(['A', 'C'])
  })

  test('stays when a generation is forgotten, and others do not', () => {
    const map = new RecentMap<number>(20)
    map.set('used', 0)
    for (let i = 0; i < 100; i++) {
      map.set(`n${i}`, i)
      expect(map.get('used')).toBe(0)
      expect(map.size).toBeLessThan(10)
    }
    expect([map.get('n99'), map.get('n0')]).toEqual([99, undefined])
    map.clear()
    expect([map.get('used'), map.expected, map.size]).toEqual([undefined, undefined, 0])
  })
})
