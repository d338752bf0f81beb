import type { Entry } from '@tidemark/shared/sample/entry'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RollbackWatch } from './rollback-watch.ts'

function entry(id: string, offset: number, count: number): Entry {
  return { id, samples: '[]', count, offset }
}

test('consecutive entries, and entries that are read again, show no loss', () => {
  const watch = new RollbackWatch()
  const entries = [entry('1-0', 0, 3), entry('2-0', 3, 2), entry('3-0', 5, 1)]
  expect(watch.observe(0, entries)).toBe(0)
  expect(watch.observe(0, entries)).toBe(0)
  expect(watch.observe(0, [entry('4-0', 6, 1)])).toBe(0)
})

test('the first new entry after a rollback shows how many samples are lost', () => {
  const watch = new RollbackWatch()
  watch.observe(0, [entry('1-0', 0, 3), entry('2-0', 3, 2), entry('3-0', 5, 4)])
  // Redis lost the last two entries; the first one is read again before a new one comes.
  expect(watch.observe(0, [entry('1-0', 0, 3)])).toBe(0)
  expect(watch.observe(0, [entry('9-0', 3, 1)])).toBe(6)
  expect(watch.observe(0, [entry('10-0', 4, 1)])).toBe(0)
})

test('after Redis was emptied, all samples are lost', () => {
  const watch = new RollbackWatch()
  watch.observe(3, [entry('5-0', 990, 10)])
  expect(watch.observe(3, [entry('6-0', 0, 1)])).toBe(1000)
})

test('partitions are independent, and an entry that no gateway wrote shows nothing', () => {
  const watch = new RollbackWatch()
  watch.observe(0, [entry('5-0', 10, 10)])
  expect(watch.observe(1, [entry('6-0', 0, 1)])).toBe(0)
  expect(watch.observe(0, [{ id: '7-0', samples: undefined, count: undefined, offset: undefined }])).toBe(0)
  expect(watch.observe(0, [entry('8-0', 20, 1)])).toBe(0)
})

test('no watch counts more than was lost, and one that reads everything counts all of it', () => {
  const event = fc.oneof(
    { weight: 5, arbitrary: fc.record({ count: fc.integer({ min: 1, max: 9 }), isRead: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ keeps: fc.double({ min: 0, max: 1, noNaN: true }) }) },
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), events => {
      const [all, some] = [new RollbackWatch(), new RollbackWatch()]
      const counted = { all: 0, some: 0 }
      let ends = [0]
      let lost = 0
      let pendingLoss = 0
      for (const [i, one] of events.entries()) {
        const accepted = ends.at(-1) ?? 0
        if ('keeps' in one) {
          ends = ends.slice(0, 1 + Math.floor(one.keeps * (ends.length - 1)))
          pendingLoss += accepted - (ends.at(-1) ?? 0)
          continue
        }
        // A loss shows only when an entry follows.
        lost += pendingLoss
        pendingLoss = 0
        ends.push(accepted + one.count)
        const next = entry(`${i + 1}-0`, accepted, one.count)
        counted.all += all.observe(0, [next])
        if (one.isRead) counted.some += some.observe(0, [next])
      }
      expect(counted.all).toBe(lost)
      expect(counted.some).toBeLessThanOrEqual(lost)
    }),
  )
})
