import type { AppendBatch, RequestClaim, RequestMark } from '@tidemark/shared/store/ports/gateway'
import type { Store } from '@tidemark/shared/store/ports/store'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { appendOne, LONG_MS, type OpenStore, only, own, packed, progressOf, stateOf } from './harness.ts'

/** Long enough for the calls of a test, short enough to wait for. */
const SHORT_MS = 300

const PARTITION = 1

function claimOf(changes: Partial<RequestClaim> = {}): RequestClaim {
  return { partition: PARTITION, name: 'n', content: 'c', ttlMs: LONG_MS, ...changes }
}

function batchOf(request: string, { count = 1, ttlMs = LONG_MS, partition = PARTITION } = {}): AppendBatch {
  const once: RequestMark = { request, ttlMs }
  return { partition, samples: packed(count), count, once }
}

async function appendOnce(store: Store, ...args: Parameters<typeof batchOf>) {
  return only(await store.gateway.append([batchOf(...args)]))
}

export function describeRequests(open: OpenStore): void {
  describe('requests that may be retried', () => {
    test('a retried batch is stored once and returns its first entry, whichever process appends it', async () => {
      await using under = await open()
      await using other = await under.connect()
      const first = await appendOnce(under.store, 'r', { count: 3 })
      expect(first).toEqual({ kind: 'stored', id: expect.any(String) })
      const known = { ...first, kind: 'known' }
      for (const store of [under.store, other]) expect(await appendOnce(store, 'r', { count: 3 })).toEqual(known)
      expect(await progressOf(under.store, PARTITION)).toMatchObject({ accepted: 3 })
      expect(await under.probe.streamIds(PARTITION)).toHaveLength(1)
    })

    test('each partition remembers its own batches, and each request separately', async () => {
      await using under = await open()
      const batches = [batchOf('r'), batchOf('r', { partition: 2 }), batchOf('s'), batchOf('r')]
      const outcomes = await under.store.gateway.append(batches)
      expect(outcomes.map(({ kind }) => kind)).toEqual(['stored', 'stored', 'stored', 'known'])
      expect(outcomes[3]).toEqual({ ...outcomes[0], kind: 'known' })
    })

    test('a batch that two processes append at the same time is stored once', async () => {
      await using under = await open()
      await using other = await under.connect()
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) => appendOnce(i % 2 === 0 ? under.store : other, 'r')),
      )
      expect(outcomes.filter(({ kind }) => kind === 'stored')).toHaveLength(1)
      expect(new Set(outcomes.map(outcome => ('id' in outcome ? outcome.id : outcome.kind))).size).toBe(1)
      expect(await progressOf(under.store, PARTITION)).toMatchObject({ accepted: 1 })
    })

    test('a partition with a full backlog still returns known batches', async () => {
      await using under = await open()
      const { id } = { id: '', ...(await appendOnce(under.store, 'r')) }
      await appendOne(under.store, PARTITION, under.limits.backlogMax)
      expect(await appendOnce(under.store, 'r')).toEqual({ kind: 'known', id })
      expect(await appendOnce(under.store, 's')).toMatchObject({ kind: 'backlog-full' })
      // A refused batch is not remembered.
      expect(await appendOnce(under.store, 's')).toMatchObject({ kind: 'backlog-full' })
    })

    test('a name is claimed for one content', async () => {
      await using under = await open()
      await using other = await under.connect()
      const { store } = under
      expect(await store.gateway.claimRequest(claimOf())).toEqual({ kind: 'new' })
      expect(await other.gateway.claimRequest(claimOf())).toEqual({ kind: 'repeat' })
      expect(await other.gateway.claimRequest(claimOf({ content: 'd' }))).toEqual({ kind: 'conflict' })
      expect(await store.gateway.claimRequest(claimOf())).toEqual({ kind: 'repeat' })
      expect(await store.gateway.claimRequest(claimOf({ name: 'm', content: 'd' }))).toEqual({ kind: 'new' })
    })

    test('a claim and a batch of the same name are independent', async () => {
      await using under = await open()
      expect(await under.store.gateway.claimRequest(claimOf({ name: 'r' }))).toEqual({ kind: 'new' })
      expect(await appendOnce(under.store, 'r')).toMatchObject({ kind: 'stored' })
      expect(await under.store.gateway.claimRequest(claimOf({ name: 'r' }))).toEqual({ kind: 'repeat' })
    })

    test('a request expires when it is not used for its time to live, and each use extends it', async () => {
      await using under = await open()
      const { store, probe } = under
      const used = await appendOnce(store, 'used', { ttlMs: SHORT_MS })
      await appendOnce(store, 'unused', { ttlMs: SHORT_MS })
      await store.gateway.claimRequest(claimOf({ ttlMs: SHORT_MS }))
      await probe.advanceTime(SHORT_MS * 0.6)
      expect(await appendOnce(store, 'used', { ttlMs: SHORT_MS })).toEqual({ ...used, kind: 'known' })
      await probe.advanceTime(SHORT_MS * 0.6)
      expect(await appendOnce(store, 'used', { ttlMs: SHORT_MS })).toEqual({ ...used, kind: 'known' })
      expect(await appendOnce(store, 'unused')).toMatchObject({ kind: 'stored' })
      expect(await store.gateway.claimRequest(claimOf({ content: 'd' }))).toEqual({ kind: 'new' })
      await probe.advanceTime(SHORT_MS + 1)
      expect(await appendOnce(store, 'used')).toMatchObject({ kind: 'stored' })
      expect(await progressOf(store, PARTITION)).toMatchObject({ accepted: 4 })
    })

    test('at the limit new requests are refused, known ones still work, and none expires early', async () => {
      await using under = await open()
      const { store, probe, limits } = under
      await own(store, PARTITION)
      const names = Array.from({ length: limits.requestsMax - 1 }, (_, i) => `r${i}`)
      // Long enough for all of these calls on a slow computer.
      const ttlMs = 10 * SHORT_MS
      await store.gateway.claimRequest(claimOf({ ttlMs }))
      const first = await store.gateway.append(names.map(name => batchOf(name, { ttlMs })))
      const before = await stateOf(under, PARTITION, [])
      for (const refused of [await appendOnce(store, 'x'), await store.gateway.claimRequest(claimOf({ name: 'x' }))]) {
        expect(refused).toEqual({ kind: 'limit-reached', roomInMs: expect.any(Number) })
        const { roomInMs } = { roomInMs: 0, ...refused }
        expect(roomInMs).toBeGreaterThan(0)
        expect(roomInMs).toBeLessThanOrEqual(ttlMs)
      }
      expect(await stateOf(under, PARTITION, [])).toEqual(before)
      expect(await store.gateway.claimRequest(claimOf({ ttlMs }))).toEqual({ kind: 'repeat' })
      const again = await store.gateway.append(names.map(name => batchOf(name, { ttlMs })))
      expect(again).toEqual(first.map(outcome => ({ ...outcome, kind: 'known' })))
      // Batches without a request mark are not affected.
      await appendOne(store, PARTITION, 1)
      await probe.advanceTime(ttlMs + 1)
      expect(await appendOnce(store, 'x')).toMatchObject({ kind: 'stored' })
    })

    test('expired requests make room for new ones, however many there were', async () => {
      await using under = await open()
      const { store, probe, limits } = under
      for (let round = 0; round < 3; round++) {
        const batches = Array.from({ length: limits.requestsMax }, (_, i) => batchOf(`${round}.${i}`, { ttlMs: 100 }))
        const outcomes = await store.gateway.append(batches)
        // On a slow computer the first may expire while the last ones arrive, which is right too.
        expect(outcomes.map(({ kind }) => kind)).toEqual(outcomes.map(() => 'stored'))
        await probe.advanceTime(200)
      }
    })

    test('each batch is stored once, whatever is retried and in whatever order', async () => {
      const calls = fc.array(
        fc.record({ request: fc.nat(5), partition: fc.nat(3), isOther: fc.boolean(), isAwaited: fc.boolean() }),
        { maxLength: 40 },
      )
      await fc.assert(
        fc.asyncProperty(calls, async plan => {
          await using under = await open()
          await using other = await under.connect()
          const ids = new Map<string, Set<string>>()
          const pending: Promise<void>[] = []
          for (const { request, partition, isOther, isAwaited } of plan) {
            const name = `${partition} ${request}`
            const appended = appendOnce(isOther ? other : under.store, `r${request}`, { partition }).then(outcome => {
              const known = ids.get(name) ?? new Set()
              ids.set(name, known.add('id' in outcome ? outcome.id : outcome.kind))
            })
            pending.push(appended)
            if (isAwaited) await appended
          }
          await Promise.all(pending)
          for (const entries of ids.values()) expect(entries.size).toBe(1)
          for (let partition = 0; partition < 4; partition++) {
            const wanted = [...ids]
              .filter(([name]) => name.startsWith(`${partition} `))
              .flatMap(([, entries]) => [...entries])
            expect((await under.probe.streamIds(partition)).toSorted()).toEqual(wanted.toSorted())
            expect((await progressOf(under.store, partition)).accepted).toBe(wanted.length)
          }
        }),
        { numRuns: 20 },
      )
    })
  })
}
