import assert from 'node:assert/strict'
import { type EntryId, entryTimeMs } from '@tidemark/shared/sample/receipt'
import type { Checkpoint, Commit, CommitOutcome } from '@tidemark/shared/store/ports/commit'
import type { EntryFindings } from '@tidemark/shared/verdict/kept-verdicts'
import { describe, expect, test } from 'vitest'
import {
  analysisOf,
  append,
  appendAndRead,
  appendOne,
  bytes,
  commitOf,
  keyUpdate,
  type OpenStore,
  own,
  progressOf,
  readNow,
  type StoreUnderTest,
  stateOf,
  windowsOf,
} from './harness.ts'

const ZERO: Checkpoint = { id: '0-0', offset: 0 }

/** Returns everything that a commit can carry; `id` is the id of one of its entries. */
function allEffects(id: EntryId, seed: number): Partial<Commit> {
  return {
    keys: [keyUpdate('a', seed), keyUpdate('b', seed)],
    anomalies: [analysisOf('a', seed)],
    deadLetters: [{ id, reason: `reason ${seed}`, samples: 'what "could" be read 😀' }],
    verdicts: [verdictOn(id, seed)],
  }
}

function verdictOn(id: EntryId, seed: number): EntryFindings {
  const judged = { judgements: bytes('j', seed), policies: '[["edge-cpu","ewma"]]' }
  return {
    ...{ id, findings: bytes('f', seed), threshold: 0.1 + 0.2, windowMin: 30, analyzedAt: 1.7e12 },
    ...{ rulesVersion: seed, judged: seed % 2 === 0 ? null : judged },
    rests: seed % 3 === 0 ? null : bytes('r', seed),
  }
}

/**
 * Appends entries of one sample each to partition 0 and commits them as dead letters. Returns their
 * ids.
 */
async function withDeadEntries({ store }: StoreUnderTest, count: number): Promise<string[]> {
  const lease = await own(store, 0)
  const entries = await appendAndRead(store, 0, ...Array.from({ length: count }, () => 1))
  const deadLetters = entries.map(({ id }, n) => ({ id, reason: `reason ${n}`, samples: `text ${n}` }))
  const commit = commitOf(ZERO, entries, { analysed: 0, dead: count, deadLetters })
  expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
  return entries.map(({ id }) => id)
}

export function describeCommitting(open: OpenStore): void {
  /** Sends `commit` and checks that it changes nothing. */
  async function expectNoEffect(under: StoreUnderTest, commit: Commit, expected: CommitOutcome, token?: string) {
    const lease = { partition: 0, token: token ?? 'analyzer-1:4cb7' }
    const before = await stateOf(under, 0, ['a', 'b', 'c'])
    expect(await under.store.analyzer.commit(lease, commit)).toEqual(expected)
    expect(await stateOf(under, 0, ['a', 'b', 'c'])).toEqual(before)
  }

  describe('committing', () => {
    test('a commit writes windows, analyses, anomalies, dead letters, verdicts and counts, and trims', async () => {
      await using under = await open()
      const { store } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 2, 3, 4)
      const [first, second, third] = entries.map(({ id }) => id)
      const effects = { ...allEffects(second ?? '', 1), keepFrom: second }
      const run = entries.slice(0, 2)
      const outcome = await store.analyzer.commit(lease, commitOf(ZERO, run, { ...effects, analysed: 2, dead: 3 }))
      expect(outcome).toEqual({ kind: 'ok', at: expect.any(Number) })
      expect(await stateOf(under, 0, ['a', 'b', 'c'])).toEqual({
        progress: { checkpoint: second, accepted: 9, analysed: 2, dead: 3, lost: 0, backlog: 4 },
        backlog: { samples: 4, oldest: third },
        stream: [second, third],
        pending: [third],
        verdicts: [second],
        anomalies: [analysisOf('a', 1)],
        dead: effects.deadLetters,
        analyses: [analysisOf('a', 1), analysisOf('b', 1), null],
        windows: [[...bytes('a', 1)], [...bytes('b', 1)], null],
      })
      expect(await store.gateway.verdicts(0, second ?? '')).toEqual({
        ...effects.verdicts?.[0],
        samples: entries[1]?.samples,
        findings: expect.any(Uint8Array),
        judged: { judgements: expect.any(Uint8Array), policies: '[["edge-cpu","ewma"]]' },
        rests: expect.any(Uint8Array),
      })
      expect(await store.analyzer.keptEntries(0)).toEqual([{ id: second, samples: 3 }])
      expect(await store.gateway.verdicts(0, first ?? '')).toBeNull()
      expect(await store.analyzer.loadCheckpoint(0)).toMatchObject({ id: second, offset: 5 })
    })

    test('its time is by the clock that makes the ids', async () => {
      await using under = await open()
      const lease = await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1)
      const outcome = await under.store.analyzer.commit(lease, commitOf(ZERO, entries))
      const at = outcome.kind === 'ok' ? outcome.at : Number.NaN
      const appendedAt = entryTimeMs(entries[0]?.id ?? '')
      expect(at).toBeGreaterThanOrEqual(appendedAt)
      expect(at).toBeLessThan(appendedAt + 10_000)
    })

    test('commits follow one another, and another process continues where the first one stopped', async () => {
      await using under = await open()
      await using other = await under.connect()
      const first = await own(under.store, 0, 'a:1')
      const one = await appendAndRead(under.store, 0, 1, 2)
      await under.store.analyzer.commit(first, commitOf(ZERO, one, { keys: [keyUpdate('a', 1)] }))
      await under.store.analyzer.releaseLease(first)
      const second = await own(other, 0, 'b:1')
      const checkpoint = await other.analyzer.loadCheckpoint(0)
      const two = await appendAndRead(other, 0, 3)
      const commit = commitOf(checkpoint, two, { keys: [keyUpdate('a', 2)] })
      expect(await other.analyzer.commit(second, commit)).toMatchObject({ kind: 'ok' })
      expect(await windowsOf(under.store, 0, ['a'])).toEqual([[...bytes('a', 2)]])
      expect(await progressOf(under.store, 0)).toMatchObject({ analysed: 6, backlog: 0 })
    })

    test('a commit changes its own partition only', async () => {
      await using under = await open()
      const lease = await own(under.store, 0)
      await own(under.store, 1)
      await appendAndRead(under.store, 1, 3)
      const before = await stateOf(under, 1, ['a'])
      const entries = await appendAndRead(under.store, 0, 2)
      await under.store.analyzer.commit(lease, commitOf(ZERO, entries, allEffects(entries[0]?.id ?? '', 1)))
      expect(await stateOf(under, 1, ['a'])).toEqual(before)
    })

    test('a resent commit whose response was lost returns that it was done', async () => {
      await using under = await open()
      const lease = await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2)
      const commit = commitOf(ZERO, entries, allEffects(entries[0]?.id ?? '', 1))
      expect(await under.store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      await expectNoEffect(under, commit, { kind: 'already' })
      await expectNoEffect(under, commit, { kind: 'already' })
    })

    test('one of two concurrent sends of a commit applies it', async () => {
      await using under = await open()
      await using other = await under.connect()
      const lease = await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2)
      const commit = commitOf(ZERO, entries, allEffects(entries[0]?.id ?? '', 1))
      const outcomes = await Promise.all([
        under.store.analyzer.commit(lease, commit),
        other.analyzer.commit(lease, commit),
      ])
      expect(outcomes.map(({ kind }) => kind).toSorted()).toEqual(['already', 'ok'])
      expect(await progressOf(under.store, 0)).toMatchObject({ analysed: 3 })
      expect(await under.probe.anomalies(0)).toHaveLength(1)
    })

    test('a commit that does not start at the checkpoint is stale', async () => {
      await using under = await open()
      const lease = await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2, 3)
      const [a, b] = entries
      await under.store.analyzer.commit(lease, commitOf(ZERO, entries.slice(0, 1)))
      const checkpoint = a?.id ?? ''
      const effects = allEffects(b?.id ?? '', 2)
      // Behind the checkpoint, and ahead of it.
      await expectNoEffect(under, commitOf(ZERO, entries.slice(0, 2), effects), { kind: 'stale', checkpoint })
      const ahead = { id: b?.id ?? '', offset: 3 }
      await expectNoEffect(under, commitOf(ahead, entries.slice(2), effects), { kind: 'stale', checkpoint })
    })

    test('a commit that skips an entry has a gap, whether the entry was delivered or not', async () => {
      await using under = await open()
      await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2, 3)
      const [a, b, c] = entries.map(({ id }) => id)
      const gap: CommitOutcome = { kind: 'gap', id: a ?? '' }
      await expectNoEffect(under, commitOf(ZERO, entries.slice(1), allEffects(b ?? '', 1)), gap)
      await expectNoEffect(under, commitOf(ZERO, entries.slice(2), allEffects(c ?? '', 1)), gap)
      await under.store.analyzer.acknowledge(0, [a ?? ''])
      await expectNoEffect(under, commitOf(ZERO, entries.slice(1), allEffects(b ?? '', 1)), gap)
    })

    test('an entry added by hand that another process read is a gap between its neighbours', async () => {
      await using under = await open()
      const { store, probe } = under
      await own(store, 0)
      const [before] = await appendAndRead(store, 0, 1)
      const id = await probe.appendRaw(0, { s: 'by hand' })
      await readNow(store, 0)
      const [after] = await appendAndRead(store, 0, 2)
      assert(before !== undefined && after !== undefined)
      await expectNoEffect(under, commitOf(ZERO, [before, after]), { kind: 'gap', id })
      await expectNoEffect(under, commitOf(ZERO, [after]), { kind: 'gap', id: before.id })
    })

    test('an applied entry that is still kept is not applied again', async () => {
      await using under = await open()
      const lease = await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2)
      const first = commitOf(ZERO, entries.slice(0, 1), { keepFrom: entries[0]?.id })
      expect(await under.store.analyzer.commit(lease, first)).toMatchObject({ kind: 'ok' })
      const again = commitOf(first.to, entries, allEffects(entries[1]?.id ?? '', 1))
      await expectNoEffect(under, again, { kind: 'stale', checkpoint: first.to.id })
    })

    test('a group that was moved back delivers nothing again that is applied', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 1, 2, 3)
      const ids = entries.map(({ id }) => id)
      await store.analyzer.acknowledge(0, ids.slice(0, 1))
      await store.analyzer.loadCheckpoint(0)
      expect(await probe.pendingIds(0)).toEqual([])
      const commit = commitOf(ZERO, entries.slice(0, 2), { keepFrom: ids[0] })
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      expect((await readNow(store, 0)).map(({ id }) => id)).toEqual(ids.slice(2))
      expect(await probe.pendingIds(0)).toEqual(ids.slice(2))
    })

    test('a deleted entry is no gap: the offset jumps, and its samples count as lost', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      const [a, b, c] = await append(store, 0, 1, 20, 300)
      await probe.deleteEntry(0, b ?? '')
      expect(await progressOf(store, 0)).toMatchObject({ accepted: 321, lost: 0, backlog: 321 })
      const entries = await readNow(store, 0)
      await store.analyzer.commit(lease, commitOf(ZERO, entries.slice(0, 1)))
      expect(await progressOf(store, 0)).toMatchObject({ analysed: 1, lost: 0, backlog: 320 })
      const outcome = await store.analyzer.commit(lease, commitOf({ id: a ?? '', offset: 1 }, entries.slice(1)))
      expect(outcome).toMatchObject({ kind: 'ok' })
      expect(await progressOf(store, 0)).toEqual({
        checkpoint: c,
        accepted: 321,
        analysed: 301,
        dead: 0,
        lost: 20,
        backlog: 0,
      })
    })

    test('a pending entry that was deleted is committed with the run, and is then no longer pending', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      const ids = (await appendAndRead(store, 0, 1, 20, 300)).map(({ id }) => id)
      await probe.deleteEntry(0, ids[1] ?? '')
      const entries = await store.analyzer.readPending(0, '0-0', 10)
      expect(entries.map(({ id }) => id)).toEqual(ids)
      expect(await store.analyzer.commit(lease, commitOf(ZERO, entries))).toMatchObject({ kind: 'ok' })
      expect(await probe.pendingIds(0)).toEqual([])
      expect(await progressOf(store, 0)).toMatchObject({ analysed: 301, lost: 20, backlog: 0 })
    })

    test('an entry that was never accepted becomes a dead letter without samples', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      const a = await appendOne(store, 0, 2)
      const raw = await probe.appendRaw(0, { hello: 'world' })
      const c = await appendOne(store, 0, 3)
      const entries = await readNow(store, 0)
      expect(entries.map(({ id, offset }) => [id, offset])).toEqual([
        [a, 0],
        [raw, undefined],
        [c, 2],
      ])
      const deadLetters = [{ id: raw, reason: 'it has no field "s"', samples: '' }]
      await store.analyzer.commit(lease, commitOf(ZERO, entries, { deadLetters }))
      expect(await probe.deadLetters(0)).toEqual(deadLetters)
      expect(await progressOf(store, 0)).toMatchObject({ accepted: 5, analysed: 5, dead: 0, lost: 0, backlog: 0 })
    })

    test('a commit without the lease is fenced: another token, a part of it, none, or that of another partition', async () => {
      await using under = await open()
      const { analyzer } = under.store
      const lease = await own(under.store, 0)
      await own(under.store, 1, 'analyzer-2:1')
      const entries = await appendAndRead(under.store, 0, 1, 2)
      const commit = commitOf(ZERO, entries, allEffects(entries[0]?.id ?? '', 1))
      for (const token of ['analyzer-2:1', 'analyzer-1', 'analyzer-1:4cb', 'analyzer-1:4cb7 ', 'ANALYZER-1:4CB7', '']) {
        await expectNoEffect(under, commit, { kind: 'fenced' }, token)
      }
      await analyzer.releaseLease(lease)
      await expectNoEffect(under, commit, { kind: 'fenced' })
    })

    test('the lease is checked first, then whether the commit was done, then the checkpoint, then the gap', async () => {
      await using under = await open()
      const lease = await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2, 3, 4)
      const [a, b] = entries.map(({ id }) => id)
      const wrong = { id: b ?? '', offset: 3 }
      await under.store.analyzer.commit(lease, commitOf(ZERO, entries.slice(0, 1)))
      const done = commitOf(wrong, entries.slice(0, 1))
      await expectNoEffect(under, done, { kind: 'fenced' }, 'b:1')
      await expectNoEffect(under, done, { kind: 'already' })
      const staleAndGap = commitOf(ZERO, entries.slice(2))
      await expectNoEffect(under, staleAndGap, { kind: 'stale', checkpoint: a ?? '' })
      const gap = commitOf({ id: a ?? '', offset: 1 }, entries.slice(2))
      await expectNoEffect(under, gap, { kind: 'gap', id: b ?? '' })
    })

    test('a commit of entries that the store lost is stale', async () => {
      await using under = await open()
      await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2)
      const last = entries[1]?.id ?? ''
      await under.probe.deleteEntry(0, last)
      await expectNoEffect(under, commitOf(ZERO, entries), { kind: 'stale', checkpoint: '0-0' })
    })

    test('a commit of an entry whose id now belongs to another entry is stale', async () => {
      await using under = await open()
      await own(under.store, 0)
      const entries = await appendAndRead(under.store, 0, 1, 2)
      const { id = '', samples = '' } = entries[1] ?? {}
      for (const nonce of [{ r: 'another' }, {}]) {
        await under.probe.replaceEntry(0, id, { s: samples, n: '2', o: '1', ...nonce })
        await expectNoEffect(under, commitOf(ZERO, entries), { kind: 'stale', checkpoint: '0-0' })
      }
    })

    test('dead letters are listed newest first, by page', async () => {
      await using under = await open()
      const { gateway } = under.store
      const [a = '', b = '', c = ''] = await withDeadEntries(under, 3)
      const ids = async (range: { upTo?: string; count: number }) =>
        (await gateway.deadLetters(0, range)).map(({ id }) => id)
      expect(await ids({ count: 10 })).toEqual([c, b, a])
      expect(await ids({ count: 2 })).toEqual([c, b])
      expect(await ids({ upTo: b, count: 10 })).toEqual([b, a])
      expect(await gateway.deadLetters(1, { count: 10 })).toEqual([])
      expect(await gateway.deadLetters(0, { count: 1 })).toEqual([{ id: c, reason: 'reason 2', samples: 'text 2' }])
    })

    test('a dead letter is discarded once', async () => {
      await using under = await open()
      const [a = '', b = ''] = await withDeadEntries(under, 2)
      expect(await under.store.gateway.discardDeadLetter(0, a)).toBe(true)
      expect(await under.store.gateway.discardDeadLetter(0, a)).toBe(false)
      expect((await under.probe.deadLetters(0)).map(({ id }) => id)).toEqual([b])
    })

    test('the former owner is fenced after another took over, and so is its resend', async () => {
      await using under = await open()
      await using other = await under.connect()
      const first = await own(under.store, 0, 'a:1')
      const entries = await appendAndRead(under.store, 0, 1, 2)
      await under.store.analyzer.releaseLease(first)
      const second = await own(other, 0, 'b:1')
      const commit = commitOf(ZERO, entries, allEffects(entries[0]?.id ?? '', 1))
      await expectNoEffect(under, commit, { kind: 'fenced' }, 'a:1')
      expect(await other.analyzer.commit(second, commit)).toMatchObject({ kind: 'ok' })
      await expectNoEffect(under, commit, { kind: 'fenced' }, 'a:1')
    })

    test('a commit succeeds although the group was lost', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 1, 2, 3)
      await probe.destroyGroup(0)
      const outcome = await store.analyzer.commit(lease, commitOf(ZERO, entries.slice(0, 2)))
      expect(outcome).toMatchObject({ kind: 'ok' })
      await store.analyzer.loadCheckpoint(0)
      expect(await readNow(store, 0)).toEqual(entries.slice(2))
    })

    test('5,000 keys and 5,000 entries fit in one commit', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      await append(store, 0, ...Array.from({ length: 5_000 }, () => 1))
      const entries = await readNow(store, 0, 5_000)
      const names = Array.from({ length: 5_000 }, (_, index) => `device-${index}/cpu`)
      const commit = commitOf(ZERO, entries, { keys: names.map(name => keyUpdate(name)) })
      expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
      expect(await windowsOf(store, 0, names)).toEqual(names.map(name => [...bytes(name)]))
      expect(await store.gateway.lastAnalyses(names.map(key => ({ partition: 0, key })))).toEqual(
        names.map(name => analysisOf(name)),
      )
      expect(await probe.pendingIds(0)).toEqual([])
      expect(await probe.streamIds(0)).toEqual([])
      expect(await progressOf(store, 0)).toMatchObject({ analysed: 5_000, backlog: 0 })
    })

    test('bytes are copied when they are written and when they are read', async () => {
      await using under = await open()
      const { store } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 1, 1)
      const id = entries[0]?.id ?? ''
      // A Buffer, whose slice() would share its memory, in the middle of other bytes.
      const window = Buffer.from(new Uint8Array(24).fill(1)).subarray(3, 19)
      const tail = Buffer.from(new Uint8Array(24).fill(3)).subarray(1, 17)
      const findings = Buffer.from(new Uint8Array(24).fill(2)).subarray(5, 21)
      const judgements = Buffer.from(new Uint8Array(24).fill(4)).subarray(5, 21)
      const judged = { judgements, policies: '[]' }
      const rests = Buffer.from(new Uint8Array(24).fill(5)).subarray(7, 23)
      const numbers = { threshold: 2, windowMin: 30, analyzedAt: 1, rulesVersion: 0 }
      const verdicts = [{ id, findings, judged, rests, ...numbers }]
      const keys = [{ key: 'a', window: { kind: 'row', bytes: window }, analysis: '{}' } as const]
      const tails = [{ key: 'a', window: { kind: 'tail', bytes: tail }, analysis: '{}' } as const]
      await store.analyzer.commit(lease, commitOf(ZERO, entries.slice(0, 1), { keys, verdicts, keepFrom: id }))
      const from = { id, offset: 1 }
      await store.analyzer.commit(lease, commitOf(from, entries.slice(1), { keys: tails, keepFrom: id }))
      window.fill(9)
      tail.fill(9)
      findings.fill(9)
      rests.fill(9)
      const read = async () => [
        (await store.gateway.window({ partition: 0, key: 'a' }))?.row,
        (await store.analyzer.loadWindows(0, ['a']))[0]?.row,
        (await store.gateway.window({ partition: 0, key: 'a' }))?.tail,
        (await store.analyzer.loadWindows(0, ['a']))[0]?.tail,
        (await store.gateway.verdicts(0, id))?.findings,
        (await store.gateway.verdicts(0, id))?.rests,
      ]
      const expected = [1, 1, 3, 3, 2, 5].map(byte => Array(16).fill(byte))
      const first = await read()
      expect(first.map(one => [...(one ?? [])])).toEqual(expected)
      for (const one of first) one?.fill(7)
      expect((await read()).map(one => [...(one ?? [])])).toEqual(expected)
    })

    test('verdicts are kept from the entry that the commit names', async () => {
      await using under = await open()
      const { store, probe } = under
      const lease = await own(store, 0)
      const entries = await appendAndRead(store, 0, 1, 1, 1, 1, 1, 1)
      const ids = entries.map(({ id }) => id)
      const verdictsOn = (from: number, to: number) =>
        ids.slice(from, to).map(id => ({
          id,
          findings: bytes(id),
          threshold: 2,
          windowMin: 30,
          analyzedAt: 5,
          rulesVersion: 0,
          judged: null,
          rests: null,
        }))
      const steps: [number, number, number][] = [
        [0, 3, 0],
        [3, 5, 2],
        [5, 6, 4],
      ]
      let from = ZERO
      for (const [start, end, keepFrom] of steps) {
        const run = entries.slice(start, end)
        const changes = { verdicts: verdictsOn(start, end), keepFrom: ids[keepFrom] }
        const commit = commitOf(from, run, changes)
        expect(await store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
        from = commit.to
        expect(await probe.verdictIds(0)).toEqual(ids.slice(keepFrom, end))
        expect(await probe.streamIds(0)).toEqual(ids.slice(keepFrom))
        const kept = ids.slice(keepFrom, end).map(id => ({ id, samples: 1 }))
        expect(await store.analyzer.keptEntries(0)).toEqual(kept)
        const read = await store.gateway.keptVerdicts(0, { count: 100 })
        expect(read.map(({ id }) => id)).toEqual(kept.map(({ id }) => id).reverse())
        for (const one of read) expect(await store.gateway.verdicts(0, one.id)).toEqual(one)
        expect(await store.gateway.keptVerdicts(0, { upTo: kept[0]?.id, count: 2 })).toEqual(read.slice(-1))
      }
      expect(await store.gateway.verdicts(0, ids[3] ?? '')).toBeNull()
      expect([...((await store.gateway.verdicts(0, ids[4] ?? ''))?.findings ?? [])]).toEqual([...bytes(ids[4] ?? '')])
    })

    test('the newest anomalies and dead letters are kept', async () => {
      await using under = await open()
      const { store, probe, limits } = under
      const lease = await own(store, 0)
      const most = Math.max(limits.anomaliesMax, limits.deadMax) + limits.trimSlack
      const perCommit = Math.ceil(most / 4)
      let from = ZERO
      let written = 0
      for (let step = 0; step < 6; step++) {
        const entries = await appendAndRead(store, 0, 1)
        const numbers = Array.from({ length: perCommit }, () => written++)
        const commit = commitOf(from, entries, {
          anomalies: numbers.map(number => analysisOf('a', number)),
          deadLetters: numbers.map(number => ({ id: entries[0]?.id ?? '', reason: String(number), samples: '' })),
        })
        await store.analyzer.commit(lease, commit)
        from = commit.to
      }
      const anomalies = await probe.anomalies(0)
      expect(anomalies.length).toBeGreaterThanOrEqual(limits.anomaliesMax)
      expect(anomalies.length).toBeLessThanOrEqual(limits.anomaliesMax + limits.trimSlack)
      const newest = Array.from({ length: anomalies.length }, (_, index) => written - anomalies.length + index)
      expect(anomalies).toEqual(newest.map(number => analysisOf('a', number)))
      const read = await store.gateway.anomalies(0, { count: anomalies.length + 1 })
      expect(read.map(({ analysis }) => analysis)).toEqual(anomalies.toReversed())
      const rest = await store.gateway.anomalies(0, { upTo: read[3]?.id, count: 2 })
      expect(rest).toEqual(read.slice(3, 5))
      expect(await store.gateway.anomalies(1, { count: 1 })).toEqual([])
      const dead = await probe.deadLetters(0)
      expect(dead.length).toBeGreaterThanOrEqual(limits.deadMax)
      expect(dead.length).toBeLessThanOrEqual(limits.deadMax + limits.trimSlack)
      expect(dead.at(-1)?.reason).toBe(String(written - 1))
      const none = { deadLetters: 0, timers: 0, keys: 0 }
      expect(await store.analyzer.keptCounts([1, 0])).toEqual([none, { ...none, deadLetters: dead.length }])
    })
  })
}
