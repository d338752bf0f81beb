import { expect, test } from 'vitest'
import { EntrySizes } from './entry-sizes.ts'

const MIB = 1024 * 1024

function entriesOf(length: number, bytes: number, count = 1) {
  return Array.from({ length }, (_, i) => ({ id: `1-${i}`, samples: 'x'.repeat(bytes), count, offset: i }))
}

test('assumes large entries at first, and halves the assumption with each read of small ones', () => {
  const sizes = new EntrySizes()
  const counts: number[] = []
  for (let read = 0; read < 12; read++) {
    counts.push(sizes.countWithin({ samples: 8000, bytes: 16 * MIB }))
    sizes.learn(entriesOf(4, 100))
  }
  expect(counts.slice(0, 6)).toEqual([8, 16, 32, 64, 128, 256])
  expect(counts.at(-1)).toBe(4096)
})

test('assumes the largest entry of a read at once, although the others are small', () => {
  const sizes = new EntrySizes()
  for (let read = 0; read < 12; read++) sizes.learn(entriesOf(4, 100))
  sizes.learn([...entriesOf(1, 3 * MIB), ...entriesOf(300, 100)])
  expect(sizes.countWithin({ samples: 1e9, bytes: 16 * MIB })).toBe(5)
  expect(sizes.countWithin({ samples: 1e9, bytes: 2 * MIB })).toBe(0)
})

test('an idle partition is assumed to have small entries after a while, and large ones after an outage', () => {
  const sizes = new EntrySizes()
  for (let read = 0; read < 12; read++) sizes.learn([])
  expect(sizes.countWithin({ samples: 8000, bytes: MIB })).toBe(256)
  sizes.reset()
  expect(sizes.countWithin({ samples: 8000, bytes: MIB })).toBe(1)
})

test('entries without samples or count, as by hand, are the smallest', () => {
  const sizes = new EntrySizes()
  for (let read = 0; read < 12; read++) {
    sizes.learn([{ id: '1-1', samples: undefined, count: undefined, offset: undefined }])
  }
  expect(sizes.countWithin({ samples: 8000, bytes: MIB })).toBe(256)
})
