import { expect, test } from 'vitest'
import { EntryQueue } from './entry-queue.ts'

const entry = (id: string, count: number) => ({ id, offset: 0, count, samples: 'x'.repeat(10 * count) })

test('counts the samples and bytes of entries that are added and removed, each once', () => {
  const queue = new EntryQueue('5-0')
  queue.add([entry('5-0', 1), entry('6-0', 2), entry('6-0', 2), entry('7-0', 3)])
  expect([queue.entries.map(({ id }) => id), queue.samples, queue.bytes]).toEqual([['6-0', '7-0'], 5, 50])
  queue.remove(1)
  expect([queue.entries.map(({ id }) => id), queue.samples, queue.bytes]).toEqual([['7-0'], 3, 30])
  queue.remove(1)
  expect([queue.isEmpty, queue.samples, queue.bytes]).toEqual([true, 0, 0])
  queue.add([entry('7-0', 3), entry('8-0', 1)])
  expect(queue.entries.map(({ id }) => id)).toEqual(['8-0'])
})
