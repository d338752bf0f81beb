import type { Commit } from '@tidemark/shared/store/ports/commit'
import { DELETIONS_MAX, type KeyList, type KeyScan } from '@tidemark/shared/store/ports/keys'
import type { Store } from '@tidemark/shared/store/ports/store'
import { describe, expect, test } from 'vitest'
import {
  append,
  appendAndRead,
  commitOf,
  keyUpdate,
  type OpenStore,
  own,
  type StoreUnderTest,
  stateOf,
  windowsOf,
} from './harness.ts'

const ZERO = { id: '0-0', offset: 0 }

const at = (partition: number, key: string) => ({ partition, key })

/** Scans all of a list. */
async function scanAll(store: Store, partition: number, scan: Omit<KeyScan, 'cursor' | 'count'>): Promise<string[]> {
  const found: string[] = []
  let cursor = '0'
  do {
    const { keys, next } = await store.keys.scan(partition, { ...scan, cursor, count: 7 })
    found.push(...keys)
    cursor = next
  } while (cursor !== '0')
  return [...new Set(found)].toSorted()
}

function analysed(key: string, analyzedAt: number) {
  return { ...keyUpdate(key), analysis: JSON.stringify({ key, analyzed_at: analyzedAt }) }
}

/** Commits `changes` with an entry in partition 0, and returns how to commit evictions after it. */
async function withKeys({ store }: StoreUnderTest, changes: Partial<Commit>) {
  const lease = await own(store, 0)
  const entries = await appendAndRead(store, 0, 1)
  const commit = commitOf(ZERO, entries, changes)
  expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
  const noEntries = { ...commitOf(ZERO, entries), from: commit.to, to: commit.to, entries: [], analysed: 0 }
  const evicting = (keys: readonly string[], deletion = ''): Commit => ({
    ...noEntries,
    witness: undefined,
    requiresDrained: true,
    evicted: keys.map(key => ({ key, shadow: `\u0001${key}`, deletion })),
  })
  return {
    lease,
    evicting,
    evict: (...args: Parameters<typeof evicting>) => store.analyzer.commit(lease, evicting(...args)),
  }
}

export function describeKeys(open: OpenStore): void {
  describe('the registry of keys', () => {
    test('registers each key once, for the first owner, and counts keys by partition and owner', async () => {
      await using under = await open()
      const { keys } = under.store
      const owned = (partition: number, key: string, owner: string) => ({ partition, key, owner })
      const nasty = 'a "b"/%2F\\ é😀 __proto__'
      expect(await keys.register([owned(0, 'a', 'one'), owned(1, 'b', ''), owned(0, nasty, 'two')])).toBe('registered')
      expect(await keys.register([owned(0, 'a', 'two'), owned(2, 'c', 'one')])).toBe('registered')
      expect(await keys.lookUp([at(0, 'b'), at(0, 'a'), at(2, 'c'), at(0, nasty)])).toEqual([
        'new',
        'registered',
        'registered',
        'registered',
      ])
      expect(await keys.counts(['one', 'two', 'none', ''])).toEqual({
        partitions: [2, 1, 1, 0].map(count => ({ keys: count, evicted: 0 })),
        owners: [2, 1, 0, 1],
      })
      expect([...(await keys.owners(0))].toSorted()).toEqual([
        ['one', 1],
        ['two', 1],
      ])
      expect([...(await keys.births(0)).values()]).toEqual([2])
      expect(await scanAll(under.store, 0, { list: 'registry' })).toEqual(['a', nasty].toSorted())
      expect(await under.store.analyzer.keptCounts([0])).toMatchObject([{ keys: 2 }])
    })

    test('looks up thousands of keys in the order given', async () => {
      await using under = await open()
      const { keys } = under.store
      const many = Array.from({ length: 5000 }, (_, n) => ({ partition: n % 4, key: `k${n}`, owner: '' }))
      expect(await keys.register(many.filter((_, n) => n % 3 === 0))).toBe('registered')
      const states = await keys.lookUp(many)
      expect(states).toEqual(many.map((_, n) => (n % 3 === 0 ? 'registered' : 'new')))
      expect(await keys.lookUp([])).toEqual([])
    })

    test('knows a key with a window that was never registered', async () => {
      await using under = await open()
      await withKeys(under, { keys: [keyUpdate('old')] })
      expect(await under.store.keys.lookUp([at(0, 'old'), at(0, 'new')])).toEqual(['stored', 'new'])
    })

    test('scans either list, by prefix and by idle time', async () => {
      await using under = await open()
      const { store } = under
      const names = Array.from({ length: 40 }, (_, n) => `edge-${n % 4}/m${n}`)
      await store.keys.register(names.map(key => ({ partition: 0, key, owner: '' })))
      await withKeys(under, { keys: [analysed('edge-1/m1', 1000), analysed('old', 5000)] })
      const both = (scan: Omit<KeyScan, 'cursor' | 'count' | 'list'>) =>
        Promise.all((['registry', 'analysed'] as KeyList[]).map(list => scanAll(store, 0, { ...scan, list })))
      expect(await both({})).toEqual([names.toSorted(), ['edge-1/m1', 'old']])
      expect(await both({ prefix: 'edge-1/' })).toEqual([
        names.filter(name => name.startsWith('edge-1/')).toSorted(),
        ['edge-1/m1'],
      ])
      // A registered key is not idle before its registration is.
      expect(await both({ idleSince: 5000 })).toEqual([[], []])
      expect(await both({ idleSince: 5001 })).toEqual([[], ['old']])
      expect((await both({ idleSince: Date.now() + 1e9 }))[0]).toHaveLength(40)
    })

    test('a key of which all samples are refused is not idle', async () => {
      await using under = await open()
      const { store } = under
      await store.keys.register([
        { partition: 0, key: 'a', owner: 'one' },
        { partition: 0, key: 'b', owner: 'one' },
      ])
      const later = Date.now() + 1e9
      await withKeys(under, {
        refused: [
          { key: 'a', at: later },
          { key: 'unregistered', at: later },
          { key: 'b', at: 5 },
        ],
      })
      expect(await scanAll(store, 0, { list: 'registry', idleSince: later })).toEqual(['b'])
      // Nothing else lists it, so it would never be evicted.
      expect(await scanAll(store, 0, { list: 'registry', idleSince: later + 1 })).toEqual(['a', 'b', 'unregistered'])
      expect(await store.keys.counts(['one', ''])).toMatchObject({ owners: [2, 1] })
    })

    test('an eviction removes all that is known of a key, once', async () => {
      await using under = await open()
      const { store } = under
      await store.keys.register([
        { partition: 0, key: 'a', owner: 'one' },
        { partition: 0, key: 'b', owner: 'one' },
      ])
      const tail = { ...keyUpdate('a'), window: { kind: 'tail', bytes: Uint8Array.of(1) } } as const
      const shadow = { ...keyUpdate('\u0001a'), analysis: null }
      const keys = [keyUpdate('a'), tail, keyUpdate('b'), shadow]
      const { evict } = await withKeys(under, {
        keys,
        timers: [
          { key: 'a', at: 1 },
          { key: 'b', at: 1 },
        ],
      })
      expect(await evict(['a', 'unknown'])).toEqual({ kind: 'ok', at: expect.any(Number), evicted: 1 })
      expect(await evict(['a', 'unknown'])).toEqual({ kind: 'ok', at: expect.any(Number), evicted: 0 })
      expect(await windowsOf(store, 0, ['a', '\u0001a'])).toEqual([null, null])
      expect((await windowsOf(store, 0, ['b']))[0]).not.toBeNull()
      expect(await store.gateway.lastAnalyses([at(0, 'a'), at(0, 'b')])).toEqual([null, expect.any(String)])
      expect((await store.analyzer.expiredTimers(0, 10)).keys).toEqual(['b'])
      expect(await store.keys.lookUp([at(0, 'a'), at(0, 'b')])).toEqual(['new', 'registered'])
      expect(await store.keys.counts(['one'])).toEqual({
        partitions: [{ keys: 1, evicted: 1 }, ...[1, 2, 3].map(() => ({ keys: 0, evicted: 0 }))],
        owners: [1],
      })
      expect(await store.alerts.keyCounts([0])).toEqual([1])
      await evict(['b'])
      expect([...(await store.keys.owners(0))]).toEqual([])
      // A tail that outlived its row would join the next row of the key.
      const [window] = await store.analyzer.loadWindows(0, ['a'])
      expect(window).toBeNull()
    })

    test("an eviction removes the memory of a key's guard: a key that comes again has none", async () => {
      await using under = await open()
      const { store } = under
      const window = { ...keyUpdate('a').window, memory: Uint8Array.of(1) }
      const { lease, evicting } = await withKeys(under, { keys: [{ ...keyUpdate('a'), window }] })
      expect((await store.analyzer.loadWindows(0, ['a']))[0]?.memory).toHaveLength(1)
      const eviction = evicting(['a'])
      await store.analyzer.commit(lease, eviction)
      const entries = await appendAndRead(store, 0, 1)
      await store.analyzer.commit(lease, commitOf(eviction.to, entries.slice(-1), { keys: [keyUpdate('a')] }))
      const [found] = await store.analyzer.loadWindows(0, ['a'])
      expect(found?.row).toBeDefined()
      expect(found?.memory).toBeUndefined()
    })

    test('an eviction is refused while a sample is unapplied, and to a stranger', async () => {
      await using under = await open()
      const { store } = under
      const { lease, evicting, evict } = await withKeys(under, { keys: [keyUpdate('a')] })
      const [id] = await append(store, 0, 1)
      const before = await stateOf(under, 0, ['a'])
      expect(await evict(['a'])).toEqual({ kind: 'gap', id })
      const stranger = { ...lease, token: 'another:owner' }
      expect(await store.analyzer.commit(stranger, evicting(['a']))).toEqual({ kind: 'fenced' })
      expect(await stateOf(under, 0, ['a'])).toEqual(before)
    })

    test('a deletion is pending until its owner ends it, and counts each key once', async () => {
      await using under = await open()
      const { store } = under
      const { keys } = store
      const { lease, evict } = await withKeys(under, { keys: [keyUpdate('a'), keyUpdate('b')] })
      const [newest] = await append(store, 0, 1)
      expect(await keys.requestDeletion(0, '2-b', { prefix: 'é/"' })).toBe('requested')
      expect(await keys.requestDeletion(0, '1-a', { key: 'a' })).toBe('requested')
      const deletions = await keys.deletions(0)
      expect(deletions.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
        { id: '1-a', wanted: { key: 'a' }, after: newest },
        { id: '2-b', wanted: { prefix: 'é/"' }, after: newest },
      ])
      expect(await keys.deletions(1)).toEqual([])
      const [entry] = (await store.analyzer.read([0], { count: 10, blockMs: 0 }))[0]?.entries ?? []
      const { checkpoint } = (await store.gateway.progress([0]))[0] ?? { checkpoint: '' }
      if (entry === undefined) throw new Error('no entry')
      const applied = commitOf({ id: checkpoint, offset: 1 }, [entry])
      expect(await store.analyzer.commit(lease, applied)).toMatchObject({ kind: 'ok' })
      const evictNow = { ...applied, from: applied.to, entries: [], witness: undefined, analysed: 0 }
      const evicted = ['a', 'b', 'a'].map(key => ({ key, shadow: `\u0001${key}`, deletion: '1-a' }))
      expect(await store.analyzer.commit(lease, { ...evictNow, evicted })).toMatchObject({ kind: 'ok', evicted: 2 })
      expect(await keys.deletionProgress(0, '1-a')).toEqual({ deleted: 2, isDone: false })
      expect(await evict(['a'])).toMatchObject({ kind: 'stale' })
      expect(await keys.finishDeletion({ ...lease, token: 'another:owner' }, '1-a')).toBe(false)
      expect(await keys.finishDeletion(lease, '1-a')).toBe(true)
      expect(await keys.deletionProgress(0, '1-a')).toEqual({ deleted: 2, isDone: true })
      expect(await keys.deletionProgress(0, 'unknown')).toEqual({ deleted: 0, isDone: false })
      expect((await keys.deletions(0)).map(({ id }) => id)).toEqual(['2-b'])
    })

    test('what partitions at rest have is read together, for each on its own', async () => {
      await using under = await open()
      const { store } = under
      await append(store, 1, 3)
      await append(store, 2, 5)
      const read = () => Promise.all([2, 0, 1].map(partition => store.analyzer.atRest(partition)))
      const found = await read()
      expect(found.map(({ accepted }) => accepted)).toEqual([5, 0, 3])
      expect(found.map(({ hasDeletions }) => hasDeletions)).toEqual([false, false, false])
      const { now } = await store.analyzer.expiredTimers(2, 0)
      expect(now - (found[0]?.now ?? 0)).toBeLessThan(10_000)
      expect(now).toBeGreaterThanOrEqual(found[0]?.now ?? Number.POSITIVE_INFINITY)
      await store.keys.requestDeletion(1, 'd', { key: 'k' })
      const [, , one] = await read()
      expect(one).toMatchObject({ accepted: 3, hasDeletions: true })
    })

    test('pending deletions have a limit', async () => {
      await using under = await open()
      const { keys } = under.store
      const request = (id: string) => keys.requestDeletion(3, id, { key: 'a' })
      const outcomes = await Promise.all(Array.from({ length: DELETIONS_MAX }, (_, n) => request(`${n}`)))
      expect(new Set(outcomes)).toEqual(new Set(['requested']))
      expect(await request('another')).toBe('limit-reached')
    })
  })
}
