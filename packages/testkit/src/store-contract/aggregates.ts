import type { AggregateUpdates } from '@tidemark/shared/store/ports/aggregates'
import { describe, expect, test } from 'vitest'
import { appendAndRead, bytes, commitOf, keyUpdate, type OpenStore, own, type StoreUnderTest } from './harness.ts'

const ZERO = { id: '0-0', offset: 0 }
const NASTY = 'a {0}:b\\ "\u{1f600}'

function updatesOf(key: string, seed: number): AggregateUpdates {
  const states = [{ key, bytes: bytes(key, seed) }]
  return { states, writes: [{ key, ring: 'hours', at: 2 * seed, bytes: Uint8Array.of(seed, seed), isNew: true }] }
}

function start(ring: Uint8Array | undefined): number[] {
  return [...(ring ?? []).slice(0, 8)]
}

async function commitOne({ store }: StoreUnderTest, updates: AggregateUpdates, from = ZERO) {
  const entries = await appendAndRead(store, 0, 1)
  const commit = commitOf(from, entries, { keys: [keyUpdate('a', 1), keyUpdate(NASTY, 1)], aggregates: updates })
  expect(await store.analyzer.commit({ partition: 0, token: 'analyzer-1:4cb7' }, commit)).toMatchObject({ kind: 'ok' })
  return commit
}

export function describeAggregates(open: OpenStore): void {
  describe('aggregates', () => {
    test('a commit writes open buckets and parts of rings, each key for itself', async () => {
      await using under = await open()
      const { store } = under
      await own(store, 0)
      const both = [updatesOf('a', 1), updatesOf(NASTY, 3)]
      await commitOne(under, {
        states: both.flatMap(({ states }) => states),
        writes: [
          ...both.flatMap(({ writes }) => writes),
          { key: 'a', ring: 'days', at: 0, bytes: bytes('d', 9), isNew: false },
        ],
      })
      const found = await store.analyzer.openBuckets(0, ['a', 'never', NASTY])
      expect(found.map(one => one && [...one])).toEqual([[...bytes('a', 1)], null, [...bytes(NASTY, 3)]])
      const all = await store.gateway.aggregates({ partition: 0, key: 'a' })
      expect([...(all?.window?.row ?? [])]).toEqual([...keyUpdate('a', 1).window.bytes])
      expect(start(all?.rings.hours)).toEqual([0, 0, 1, 1, 0, 0, 0, 0])
      expect(all?.rings.hours).toHaveLength(6480)
      expect([...(all?.rings.days ?? [])]).toEqual([...bytes('d', 9)])
      const other = await store.gateway.aggregates({ partition: 0, key: NASTY })
      expect(start(other?.rings.hours)).toEqual([0, 0, 0, 0, 0, 0, 3, 3])
      expect(other?.rings.days).toHaveLength(0)
      expect(await store.gateway.aggregates({ partition: 0, key: 'never' })).toBeNull()
    })

    test('a later write replaces its part of the ring only, and a new ring all of it', async () => {
      await using under = await open()
      await own(under.store, 0)
      const { to } = await commitOne(under, updatesOf('a', 2))
      const { to: second } = await commitOne(
        under,
        {
          states: [],
          writes: [
            { key: 'a', ring: 'hours', at: 1, bytes: Uint8Array.of(7), isNew: false },
            { key: 'a', ring: 'hours', at: 5, bytes: Uint8Array.of(8, 9), isNew: false },
          ],
        },
        to,
      )
      const found = await under.store.gateway.aggregates({ partition: 0, key: 'a' })
      expect(start(found?.rings.hours)).toEqual([0, 7, 0, 0, 2, 8, 9, 0])
      expect([...(found?.open ?? [])]).toEqual([...bytes('a', 2)])
      await commitOne(under, updatesOf('a', 1), second)
      const again = await under.store.gateway.aggregates({ partition: 0, key: 'a' })
      expect(start(again?.rings.hours)).toEqual([0, 0, 1, 1, 0, 0, 0, 0])
    })

    test('a commit that is refused changes no bucket', async () => {
      await using under = await open()
      await own(under.store, 0)
      await commitOne(under, updatesOf('a', 1))
      const entries = await appendAndRead(under.store, 0, 1)
      const stale = commitOf(ZERO, entries, { aggregates: updatesOf('a', 5) })
      const lease = { partition: 0, token: 'analyzer-1:4cb7' }
      expect(await under.store.analyzer.commit(lease, stale)).toMatchObject({ kind: 'stale' })
      const found = await under.store.gateway.aggregates({ partition: 0, key: 'a' })
      expect([...(found?.open ?? [])]).toEqual([...bytes('a', 1)])
      expect(start(found?.rings.hours)).toEqual([0, 0, 1, 1, 0, 0, 0, 0])
    })

    test('the buckets of a key that is evicted are gone, and those of others stay', async () => {
      await using under = await open()
      const { store } = under
      const lease = await own(store, 0)
      const both = [updatesOf('a', 1), updatesOf(NASTY, 3)]
      const { to } = await commitOne(under, {
        states: both.flatMap(({ states }) => states),
        writes: both.flatMap(({ writes }) => writes),
      })
      const evicted = [{ key: NASTY, shadow: `\u0001${NASTY}`, deletion: '' }]
      const commit = {
        ...commitOf(to, await appendAndRead(store, 0, 1)),
        from: to,
        to,
        entries: [],
        evicted,
        analysed: 0,
      }
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      expect(await store.gateway.aggregates({ partition: 0, key: NASTY })).toBeNull()
      expect(await store.analyzer.openBuckets(0, [NASTY])).toEqual([null])
      expect(await store.gateway.aggregates({ partition: 0, key: 'a' })).not.toBeNull()
    })
  })
}
