import type { Checkpoint } from '@tidemark/shared/store/ports/commit'
import type { Store } from '@tidemark/shared/store/ports/store'
import { describe, expect, test } from 'vitest'
import { NASTY_KEYS } from '../nasty-keys.ts'
import {
  analysisOf,
  appendAndRead,
  bytes,
  commitOf,
  keyUpdate,
  type OpenStore,
  own,
  readNow,
  windowsOf,
} from './harness.ts'

export function describeAnalyses(open: OpenStore): void {
  /** Commits a window and an analysis for each key. */
  async function put(store: Store, partition: number, keys: readonly string[], seed = 0): Promise<void> {
    const token = `put:${seed}`
    const lease = await own(store, partition, token)
    const from = await store.analyzer.loadCheckpoint(partition)
    const entries = await appendAndRead(store, partition, 1)
    await store.analyzer.commit(lease, commitOf(from, entries, { keys: keys.map(key => keyUpdate(key, seed)) }))
    await store.analyzer.releaseLease(lease)
  }

  async function scanAll(store: Store, partition: number): Promise<{ key: string; analysis: string }[]> {
    const seen: { key: string; analysis: string }[] = []
    let cursor = '0'
    do {
      const page = await store.gateway.scanAnalyses(partition, cursor)
      seen.push(...page.analyses)
      cursor = page.next
    } while (cursor !== '0')
    return seen
  }

  describe('analyses and windows', () => {
    test('a key that was never analysed has none', async () => {
      await using under = await open()
      const { gateway, analyzer } = under.store
      expect(await gateway.lastAnalyses([{ partition: 0, key: 'a' }])).toEqual([null])
      expect(await gateway.window({ partition: 0, key: 'a' })).toBeNull()
      expect(await analyzer.loadWindows(0, ['a', '__proto__'])).toEqual([null, null])
      expect(await gateway.verdicts(0, '1-1')).toBeNull()
      expect(await gateway.scanAnalyses(0, '0')).toEqual({ analyses: [], next: '0' })
    })

    test('a request for no keys returns nothing', async () => {
      await using under = await open()
      expect(await under.store.gateway.lastAnalyses([])).toEqual([])
      expect(await under.store.analyzer.loadWindows(0, [])).toEqual([])
    })

    test('are returned in the order requested, across partitions, including a key requested twice', async () => {
      await using under = await open()
      const { store } = under
      await put(store, 0, ['a', 'b'])
      await put(store, 1, ['a'], 1)
      const wanted = [
        { partition: 1, key: 'a' },
        { partition: 0, key: 'b' },
        { partition: 1, key: 'b' },
        { partition: 0, key: 'a' },
        { partition: 1, key: 'a' },
      ]
      expect(await store.gateway.lastAnalyses(wanted)).toEqual([
        analysisOf('a', 1),
        analysisOf('b'),
        null,
        analysisOf('a'),
        analysisOf('a', 1),
      ])
      expect(await windowsOf(store, 0, ['b', 'x', 'a', 'b'])).toEqual([
        [...bytes('b')],
        null,
        [...bytes('a')],
        [...bytes('b')],
      ])
    })

    test('a later commit replaces window and analysis, whatever their length', async () => {
      await using under = await open()
      const { store } = under
      await put(store, 0, ['a', 'b'], 1)
      await put(store, 0, ['a'], 2)
      expect(await windowsOf(store, 0, ['a', 'b'])).toEqual([[...bytes('a', 2)], [...bytes('b', 1)]])
      const wanted = ['a', 'b'].map(key => ({ partition: 0, key }))
      expect(await store.gateway.lastAnalyses(wanted)).toEqual([analysisOf('a', 2), analysisOf('b', 1)])
    })

    test('a window of 816 bytes, of one and of none survives byte for byte', async () => {
      await using under = await open()
      const { store } = under
      const windows = [816, 1, 0].map(length => Uint8Array.from({ length }, (_, index) => (index * 37) & 0xff))
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 1)
      const keys = windows.map((bytes, index) => {
        const window = { kind: 'row', bytes } as const
        return { key: `key-${index}`, window, analysis: '{}' }
      })
      await store.analyzer.commit(lease, commitOf({ id: '0-0', offset: 0 }, entries, { keys }))
      expect(
        await windowsOf(
          store,
          0,
          keys.map(({ key }) => key),
        ),
      ).toEqual(windows.map(window => [...window]))
      const alone = await store.gateway.window({ partition: 0, key: 'key-0' })
      expect([...(alone?.row ?? [])]).toEqual([...(windows[0] ?? [])])
    })

    test('a tail is kept beside its row until the next tail, and a new row does not change it', async () => {
      await using under = await open()
      const { store } = under
      const lease = await own(store, 0)
      const kinds = ['row', 'tail', 'tail', 'row'] as const
      const entries = await appendAndRead(store, 0, ...kinds.map(() => 1))
      let from: Checkpoint = { id: '0-0', offset: 0 }
      const seen: unknown[] = []
      for (const [step, kind] of kinds.entries()) {
        const keys = [{ key: 'k', window: { kind, bytes: bytes('k', step) }, analysis: '{}' }]
        const commit = commitOf(from, entries.slice(step, step + 1), { keys })
        await store.analyzer.commit(lease, commit)
        from = commit.to
        const [window] = await store.analyzer.loadWindows(0, ['k'])
        expect(await store.gateway.window({ partition: 0, key: 'k' })).toEqual(window)
        seen.push([window?.row[0], window?.tail?.[0]])
      }
      expect(seen).toEqual([
        [0, undefined],
        [0, 1],
        [0, 2],
        [3, 2],
      ])
    })

    test("the memory of a key's guard stays beside its row until another comes", async () => {
      await using under = await open()
      const { store } = under
      const lease = await own(store, 0)
      const updates = [
        { kind: 'row', memory: bytes('m', 1) },
        { kind: 'tail' },
        { kind: 'row', memory: null },
        { kind: 'row', memory: bytes('m', 2) },
        { kind: 'tail', memory: bytes('m', 1) },
        { kind: 'row', memory: new Uint8Array() },
      ] as const
      const entries = await appendAndRead(store, 0, ...updates.map(() => 1))
      let from: Checkpoint = { id: '0-0', offset: 0 }
      const seen: unknown[] = []
      for (const [step, update] of updates.entries()) {
        const keys = [{ key: 'k', window: { ...update, bytes: bytes('k', step) }, analysis: '{}' }]
        const commit = commitOf(from, entries.slice(step, step + 1), { keys })
        await store.analyzer.commit(lease, commit)
        from = commit.to
        const [window] = await store.analyzer.loadWindows(0, ['k'])
        seen.push([...(window?.memory ?? [])])
      }
      const [first, second] = [[...bytes('m', 1)], [...bytes('m', 2)]]
      expect(seen).toEqual([first, first, first, second, first, []])
    })

    test('every legal key is read back byte for byte, and none is mistaken for another', async () => {
      await using under = await open()
      const { store } = under
      expect(new Set(NASTY_KEYS).size).toBe(NASTY_KEYS.length)
      await put(store, 0, NASTY_KEYS, 3)
      expect(await windowsOf(store, 0, NASTY_KEYS)).toEqual(NASTY_KEYS.map(key => [...bytes(key, 3)]))
      const wanted = NASTY_KEYS.map(key => ({ partition: 0, key }))
      expect(await store.gateway.lastAnalyses(wanted)).toEqual(NASTY_KEYS.map(key => analysisOf(key, 3)))
      for (const at of wanted) {
        expect([...((await store.gateway.window(at))?.row ?? [])]).toEqual([...bytes(at.key, 3)])
      }
      const seen = await scanAll(store, 0)
      expect(new Map(seen.map(({ key, analysis }) => [key, analysis]))).toEqual(
        new Map(NASTY_KEYS.map(key => [key, analysisOf(key, 3)])),
      )
    })

    test('every legal key is read back from entries and verdicts', async () => {
      await using under = await open()
      const { store } = under
      const lease = await own(store, 0)
      const samples = JSON.stringify(NASTY_KEYS.flatMap(key => [key, 1, 2]))
      await store.gateway.append([{ partition: 0, samples, count: NASTY_KEYS.length }])
      const entries = await readNow(store, 0)
      expect(entries[0]?.samples).toBe(samples)
      const id = entries[0]?.id ?? ''
      const verdict = {
        ...{ id, findings: bytes(''), threshold: 2.000000000002, windowMin: 30, analyzedAt: 1.5 },
        ...{ rulesVersion: 7, judged: null, rests: null },
      }
      await store.analyzer.commit(
        lease,
        commitOf({ id: '0-0', offset: 0 }, entries, { verdicts: [verdict], keepFrom: id }),
      )
      const kept = await store.gateway.verdicts(0, id)
      expect(kept).toEqual({ ...verdict, samples, findings: expect.any(Uint8Array) })
      expect([...(kept?.findings ?? [])]).toEqual([...bytes('')])
    })

    test('a scan returns every key, by pages, even while others are added', async () => {
      await using under = await open()
      const { store } = under
      const before = Array.from({ length: 1_000 }, (_, index) => `before-${index}`)
      await put(store, 0, before)
      const seen = new Map<string, string>()
      let cursor = '0'
      let pages = 0
      do {
        const page = await store.gateway.scanAnalyses(0, cursor)
        for (const { key, analysis } of page.analyses) seen.set(key, analysis)
        expect(page.analyses.length).toBeLessThan(before.length)
        cursor = page.next
        if (pages++ < 3) await put(store, 0, [`during-${pages}`], pages)
      } while (cursor !== '0')
      expect(pages).toBeGreaterThan(3)
      for (const key of before) expect(seen.get(key)).toBe(analysisOf(key))
      expect(await scanAll(store, 1)).toEqual([])
    })
  })
}
