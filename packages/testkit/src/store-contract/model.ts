import type { Entry } from '@tidemark/shared/sample/entry'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import type { Checkpoint, Commit } from '@tidemark/shared/store/ports/commit'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { append, commitOf, keyUpdate, type OpenStore, own, readNow, type StoreUnderTest, stateOf } from './harness.ts'

const PARTITION = 0
const KEYS = ['a', 'b', 'c']

/** The simplest model of a partition: everything is a list. */
interface Model {
  stream: Entry[]
  delivered: number
  pending: Entry[]
  checkpoint: Checkpoint
  accepted: number
  analysed: number
  dead: number
  /** The number of the last commit that touched each key. */
  readonly keys: Map<string, number>
  commits: number
  lastCommit: Commit | undefined
}

interface Real {
  readonly under: StoreUnderTest
  readonly lease: Lease
}

type Command = fc.AsyncCommand<Model, Real>

/** Makes a command that can always run, and after which the store must equal the model. */
function command(text: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    toString: () => text,
    async run(model, real) {
      await run(model, real)
      await expectSame(model, real.under)
    },
  }
}

async function expectSame(model: Model, under: StoreUnderTest): Promise<void> {
  const { checkpoint, accepted, analysed, dead, stream, pending } = model
  const [first] = stream
  expect(await stateOf(under, PARTITION, KEYS)).toMatchObject({
    progress: {
      checkpoint: checkpoint.id,
      accepted,
      analysed,
      dead,
      lost: checkpoint.offset - analysed - dead,
      backlog: accepted - checkpoint.offset,
    },
    backlog: { samples: accepted - checkpoint.offset, oldest: first?.id ?? null },
    stream: stream.map(({ id }) => id),
    pending: pending.map(({ id }) => id),
    windows: KEYS.map(key => {
      const seed = model.keys.get(key)
      return seed === undefined ? null : [...keyUpdate(key, seed).window.bytes]
    }),
  })
}

const appending = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }).map(counts =>
  command(`append ${counts}`, async (model, { under }) => {
    const ids = await append(under.store, PARTITION, ...counts)
    ids.forEach((id, index) => {
      const count = counts[index] ?? 0
      model.stream.push({ id, samples: expect.any(String), count, offset: model.accepted, nonce: expect.any(String) })
      model.accepted += count
    })
  }),
)

const appendingRaw = fc.constant(
  command('append a raw entry', async (model, { under }) => {
    const id = await under.probe.appendRaw(PARTITION, { hello: 'world' })
    model.stream.push({ id, samples: undefined, count: undefined, offset: undefined })
  }),
)

const reading = fc.integer({ min: 1, max: 4 }).map(count =>
  command(`read ${count}`, async (model, { under }) => {
    const expected = model.stream.slice(model.delivered, model.delivered + count)
    expect(await readNow(under.store, PARTITION, count)).toEqual(expected)
    model.delivered += expected.length
    model.pending.push(...expected)
  }),
)

const readingPending = fc.tuple(fc.nat({ max: 6 }), fc.integer({ min: 1, max: 4 })).map(([skip, count]) =>
  command(`read ${count} pending after ${skip}`, async (model, { under }) => {
    const after = model.pending.slice(0, skip).at(-1)?.id ?? '0-0'
    const expected = model.pending.slice(Math.min(skip, model.pending.length)).slice(0, count)
    expect(await under.store.analyzer.readPending(PARTITION, after, count)).toEqual(expected)
  }),
)

const committing = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat({ max: 7 })).map(([length, touched]) =>
  command(`commit ${length} touching ${touched}`, async (model, { under, lease }) => {
    const run = model.pending.slice(0, length)
    if (run.length === 0) return
    const seed = ++model.commits
    const keys = KEYS.filter((_, index) => (touched >> index) & 1)
    const commit = commitOf(model.checkpoint, run, {
      to: { id: run.at(-1)?.id ?? '', offset: offsetAfter(model.checkpoint, run) },
      keys: keys.map(key => keyUpdate(key, seed)),
      // The model does not know nonces.
      witness: undefined,
    })
    expect(await under.store.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
    apply(model, commit, keys, seed)
  }),
)

const resending = fc.constant(
  command('send the last commit again', async (model, { under, lease }) => {
    if (model.lastCommit === undefined) return
    expect(await under.store.analyzer.commit(lease, model.lastCommit)).toEqual({ kind: 'already' })
  }),
)

const committingWrongly = fc.constantFrom('fenced', 'stale', 'gap').map(fault =>
  command(`a ${fault} commit`, async (model, { under, lease }) => {
    const [first, ...others] = model.pending
    if (first === undefined || others.length === 0) return
    const changes = { keys: [keyUpdate('a', 99)], dead: 7, witness: undefined }
    const { commit } = under.store.analyzer
    if (fault === 'fenced') {
      const wrong = commitOf(model.checkpoint, others, changes)
      expect(await commit({ ...lease, token: 'x' }, wrong)).toEqual({ kind: 'fenced' })
    } else if (fault === 'stale') {
      const wrong = commitOf({ id: '1-1', offset: 0 }, others, changes)
      expect(await commit(lease, wrong)).toEqual({ kind: 'stale', checkpoint: model.checkpoint.id })
    } else if (first.isDeleted !== true) {
      const wrong = commitOf(model.checkpoint, others, changes)
      expect(await commit(lease, wrong)).toEqual({ kind: 'gap', id: first.id })
    }
  }),
)

const deleting = fc.nat({ max: 9 }).map(place =>
  command(`delete entry ${place}`, async (model, { under }) => {
    const entry = model.stream[place]
    if (entry === undefined) return
    await under.probe.deleteEntry(PARTITION, entry.id)
    model.stream.splice(place, 1)
    if (place < model.delivered) model.delivered--
    model.pending = model.pending.map(one => (one.id === entry.id ? deleted(one.id) : one))
  }),
)

const losingTheGroup = fc.constant(
  command('lose the group', async (model, { under }) => {
    await under.probe.destroyGroup(PARTITION)
    expect(await under.store.analyzer.loadCheckpoint(PARTITION)).toMatchObject(model.checkpoint)
    model.pending = []
    model.delivered = 0
  }),
)

const loadingTheCheckpoint = fc.constant(
  command('load the checkpoint', async (model, { under }) => {
    expect(await under.store.analyzer.loadCheckpoint(PARTITION)).toMatchObject(model.checkpoint)
  }),
)

function deleted(id: EntryId): Entry {
  return { id, samples: undefined, count: undefined, offset: undefined, isDeleted: true }
}

/** Returns the samples up to the end of `run`; unreadable entries have no offset. */
function offsetAfter(from: Checkpoint, run: readonly Entry[]): number {
  const last = run.findLast(({ offset }) => offset !== undefined)
  return last === undefined ? from.offset : (last.offset ?? 0) + (last.count ?? 0)
}

function apply(model: Model, commit: Commit, keys: readonly string[], seed: number): void {
  const { id } = commit.to
  const trimmed = model.stream.filter(entry => commit.entries.includes(entry.id)).length
  model.stream = model.stream.slice(trimmed)
  model.delivered -= trimmed
  model.pending = model.pending.slice(commit.entries.length)
  model.checkpoint = { id, offset: commit.to.offset }
  model.analysed += commit.analysed
  model.dead += commit.dead
  for (const key of keys) model.keys.set(key, seed)
  model.lastCommit = commit
}

export function describeModel(open: OpenStore, runs: number): void {
  describe('any sequence of calls', () => {
    test('leaves the store equal to a model of plain lists', async () => {
      const commands = fc.commands(
        [
          appending,
          appendingRaw,
          reading,
          readingPending,
          committing,
          committing,
          resending,
          committingWrongly,
          deleting,
          losingTheGroup,
          loadingTheCheckpoint,
        ],
        { maxCommands: 60, size: 'max' },
      )
      await fc.assert(
        fc.asyncProperty(commands, async run => {
          await using under = await open()
          const lease = await own(under.store, PARTITION)
          const model: Model = {
            stream: [],
            delivered: 0,
            pending: [],
            checkpoint: { id: '0-0', offset: 0 },
            accepted: 0,
            analysed: 0,
            dead: 0,
            keys: new Map(),
            commits: 0,
            lastCommit: undefined,
          }
          await fc.asyncModelRun(() => ({ model, real: { under, lease } }), run)
        }),
        { numRuns: runs },
      )
    })
  })
}
