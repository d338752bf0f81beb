import type { EntryId } from '@tidemark/shared/sample/receipt'
import type { Checkpoint } from '@tidemark/shared/store/ports/commit'
import type { Store } from '@tidemark/shared/store/ports/store'
import { describe, expect, test } from 'vitest'
import { analysisOf, appendAndRead, commitOf, LONG_MS, type OpenStore, own } from './harness.ts'

const FIRST: EntryId = '0-0'

export function describePoints(open: OpenStore): void {
  /** Makes one commit for each list of points. */
  async function commitPoints(store: Store, ...lists: readonly (readonly string[])[]): Promise<void> {
    const lease = await own(store, 0)
    const entries = await appendAndRead(store, 0, ...lists.map(() => 1))
    let from: Checkpoint = { id: '0-0', offset: 0 }
    for (const [i, points] of lists.entries()) {
      const commit = commitOf(from, entries.slice(i, i + 1), { points })
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      from = commit.to
    }
  }

  describe('points for the sink', () => {
    test('are read in the order of their commits, by pages, until they are removed', async () => {
      await using under = await open()
      const { store } = under
      const lists = [[analysisOf('a', 1), analysisOf('ключ/☃', 1)], [], [analysisOf('a', 2)], [analysisOf('b', 3)]]
      await commitPoints(store, ...lists)
      const options = { intervalMs: 1, after: FIRST, count: 9 }
      await under.probe.advanceTime(2)
      const { entries, now } = await store.points.read(0, options)
      expect(Math.abs(now - Number(entries[2]?.id.split('-')[0]))).toBeLessThan(LONG_MS)
      const written = [lists[0], lists[2], lists[3]]
      expect(entries.map(({ analyses }) => JSON.parse(analyses))).toEqual(
        written.map(list => list?.map(text => JSON.parse(text))),
      )
      expect(entries.map(({ count }) => count)).toEqual([2, 1, 1])
      expect((await store.points.read(0, { ...options, count: 1 })).entries).toEqual(entries.slice(0, 1))
      const after = entries[0]?.id ?? ''
      expect((await store.points.read(0, { ...options, after })).entries).toEqual(entries.slice(1))
      expect((await store.points.read(1, options)).entries).toEqual([])

      await store.points.remove(0, entries[1]?.id ?? '')
      expect((await store.points.read(0, options)).entries).toEqual(entries.slice(2))
      await store.points.remove(0, entries[1]?.id ?? '')
      expect((await store.points.read(0, options)).entries).toEqual(entries.slice(2))
    })

    test('of an interval that is not over are not read yet', async () => {
      await using under = await open()
      await commitPoints(under.store, ['{}'])
      // The present one of these intervals began in 1970 and ends in 2286.
      expect(await under.store.points.read(0, { intervalMs: 1e13, after: FIRST, count: 9 })).toMatchObject({
        entries: [],
      })
    })

    test('are not left by a commit that is refused or repeated', async () => {
      await using under = await open()
      const { store } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 1)
      const commit = commitOf({ id: '0-0', offset: 0 }, entries, { points: ['{"key":"a"}'] })
      expect(await store.analyzer.commit({ ...lease, token: 'other' }, commit)).toEqual({ kind: 'fenced' })
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      expect(await store.analyzer.commit(lease, commit)).toEqual({ kind: 'already' })
      await under.probe.advanceTime(2)
      const { entries: left } = await store.points.read(0, { intervalMs: 1, after: FIRST, count: 9 })
      expect(left).toMatchObject([{ count: 1, analyses: '[{"key":"a"}]' }])
    })
  })
}
