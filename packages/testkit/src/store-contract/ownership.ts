import { compareEntryIds } from '@tidemark/shared/sample/receipt'
import { OWNER_CHANGES_KEPT } from '@tidemark/shared/store/ports/lease'
import { describe, expect, test } from 'vitest'
import { appendAndRead, commitOf, LONG_MS, type OpenStore, own } from './harness.ts'

const TTL_MS = 1_000
const PAST_TTL_MS = 1_200
/** Two of these are past the TTL, one is well within. */
const PART_OF_TTL_MS = 600

export function describeOwnership(open: OpenStore): void {
  test('the owner of each partition is the holder of its lease', async () => {
    await using under = await open()
    const { gateway, analyzer } = under.store
    expect(await gateway.owners([1, 0])).toEqual([null, null])
    const lease = await own(under.store, 1, 'analyzer:a-1:4cb7')
    expect(await gateway.owners([1, 0])).toEqual(['analyzer:a-1', null])
    await analyzer.releaseLease(lease)
    expect(await gateway.owners([1])).toEqual([null])
  })

  test('the memory in use is known, or said to be unknown', async () => {
    await using under = await open()
    const memory = await under.store.gateway.memory()
    expect(memory === null || (memory.usedBytes > 100_000 && memory.maxBytes >= 0)).toBe(true)
  })

  describe('members', () => {
    test('are listed in order of name while their heartbeats are recent', async () => {
      await using under = await open()
      await using other = await under.connect()
      expect(await under.store.analyzer.heartbeat('b', LONG_MS)).toEqual(['b'])
      expect(await other.analyzer.heartbeat('a', LONG_MS)).toEqual(['a', 'b'])
      expect(await under.store.analyzer.heartbeat('c-10', LONG_MS)).toEqual(['a', 'b', 'c-10'])
      expect(await other.analyzer.heartbeat('a', LONG_MS)).toEqual(['a', 'b', 'c-10'])
    })

    test('are removed at once when they leave, and leaving twice is harmless', async () => {
      await using under = await open()
      const { analyzer } = under.store
      await analyzer.heartbeat('a', LONG_MS)
      await analyzer.heartbeat('b', LONG_MS)
      await analyzer.leave('a')
      await analyzer.leave('a')
      expect(await analyzer.heartbeat('b', LONG_MS)).toEqual(['b'])
      expect(await analyzer.heartbeat('a', LONG_MS)).toEqual(['a', 'b'])
    })

    test('are removed when their heartbeats stop', async () => {
      await using under = await open()
      const { analyzer } = under.store
      await analyzer.heartbeat('silent', TTL_MS)
      await analyzer.heartbeat('talking', TTL_MS)
      await under.probe.advanceTime(PART_OF_TTL_MS)
      expect(await analyzer.heartbeat('talking', TTL_MS)).toEqual(['silent', 'talking'])
      await under.probe.advanceTime(PART_OF_TTL_MS)
      expect(await analyzer.heartbeat('talking', TTL_MS)).toEqual(['talking'])
    })
  })

  describe('leases', () => {
    test('a free lease is taken once; not even the same token takes it again', async () => {
      await using under = await open()
      await using other = await under.connect()
      expect(await under.store.analyzer.acquireLease(0, 'a:1', LONG_MS)).toBe(true)
      expect(await under.store.analyzer.acquireLease(0, 'a:1', LONG_MS)).toBe(false)
      expect(await other.analyzer.acquireLease(0, 'b:1', LONG_MS)).toBe(false)
      expect(await other.analyzer.acquireLease(1, 'b:1', LONG_MS)).toBe(true)
    })

    test('one of many concurrent callers gets a lease', async () => {
      await using under = await open()
      await using other = await under.connect()
      const taken = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? under.store : other).analyzer.acquireLease(3, `a:${index}`, LONG_MS),
        ),
      )
      expect(taken.filter(Boolean)).toHaveLength(1)
    })

    test('several leases are renewed at once, each on its own', async () => {
      await using under = await open()
      await using other = await under.connect()
      const { analyzer } = under.store
      for (const partition of [0, 2]) await analyzer.acquireLease(partition, `a:${partition}`, TTL_MS)
      await other.analyzer.acquireLease(1, 'b:1', TTL_MS)
      const leases = [2, 1, 3, 0].map(partition => ({ partition, token: `a:${partition}` }))
      expect(await analyzer.renewLeases(leases, LONG_MS)).toEqual([true, false, false, true])
      expect(await analyzer.renewLeases([], LONG_MS)).toEqual([])
      await under.probe.advanceTime(PAST_TTL_MS)
      expect(await under.store.gateway.owners([0, 1, 2, 3])).toEqual(['a', null, 'a', null])
    })

    test('a token is compared as a whole: a part, a longer or differently cased token is another', async () => {
      await using under = await open()
      const { analyzer } = under.store
      await analyzer.acquireLease(0, 'pod-1:abc', LONG_MS)
      for (const token of ['pod-1', 'pod-1:', 'pod-1:ab', 'pod-1:abcd', 'POD-1:abc', 'pod-1:abc ', '']) {
        expect(await analyzer.renewLeases([{ partition: 0, token }], LONG_MS)).toEqual([false])
        expect(await analyzer.releaseLease({ partition: 0, token })).toBe(false)
      }
      expect(await analyzer.renewLeases([{ partition: 0, token: 'pod-1:abc' }], LONG_MS)).toEqual([true])
    })

    test('a released lease is free, and a second release returns false', async () => {
      await using under = await open()
      const { analyzer } = under.store
      await analyzer.acquireLease(0, 'a:1', LONG_MS)
      expect(await analyzer.releaseLease({ partition: 0, token: 'a:1' })).toBe(true)
      expect(await analyzer.releaseLease({ partition: 0, token: 'a:1' })).toBe(false)
      expect(await analyzer.acquireLease(0, 'b:1', LONG_MS)).toBe(true)
    })

    test('who took and released a partition is kept, newest first and bounded', async () => {
      await using under = await open()
      const { analyzer, gateway } = under.store
      expect(await gateway.ownerChanges(0)).toEqual([])
      await analyzer.acquireLease(0, 'pod:1:a', LONG_MS)
      await analyzer.acquireLease(0, 'b:1', LONG_MS)
      await analyzer.releaseLease({ partition: 0, token: 'b:1' })
      await analyzer.releaseLease({ partition: 0, token: 'pod:1:a' })
      await analyzer.acquireLease(0, 'b:2', TTL_MS)
      await under.probe.advanceTime(PAST_TTL_MS)
      await analyzer.acquireLease(0, 'c:3', LONG_MS)
      expect((await gateway.ownerChanges(0)).map(({ kind, owner }) => [kind, owner])).toEqual([
        ['taken', 'c'],
        ['taken', 'b'],
        ['released', 'pod:1'],
        ['taken', 'pod:1'],
      ])
      expect(await gateway.ownerChanges(1)).toEqual([])
      await analyzer.releaseLease({ partition: 0, token: 'c:3' })
      for (let i = 0; i < OWNER_CHANGES_KEPT; i++) {
        await analyzer.acquireLease(0, `d${i}:1`, LONG_MS)
        await analyzer.releaseLease({ partition: 0, token: `d${i}:1` })
      }
      const newest = await gateway.ownerChanges(0)
      expect([newest.length, newest[0]?.owner]).toEqual([OWNER_CHANGES_KEPT, `d${OWNER_CHANGES_KEPT - 1}`])
      expect(newest.map(({ id }) => id)).toEqual(
        newest
          .map(({ id }) => id)
          .toSorted(compareEntryIds)
          .reverse(),
      )
    })

    test('a lease that is not renewed expires, and can no longer be renewed or released', async () => {
      await using under = await open()
      const { analyzer } = under.store
      await analyzer.acquireLease(0, 'a:1', TTL_MS)
      await under.probe.advanceTime(PAST_TTL_MS)
      expect(await analyzer.renewLeases([{ partition: 0, token: 'a:1' }], TTL_MS)).toEqual([false])
      expect(await analyzer.releaseLease({ partition: 0, token: 'a:1' })).toBe(false)
      expect(await analyzer.acquireLease(0, 'b:1', TTL_MS)).toBe(true)
    })

    test('a renewal extends a lease from that moment', async () => {
      await using under = await open()
      const { analyzer } = under.store
      await analyzer.acquireLease(0, 'a:1', TTL_MS)
      await under.probe.advanceTime(PART_OF_TTL_MS)
      expect(await analyzer.renewLeases([{ partition: 0, token: 'a:1' }], TTL_MS)).toEqual([true])
      await under.probe.advanceTime(PART_OF_TTL_MS)
      expect(await analyzer.acquireLease(0, 'b:1', TTL_MS)).toBe(false)
    })

    test('several leases are renewed together, with one result each, in order', async () => {
      await using under = await open()
      const { analyzer } = under.store
      for (const partition of [0, 1, 3]) await analyzer.acquireLease(partition, `a:${partition}`, LONG_MS)
      expect(
        await analyzer.renewLeases(
          [
            { partition: 3, token: 'a:3' },
            { partition: 2, token: 'a:2' },
            { partition: 1, token: 'b:1' },
            { partition: 0, token: 'a:0' },
          ],
          LONG_MS,
        ),
      ).toEqual([true, false, false, true])
      expect(await analyzer.renewLeases([], LONG_MS)).toEqual([])
    })

    test('a commit under an expired lease is fenced, even while the lease is free', async () => {
      await using under = await open()
      const { store, probe } = under
      await store.analyzer.acquireLease(0, 'a:1', TTL_MS)
      await store.analyzer.loadCheckpoint(0)
      const entries = await appendAndRead(store, 0, 1)
      await probe.advanceTime(PAST_TTL_MS)
      const commit = commitOf({ id: '0-0', offset: 0 }, entries)
      expect(await store.analyzer.commit({ partition: 0, token: 'a:1' }, commit)).toEqual({ kind: 'fenced' })
      const lease = await own(store, 0, 'b:1')
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
    })

    test('an attempt is recorded by the holder of the lease only, and cleared by the next commit', async () => {
      await using under = await open()
      const { analyzer } = under.store
      const lease = await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2)
      const attempt = { id: entries[0]?.id ?? '', count: 2 }
      expect(await analyzer.noteAttempt({ ...lease, token: 'b:1' }, attempt)).toBe(false)
      expect(await analyzer.loadCheckpoint(0)).toMatchObject({ id: '0-0', offset: 0 })
      expect(await analyzer.noteAttempt(lease, attempt)).toBe(true)
      expect(await analyzer.loadCheckpoint(0)).toMatchObject({ id: '0-0', offset: 0, attempt })
      await analyzer.commit(lease, commitOf({ id: '0-0', offset: 0 }, entries.slice(0, 1)))
      expect(await analyzer.loadCheckpoint(0)).toMatchObject({ id: attempt.id, offset: 1 })
    })

    test('an attempt is withdrawn only while it is the recorded one', async () => {
      await using under = await open()
      const { analyzer } = under.store
      const lease = await own(under.store, 0)
      const attempt = { id: '5-1', count: 2 }
      await analyzer.withdrawAttempt(0, attempt)
      expect(await analyzer.loadCheckpoint(0)).toMatchObject({ id: '0-0', offset: 0 })
      await analyzer.noteAttempt(lease, attempt)
      for (const other of [
        { id: '5-1', count: 1 },
        { id: '5-2', count: 2 },
      ]) {
        await analyzer.withdrawAttempt(0, other)
        expect(await analyzer.loadCheckpoint(0)).toMatchObject({ attempt })
      }
      await analyzer.withdrawAttempt(0, attempt)
      expect(await analyzer.loadCheckpoint(0)).toMatchObject({ attempt: { id: '5-1', count: 1 } })
      await analyzer.withdrawAttempt(0, { id: '5-1', count: 1 })
      expect(await analyzer.loadCheckpoint(0)).toMatchObject({ id: '0-0', offset: 0 })
    })
  })
}
