import assert from 'node:assert/strict'
import { packTraces } from '@tidemark/shared/sample/entry'
import { compareEntryIds } from '@tidemark/shared/sample/receipt'
import { describe, expect, test } from 'vitest'
import {
  append,
  appendAndRead,
  appendOne,
  commitOf,
  type OpenStore,
  own,
  packed,
  progressOf,
  readNow,
} from './harness.ts'

export function describeAppending(open: OpenStore): void {
  describe('appending', () => {
    test('an empty store has a progress of zero', async () => {
      await using under = await open()
      expect(await under.store.gateway.progress([1])).toEqual([
        { checkpoint: '0-0', accepted: 0, analysed: 0, dead: 0, lost: 0, backlog: 0 },
      ])
      expect(await under.store.analyzer.backlogs([1])).toEqual([
        { samples: 0, found: 0, oldest: null, oldestAgeMs: 0, accepted: 0, analysed: 0, dead: 0 },
      ])
    })

    test('an appended batch is one entry, and its samples count as accepted and as backlog', async () => {
      await using under = await open()
      const id = await appendOne(under.store, 0, 3)
      expect(id).toMatch(/^\d+-\d+$/)
      expect(await under.probe.streamIds(0)).toEqual([id])
      expect(await progressOf(under.store, 0)).toMatchObject({ checkpoint: '0-0', accepted: 3, backlog: 3 })
      expect(await under.store.analyzer.backlogs([0])).toMatchObject([{ samples: 3, oldest: id }])
    })

    test('an entry exists from its id backwards, and none does in the future', async () => {
      await using under = await open()
      const { gateway } = under.store
      expect(await gateway.hasEntryFrom(0, '0-1')).toBe(false)
      const [first = ''] = await append(under.store, 0, 1)
      const [last = ''] = await append(under.store, 0, 1)
      for (const id of ['0-1', first, last]) expect(await gateway.hasEntryFrom(0, id)).toBe(true)
      const [ms, sequence] = last.split('-').map(Number) as [number, number]
      expect(await gateway.hasEntryFrom(0, `${ms}-${sequence + 1}`)).toBe(false)
      expect(await gateway.hasEntryFrom(0, `${ms + 1}-0`)).toBe(false)
      expect(await gateway.hasEntryFrom(1, first)).toBe(false)
    })

    test('entries keep the order of the batches, and each has the number of samples before it', async () => {
      await using under = await open()
      await own(under.store, 0)
      const first = await append(under.store, 0, 3, 1, 5)
      const second = await append(under.store, 0, 2)
      const entries = await readNow(under.store, 0)
      expect(entries.map(({ id }) => id)).toEqual([...first, ...second])
      expect(entries.map(({ offset, count }) => [offset, count])).toEqual([
        [0, 3],
        [3, 1],
        [4, 5],
        [9, 2],
      ])
      expect(entries.map(({ id }) => id)).toEqual(entries.map(({ id }) => id).toSorted(compareEntryIds))
    })

    test('samples are read as they were written', async () => {
      await using under = await open()
      await own(under.store, 0)
      const samples = '["\\"é😀\u2028{0}",-1e-300,1700000000000.5,"__proto__",0.1,1]'
      await under.store.gateway.append([{ partition: 0, samples, count: 2 }])
      expect(await readNow(under.store, 0)).toEqual([
        { id: expect.any(String), samples, count: 2, offset: 0, nonce: expect.any(String) },
      ])
    })

    test('traces are read as they were written, and an entry without traces has no field for them', async () => {
      await using under = await open()
      await own(under.store, 0)
      const traces = packTraces([{ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: true }])
      const batch = { partition: 0, samples: packed(1), count: 1 }
      const once = { request: 'request', ttlMs: 60_000 }
      await under.store.gateway.append([batch, { ...batch, traces }, { ...batch, once }])
      await under.store.gateway.append([{ ...batch, traces, once: { ...once, request: 'another' } }])
      const entries = await readNow(under.store, 0)
      expect(entries.map(entry => entry.traces)).toEqual([undefined, traces, undefined, traces])
      expect(entries.map(entry => 'traces' in entry)).toEqual([false, true, false, true])
      const pending = await under.store.analyzer.readPending(0, '0-0', 10)
      expect(pending.map(entry => entry.traces)).toEqual([undefined, traces, undefined, traces])
    })

    test('one call appends to several partitions, each with its own counts', async () => {
      await using under = await open()
      const outcomes = await under.store.gateway.append(
        [2, 0, 2, 3].map((partition, index) => ({ partition, samples: packed(index + 1), count: index + 1 })),
      )
      expect(outcomes.map(({ kind }) => kind)).toEqual(['stored', 'stored', 'stored', 'stored'])
      const progress = await under.store.gateway.progress([3, 2, 1, 0])
      expect(progress.map(({ accepted }) => accepted)).toEqual([4, 4, 0, 2])
      const ids = outcomes.map(outcome => (outcome.kind === 'stored' ? outcome.id : outcome.kind))
      expect(await under.probe.streamIds(2)).toEqual([ids[0], ids[2]])
      expect(await under.probe.streamIds(0)).toEqual([ids[1]])
    })

    test('concurrent appends of two processes number the samples without a gap', async () => {
      await using under = await open()
      await using other = await under.connect()
      await own(under.store, 1)
      await Promise.all(
        Array.from({ length: 40 }, (_, index) => append(index % 2 === 0 ? under.store : other, 1, 1 + (index % 3))),
      )
      const entries = await readNow(under.store, 1)
      let expected = 0
      for (const { offset, count = 0 } of entries) {
        expect(offset).toBe(expected)
        expected += count
      }
      expect(entries).toHaveLength(40)
      expect((await progressOf(under.store, 1)).accepted).toBe(expected)
    })

    test('an empty list of batches does nothing', async () => {
      await using under = await open()
      expect(await under.store.gateway.append([])).toEqual([])
      expect(await under.store.gateway.progress([])).toEqual([])
      expect(await under.store.analyzer.backlogs([])).toEqual([])
    })

    test('a batch of 10,000 samples is one entry', async () => {
      await using under = await open()
      await own(under.store, 0)
      const samples = packed(10_000, 'k'.repeat(60))
      await under.store.gateway.append([{ partition: 0, samples, count: 10_000 }])
      const entries = await readNow(under.store, 0)
      expect(entries.map(entry => [entry.count, entry.samples === samples])).toEqual([[10_000, true]])
    })

    test('a full backlog refuses samples without counting them, and affects no other partition', async () => {
      await using under = await open()
      const { store, limits } = under
      await append(store, 0, limits.backlogMax - 1)
      // The limit is checked before a batch: one that begins below it is stored whole.
      await append(store, 0, 7)
      const backlog = limits.backlogMax + 6
      const outcomes = await store.gateway.append([
        { partition: 0, samples: packed(1), count: 1 },
        { partition: 1, samples: packed(1), count: 1 },
        { partition: 0, samples: packed(1), count: 1 },
      ])
      expect(outcomes).toEqual([
        { kind: 'backlog-full', backlog },
        { kind: 'stored', id: expect.any(String) },
        { kind: 'backlog-full', backlog },
      ])
      expect(await progressOf(store, 0)).toMatchObject({ accepted: backlog, backlog })
      expect(await under.probe.streamIds(0)).toHaveLength(2)
    })

    test('batches of one call share the room of the backlog', async () => {
      await using under = await open()
      const half = Math.ceil(under.limits.backlogMax / 2)
      const batch = { partition: 0, samples: packed(half), count: half }
      const outcomes = await under.store.gateway.append([batch, batch, batch])
      expect(outcomes.map(({ kind }) => kind)).toEqual(['stored', 'stored', 'backlog-full'])
    })

    test('a full backlog accepts samples again after a commit', async () => {
      await using under = await open()
      const { store, limits } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, limits.backlogMax)
      expect(await store.gateway.append([{ partition: 0, samples: packed(1), count: 1 }])).toEqual([
        { kind: 'backlog-full', backlog: limits.backlogMax },
      ])
      await store.analyzer.commit(lease, commitOf({ id: '0-0', offset: 0 }, entries))
      await appendOne(store, 0, 1)
      expect(await progressOf(store, 0)).toMatchObject({ accepted: limits.backlogMax + 1, backlog: 1 })
    })

    test('the age of the oldest entry is by the clock that made its id', async () => {
      await using under = await open()
      const { store, probe } = under
      await append(store, 0, 1)
      await probe.advanceTime(30)
      await append(store, 0, 1)
      const [backlog] = await store.analyzer.backlogs([0])
      expect(backlog?.oldestAgeMs).toBeGreaterThanOrEqual(30)
      expect(backlog?.oldestAgeMs).toBeLessThan(10_000)
    })

    test('a backlog is measured in the stream too, which reveals lost entries', async () => {
      await using under = await open()
      const { store, probe } = under
      const measure = async () => (await store.analyzer.backlogs([0]))[0]
      const lease = await own(store, 0)
      const [first, ...others] = await appendAndRead(store, 0, 3, 10, 100, 1000)
      assert(first !== undefined && others.length === 3)
      await store.analyzer.commit(lease, commitOf({ id: '0-0', offset: 0 }, [first], { keepFrom: first.id }))
      const account = { accepted: 1113, analysed: 3, dead: 0 }
      expect(await measure()).toMatchObject({ samples: 1110, found: 1110, oldest: others[0]?.id, ...account })
      // An entry added by hand was never accepted.
      await probe.appendRaw(0, { hello: 'world' })
      expect(await measure()).toMatchObject({ samples: 1110, found: 1110 })
      await probe.deleteEntry(0, others[0]?.id ?? '')
      expect(await measure()).toMatchObject({ samples: 1110, found: 1100, oldest: others[1]?.id, ...account })
      for (const id of (await probe.streamIds(0)).slice(1)) await probe.deleteEntry(0, id)
      expect(await measure()).toMatchObject({ samples: 1110, found: 0, oldest: null, ...account })
    })

    test('a lost newest entry shows in the backlog', async () => {
      await using under = await open()
      const [, last = ''] = await append(under.store, 0, 5, 7)
      await under.probe.deleteEntry(0, last)
      expect((await under.store.analyzer.backlogs([0]))[0]).toMatchObject({ samples: 12, found: 5, accepted: 12 })
    })

    test('progress and backlogs are returned in the order requested', async () => {
      await using under = await open()
      await append(under.store, 1, 1)
      await append(under.store, 2, 2)
      const progress = await under.store.gateway.progress([2, 0, 1])
      expect(progress.map(({ accepted }) => accepted)).toEqual([2, 0, 1])
      const backlogs = await under.store.analyzer.backlogs([2, 0, 1])
      expect(backlogs.map(({ samples }) => samples)).toEqual([2, 0, 1])
    })

    test('a ping returns a short round-trip time', async () => {
      await using under = await open()
      const tookMs = await under.store.gateway.ping()
      expect(tookMs).toBeGreaterThanOrEqual(0)
      expect(tookMs).toBeLessThan(2_000)
    })
  })
}
