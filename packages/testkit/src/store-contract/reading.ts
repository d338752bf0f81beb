import type { EntryId } from '@tidemark/shared/sample/receipt'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { describe, expect, test } from 'vitest'
import {
  append,
  appendAndRead,
  appendOne,
  commitOf,
  LONG_MS,
  type OpenStore,
  only,
  own,
  readNow,
  timed,
} from './harness.ts'

/** Time for a read to reach the store and block there. */
const SETTLE_MS = 50
/** A read that is not woken blocks for LONG_MS. */
const WAKE_MS_MAX = LONG_MS / 3

export function describeReading(open: OpenStore): void {
  describe('reading', () => {
    test('an entry is delivered once, and is pending until it is acknowledged', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      const [a, b] = await append(store, 0, 1, 2)
      expect((await readNow(store, 0)).map(({ id }) => id)).toEqual([a, b])
      expect(await readNow(store, 0)).toEqual([])
      expect(await probe.pendingIds(0)).toEqual([a, b])
      const c = await appendOne(store, 0, 1)
      expect((await readNow(store, 0)).map(({ id }) => id)).toEqual([c])
      expect(await probe.pendingIds(0)).toEqual([a, b, c])
    })

    test('entries that one process read are pending for another, not new', async () => {
      await using under = await open()
      await using other = await under.connect()
      await own(under.store, 0)
      const read = await appendAndRead(under.store, 0, 1, 2)
      const c = await appendOne(under.store, 0, 1)
      expect((await readNow(other, 0)).map(({ id }) => id)).toEqual([c])
      expect(await other.analyzer.readPending(0, '0-0', 2)).toEqual(read)
    })

    test('at most `count` entries of each partition are read, in the order of their ids', async () => {
      await using under = await open()
      const { store } = under
      const ids = new Map<number, EntryId[]>()
      for (const partition of [0, 2, 3]) {
        await own(store, partition)
        ids.set(partition, await append(store, partition, 1, 1, 1, 1, 1))
      }
      for (const [start, end] of [
        [0, 2],
        [2, 4],
        [4, 5],
      ]) {
        const found = await store.analyzer.read([3, 0, 2], { count: 2, blockMs: 0 })
        expect(found.map(({ partition }) => partition).toSorted()).toEqual([0, 2, 3])
        for (const { partition, entries } of found) {
          expect(entries.map(({ id }) => id)).toEqual(ids.get(partition)?.slice(start, end))
        }
      }
      expect(await store.analyzer.read([3, 0, 2], { count: 2, blockMs: 0 })).toEqual([])
    })

    test('only requested partitions that have new entries are returned', async () => {
      await using under = await open()
      const { store } = under
      for (const partition of [0, 1, 2]) await own(store, partition)
      const a = await appendOne(store, 1, 1)
      await append(store, 2, 1)
      const { partition, entries } = only(await store.analyzer.read([0, 1], { count: 9, blockMs: 0 }))
      expect([partition, entries.map(({ id }) => id)]).toEqual([1, [a]])
    })

    test('pending entries can be read by pages repeatedly and stay pending', async () => {
      await using under = await open()
      const { store } = under
      await own(store, 0)
      const entries = await appendAndRead(store, 0, 1, 2, 3, 4, 5)
      const page = await store.analyzer.readPending(0, '0-0', 2)
      expect(page).toEqual(entries.slice(0, 2))
      expect(await store.analyzer.readPending(0, page[1]?.id ?? '', 2)).toEqual(entries.slice(2, 4))
      expect(await store.analyzer.readPending(0, entries[3]?.id ?? '', 2)).toEqual(entries.slice(4))
      expect(await store.analyzer.readPending(0, entries[4]?.id ?? '', 2)).toEqual([])
      expect(await store.analyzer.readPending(0, '0-0', 100)).toEqual(entries)
    })

    test('an entry that was not delivered is not pending', async () => {
      await using under = await open()
      const { store } = under
      await own(store, 0)
      await append(store, 0, 1, 1)
      expect(await store.analyzer.readPending(0, '0-0', 10)).toEqual([])
    })

    test('acknowledged entries are no longer pending, and nothing else changes', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      const ids = (await appendAndRead(store, 0, 1, 1, 1)).map(({ id }) => id)
      await store.analyzer.acknowledge(0, [])
      await store.analyzer.acknowledge(0, [...ids.slice(0, 2), '1-1'])
      await store.analyzer.acknowledge(0, ids.slice(0, 2))
      expect(await probe.pendingIds(0)).toEqual(ids.slice(2))
      expect(await probe.streamIds(0)).toEqual(ids)
      expect((await store.gateway.progress([0]))[0]).toMatchObject({ checkpoint: '0-0', accepted: 3, backlog: 3 })
      expect(await readNow(store, 0)).toEqual([])
    })

    test('thousands of entries are acknowledged together', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      await append(store, 0, ...Array.from({ length: 9_000 }, () => 1))
      const ids = (await readNow(store, 0, 10_000)).map(({ id }) => id)
      expect(ids).toHaveLength(9_000)
      await store.analyzer.acknowledge(0, ids)
      expect(await probe.pendingIds(0)).toEqual([])
    })

    test('a pending entry that was deleted is marked as deleted', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      const [a, b, c] = await appendAndRead(store, 0, 1, 2, 3)
      await probe.deleteEntry(0, b?.id ?? '')
      expect(await store.analyzer.readPending(0, '0-0', 10)).toEqual([
        a,
        { id: b?.id, samples: undefined, count: undefined, offset: undefined, isDeleted: true },
        c,
      ])
    })

    test('an entry that was deleted before its delivery is never delivered', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      const [a, b, c] = await append(store, 0, 1, 2, 3)
      await probe.deleteEntry(0, b ?? '')
      const entries = await readNow(store, 0)
      expect(entries.map(({ id, offset }) => [id, offset])).toEqual([
        [a, 0],
        [c, 3],
      ])
    })

    test('the stream may hold anything: missing and malformed fields are undefined', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      const nothing = { samples: undefined, count: undefined, offset: undefined }
      const raw: [Record<string, string>, object][] = [
        [{ hello: 'world' }, nothing],
        [{ s: '[]' }, { ...nothing, samples: '[]' }],
        [
          { s: '', n: '', o: '' },
          { ...nothing, samples: '' },
        ],
        [
          { n: '1', o: '2' },
          { ...nothing, count: 1, offset: 2 },
        ],
        [{ n: '-1', o: '1.5' }, { ...nothing }],
        [{ n: '0x10', o: ' 1' }, nothing],
        [{ n: 'NaN', o: '1e3' }, nothing],
        [
          { s: '\ud83d\ude00"', n: '3', o: '0', x: 'y' },
          { samples: '\ud83d\ude00"', count: 3, offset: 0 },
        ],
        [{ __proto__: 'x', constructor: 'y' }, nothing],
      ]
      const ids: EntryId[] = []
      for (const [fields] of raw) ids.push(await probe.appendRaw(0, { ...fields, filler: 'so that it has one field' }))
      const expected = raw.map(([, fields], index) => ({ id: ids[index], ...fields }))
      expect(await readNow(store, 0)).toEqual(expected)
      expect(await store.analyzer.readPending(0, '0-0', 100)).toEqual(expected)
      expect(await store.analyzer.backlogs([0])).toMatchObject([{ samples: 0, oldest: ids[0] }])
    })

    test('a partition without a group cannot be read, and then nothing of the others is delivered', async () => {
      await using under = await open()
      const { store } = under
      await own(store, 0)
      const a = await appendOne(store, 0, 1)
      await append(store, 1, 1)
      // Either the read fails, or it returns an error of the partition: in a cluster each is read
      // by itself.
      const failure = await store.analyzer.read([1], { count: 1, blockMs: 0 }).then(
        found => found[0]?.error,
        error => error,
      )
      expect(failure).toBeInstanceOf(StoreError)
      await expect(store.analyzer.readPending(1, '0-0', 1)).rejects.toThrow(StoreError)
      await store.analyzer.loadCheckpoint(1)
      expect(await store.analyzer.read([0, 1], { count: 1, blockMs: 0 })).toHaveLength(2)
      expect(await under.probe.pendingIds(0)).toEqual([a])
    })
  })

  describe('the group', () => {
    test('is created once when the checkpoint is loaded, and again when it was lost', async () => {
      await using under = await open()
      const { store, probe } = under
      expect(await store.analyzer.loadCheckpoint(0)).toMatchObject({ id: '0-0', offset: 0 })
      const entries = await appendAndRead(store, 0, 1, 2)
      expect(await store.analyzer.loadCheckpoint(0)).toMatchObject({ id: '0-0', offset: 0 })
      expect(await readNow(store, 0)).toEqual([])
      await probe.destroyGroup(0)
      await store.analyzer.loadCheckpoint(0)
      expect(await readNow(store, 0)).toEqual(entries)
    })

    test('delivers entries that were appended before it was created', async () => {
      await using under = await open()
      const ids = await append(under.store, 0, 1, 2)
      await under.store.analyzer.loadCheckpoint(0)
      expect((await readNow(under.store, 0)).map(({ id }) => id)).toEqual(ids)
    })

    test('begins after the checkpoint: applied entries are not delivered again, the others are', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 1, 2, 3, 4)
      await store.analyzer.commit(lease, commitOf({ id: '0-0', offset: 0 }, entries.slice(0, 2)))
      await probe.destroyGroup(0)
      const late = await appendOne(store, 0, 5)
      expect(await store.analyzer.loadCheckpoint(0)).toMatchObject({ id: entries[1]?.id, offset: 3 })
      expect(await store.analyzer.readPending(0, '0-0', 10)).toEqual([])
      const again = await readNow(store, 0)
      expect(again.slice(0, 2)).toEqual(entries.slice(2))
      expect(again.map(({ id }) => id)).toEqual([...entries.slice(2).map(({ id }) => id), late])
    })
  })

  describe('an entry that was acknowledged by hand without being applied', () => {
    test('is delivered again once the checkpoint is loaded, with all entries after it', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      const entries = await appendAndRead(store, 0, 1, 2, 3)
      const ids = entries.map(({ id }) => id)
      await store.analyzer.acknowledge(0, ids.slice(0, 1))
      expect(await readNow(store, 0)).toEqual([])
      await store.analyzer.loadCheckpoint(0)
      // Otherwise recovery would find the later ones first and stop at the gap for ever.
      expect(await probe.pendingIds(0)).toEqual([])
      expect(await readNow(store, 0)).toEqual(entries)
      expect(await probe.pendingIds(0)).toEqual(ids)
    })
  })

  describe('blocking', () => {
    test('a read that finds nothing blocks for its timeout and returns nothing', async () => {
      await using under = await open()
      await own(under.store, 0)
      const { value, tookMs } = await timed(under.store.analyzer.read([0], { count: 1, blockMs: 200 }))
      expect(value).toEqual([])
      // It may end before its timeout: what it waits for was requested before the time was taken.
      expect(tookMs).toBeGreaterThan(100)
      expect(tookMs).toBeLessThan(WAKE_MS_MAX)
    })

    test('a read with a timeout of zero does not block', async () => {
      await using under = await open()
      await own(under.store, 0)
      const { value, tookMs } = await timed(under.store.analyzer.read([0], { count: 1, blockMs: 0 }))
      expect(value).toEqual([])
      expect(tookMs).toBeLessThan(WAKE_MS_MAX)
    })

    test('a read that finds entries does not block', async () => {
      await using under = await open()
      await own(under.store, 0)
      await append(under.store, 0, 1)
      const { value, tookMs } = await timed(under.store.analyzer.read([0], { count: 10, blockMs: LONG_MS }))
      expect(only(value).entries).toHaveLength(1)
      expect(tookMs).toBeLessThan(WAKE_MS_MAX)
    })

    test('an append of another process to any of its partitions wakes a blocked read', async () => {
      await using under = await open()
      await using gateway = await under.connect()
      const partitions = [0, 1, 2, 3]
      for (const partition of partitions) await own(under.store, partition)
      for (const partition of [2, 0, 3, 1]) {
        const reading = timed(under.store.analyzer.read(partitions, { count: 10, blockMs: LONG_MS }))
        await under.probe.advanceTime(SETTLE_MS)
        const id = await appendOne(gateway, partition, 1)
        const { value, tookMs } = await reading
        const found = only(value)
        expect([found.partition, found.entries.map(entry => entry.id)]).toEqual([partition, [id]])
        expect(tookMs).toBeLessThan(WAKE_MS_MAX)
      }
    })

    test('an append to another partition does not end a blocked read', async () => {
      await using under = await open()
      const { store } = under
      for (const partition of [0, 1]) await own(store, partition)
      const reading = store.analyzer.read([0], { count: 1, blockMs: LONG_MS })
      await under.probe.advanceTime(SETTLE_MS)
      await append(store, 1, 1)
      const id = await appendOne(store, 0, 1)
      const found = only(await reading)
      expect([found.partition, found.entries.map(entry => entry.id)]).toEqual([0, [id]])
    })

    test('an interrupt ends a blocked read, and the next one works', async () => {
      await using under = await open()
      const { store } = under
      await own(store, 0)
      const reading = timed(store.analyzer.read([0], { count: 1, blockMs: LONG_MS }))
      await under.probe.advanceTime(SETTLE_MS)
      store.analyzer.interruptRead()
      const { value, tookMs } = await reading
      expect(value).toEqual([])
      expect(tookMs).toBeLessThan(WAKE_MS_MAX)
      const id = await appendOne(store, 0, 1)
      const found = await store.analyzer.read([0], { count: 1, blockMs: LONG_MS })
      expect(only(found).entries.map(entry => entry.id)).toEqual([id])
    })

    test('an interrupt just after the call ends the read too', async () => {
      await using under = await open()
      const { store } = under
      await own(store, 0)
      const reading = timed(store.analyzer.read([0], { count: 1, blockMs: LONG_MS }))
      store.analyzer.interruptRead()
      const { value, tookMs } = await reading
      expect(value).toEqual([])
      expect(tookMs).toBeLessThan(WAKE_MS_MAX)
    })

    test('an interrupt loses no entries', async () => {
      await using under = await open()
      const { store } = under
      await own(store, 0)
      store.analyzer.interruptRead()
      const ids = await append(store, 0, 1, 1)
      const reading = store.analyzer.read([0], { count: 10, blockMs: LONG_MS })
      store.analyzer.interruptRead()
      const first = (await reading)[0]?.entries ?? []
      const rest = await readNow(store, 0)
      expect([...first, ...rest].map(({ id }) => id)).toEqual(ids)
    })

    test('a read without partitions blocks too, and an interrupt ends it', async () => {
      await using under = await open()
      const { store } = under
      const waited = await timed(store.analyzer.read([], { count: 1, blockMs: 60 }))
      expect(waited.value).toEqual([])
      expect(waited.tookMs).toBeGreaterThan(50)
      const reading = timed(store.analyzer.read([], { count: 1, blockMs: LONG_MS }))
      store.analyzer.interruptRead()
      expect((await reading).tookMs).toBeLessThan(WAKE_MS_MAX)
    })

    test('closing the store ends a blocked read', async () => {
      await using under = await open()
      const other = await under.connect()
      await own(other, 0)
      const reading = timed(other.analyzer.read([0], { count: 1, blockMs: LONG_MS }).catch(() => []))
      await under.probe.advanceTime(SETTLE_MS)
      await other[Symbol.asyncDispose]()
      expect((await reading).tookMs).toBeLessThan(2 * WAKE_MS_MAX)
    })
  })
}
