import type { AlertOpening } from '@tidemark/shared/detection/alerts/record'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import type { Checkpoint, Commit } from '@tidemark/shared/store/ports/commit'
import { FEED_STREAMS, type FeedPart, type FeedStream } from '@tidemark/shared/store/ports/feed'
import type { Store } from '@tidemark/shared/store/ports/store'
import { describe, expect, test } from 'vitest'
import { analysisOf, appendAndRead, bytes, commitOf, type OpenStore, only, own } from './harness.ts'

const PLENTY = 1e6
const NOTE = { who: 'mira', why: 'w', at: 5 }

/** Commits anomalies and verdicts on new entries, one entry for each list of anomalies. */
async function committer(store: Store, partition = 0) {
  const lease = await own(store, partition)
  let from: Checkpoint = await store.analyzer.loadCheckpoint(partition)
  return {
    lease,
    async commit(anomalies: readonly string[], changes: Partial<Commit> = {}): Promise<EntryId> {
      const entries = await appendAndRead(store, partition, 2)
      const [{ id } = { id: '' }] = entries
      const verdict = {
        ...{ id, findings: bytes(id), threshold: 2, windowMin: 30, analyzedAt: 5, rulesVersion: 0 },
        ...{ judged: null, rests: null },
      }
      const commit = commitOf(from, entries, { anomalies, verdicts: [verdict], keepFrom: '0-1', ...changes })
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      from = commit.to
      return id
    },
  }
}

function openingOf(id: string): AlertOpening {
  const cause = { kind: 'level_shift', value: 1, samples: 20 } as const
  return { id, key: 'a', rule: null, severity: 'warning', opened_at: 5, cause }
}

export function describeFeed(open: OpenStore): void {
  const readOne = async (store: Store, stream: FeedStream, after: EntryId | null, bytesMax = PLENTY) =>
    only(await store.feed.read([{ partition: 0, stream, after }], bytesMax))
  const idsIn = ({ entries }: FeedPart) => entries.map(({ id }) => id)
  const nothing = (position: EntryId) => ({ entries: [], position, hasGap: false, hasMore: false })

  describe('the feed', () => {
    test('begins at the end of a stream, which may not exist yet', async () => {
      await using under = await open()
      const { store } = under
      for (const stream of FEED_STREAMS) {
        expect(await readOne(store, stream, null)).toEqual(nothing('0-0'))
        expect(await readOne(store, stream, '0-0')).toEqual(nothing('0-0'))
      }
      const { commit } = await committer(store)
      const id = await commit([analysisOf('a', 1)])
      expect(await readOne(store, 'verdicts', null)).toEqual(nothing(id))
      expect(await readOne(store, 'verdicts', id)).toEqual(nothing(id))
    })

    test('has verdicts with their samples and anomalies, exactly as they were committed', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const ids = [await commit([analysisOf('a', 1), analysisOf('b', 1)]), await commit([]), await commit(['{}'])]
      const read = await readOne(store, 'verdicts', '0-0')
      expect(read).toMatchObject({ position: ids[2], hasGap: false, hasMore: false })
      expect(idsIn(read)).toEqual(ids)
      for (const entry of read.entries) {
        expect(entry.kind === 'verdicts' && entry.verdicts).toEqual(await store.gateway.verdicts(0, entry.id))
      }
      expect(idsIn(await readOne(store, 'verdicts', ids[0] ?? ''))).toEqual(ids.slice(1))
      const anomalies = await readOne(store, 'anomalies', '0-0')
      const texts = anomalies.entries.map(entry => entry.kind === 'anomaly' && entry.analysis)
      expect(texts).toEqual([analysisOf('a', 1), analysisOf('b', 1), '{}'])
      expect(idsIn(await readOne(store, 'anomalies', idsIn(anomalies)[1] ?? ''))).toEqual(idsIn(anomalies).slice(2))
    })

    test('reads an entry again where that is wanted', async () => {
      await using under = await open()
      const { commit } = await committer(under.store)
      const ids = [await commit([]), await commit([])]
      const position = { partition: 0, stream: 'verdicts', after: ids[0] ?? '', isIncluded: true } as const
      const read = only(await under.store.feed.read([position], PLENTY))
      expect(read).toMatchObject({ position: ids[1], hasGap: false, hasMore: false })
      expect(idsIn(read)).toEqual(ids)
    })

    test('is read in parts of a size, each with at least one entry', async () => {
      await using under = await open()
      const { store } = under
      const { commit } = await committer(store)
      const ids: EntryId[] = []
      for (let n = 0; n < 40; n++) ids.push(await commit([]))
      const seen: EntryId[] = []
      let after = '0-0'
      for (let part = 0; part < 50; part++) {
        const read = await readOne(store, 'verdicts', after, part % 2 === 0 ? 1 : 2000)
        expect(read.entries.length).toBeGreaterThan(0)
        expect(read.position).toBe(idsIn(read).at(-1))
        seen.push(...idsIn(read))
        after = read.position
        if (!read.hasMore) break
      }
      expect(seen).toEqual(ids)
    })

    test('has many streams of many partitions in one read, in the order requested', async () => {
      await using under = await open()
      const { store } = under
      const ids = new Map<number, EntryId>()
      for (const partition of [3, 0, 2]) ids.set(partition, await (await committer(store, partition)).commit(['{}']))
      const positions = [2, 1, 0, 3].flatMap(partition =>
        FEED_STREAMS.map(stream => ({ partition, stream, after: '0-0' })),
      )
      const parts = await store.feed.read(positions, PLENTY)
      const kinds = parts.map(({ entries }) => entries.map(({ kind }) => kind))
      const full = [['verdicts'], ['anomaly'], [], []]
      expect(kinds).toEqual([...full, [], [], [], [], ...full, ...full])
      expect(parts[0]?.position).toBe(ids.get(2))
    })

    test('says that something may be missing where entries were dropped, and only there', async () => {
      await using under = await open()
      const { store, limits } = under
      const { commit } = await committer(store)
      const first = await commit([analysisOf('a', 0)])
      const before = (await readOne(store, 'anomalies', null)).position
      const many = limits.anomaliesMax + limits.trimSlack + 1
      await commit(Array.from({ length: many }, (_, n) => analysisOf('b', n)))
      for (const after of ['0-0', before]) {
        const read = await readOne(store, 'anomalies', after)
        expect(read).toMatchObject({ hasGap: true, hasMore: false })
        expect(idsIn(read).length).toBeLessThan(many + 1)
        expect(await readOne(store, 'anomalies', read.position)).toEqual(nothing(read.position))
        expect(await readOne(store, 'anomalies', idsIn(read)[0] ?? '')).toMatchObject({ hasGap: false })
      }
      expect(await readOne(store, 'verdicts', '0-0')).toMatchObject({ hasGap: false })
      const newest = await commit([])
      await commit([], { keepFrom: newest })
      expect(await readOne(store, 'verdicts', first)).toMatchObject({ hasGap: true })
      expect(await readOne(store, 'verdicts', newest)).toMatchObject({ hasGap: false })
    })

    test('goes back to what is there, and says so, after the store has lost data', async () => {
      await using under = await open()
      const { store } = under
      const far = '99999999999999-0'
      expect(await readOne(store, 'verdicts', far)).toEqual({ ...nothing('0-0'), hasGap: true })
      const id = await (await committer(store)).commit([])
      expect(await readOne(store, 'verdicts', far)).toEqual({ ...nothing(id), hasGap: true })
    })

    test('has openings and ends of alerts, and what operators and storms change', async () => {
      await using under = await open()
      const { store } = under
      const { commit, lease } = await committer(store)
      const opened = { opening: openingOf('0-a'), openedBefore: 0, notifyAfterMs: 0 }
      await commit([], { alerts: { opened: [opened], ended: [] } })
      await store.alerts.setOperatorState(0, '0-a', { acknowledged: NOTE }, 5)
      await store.alerts.setOperatorState(0, '0-a', { snoozed: { ...NOTE, until: 9 } }, 5)
      await store.alerts.setOperatorState(0, 'unknown', { acknowledged: NOTE }, 5)
      const end = { id: '0-a', key: 'a', cause: 'level_shift', openedAt: 5 } as const
      await commit([], {
        alerts: { opened: [], ended: [{ ...end, end: { resolved_at: 9, resolve_reason: 'calm', peak: null } }] },
      })
      const cause = { kind: 'storm', keys: ['a'], key_count: 1, keys_total: 2 } as const
      const storm = { ...openingOf('fleet-1'), key: null, cause }
      const over = { id: 'fleet-1', end: { resolved_at: 9, resolve_reason: 'few_keys', peak: null } as const }
      for (const saved of [
        { opening: storm, end: null },
        { opening: storm, end: null },
        { opening: null, end: over },
        { opening: null, end: over },
      ]) {
        expect(await store.alerts.saveStorm(lease, { state: '{}', ...saved })).toBe(true)
      }
      const changesIn = async (stream: FeedStream) =>
        (await readOne(store, stream, '0-0')).entries.map(
          entry => entry.kind === 'alert' && [entry.alert, entry.change],
        )
      expect(await changesIn('alerts')).toEqual([
        ['0-a', 'opened'],
        ['0-a', 'resolved'],
      ])
      expect(await changesIn('alert_changes')).toEqual([
        ['0-a', 'acknowledged'],
        ['0-a', 'snoozed'],
        ['fleet-1', 'opened'],
        ['fleet-1', 'updated'],
        ['fleet-1', 'resolved'],
      ])
    })
  })
}
