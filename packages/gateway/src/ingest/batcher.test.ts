import { pause } from '@tidemark/shared/runtime/lifecycle'
import { packTraces } from '@tidemark/shared/sample/entry'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { AppendBatch, AppendOutcome, GatewayStore } from '@tidemark/shared/store/ports/gateway'
import { packSamples } from '@tidemark/testkit/samples'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { Share } from '../limits/fair-budget.ts'
import type { FlushFailure } from '../metrics.ts'
import type { SubBatch, SubBatchOutcome } from '../services.ts'
import { Batcher } from './batcher.ts'

/** A sub-batch of `count` samples with distinct values. */
function subBatch(partition: number, from: number, count = 1): SubBatch {
  const samples = Array.from({ length: count }, (_, i) => `"k${partition}",${from + i},1`)
  return { partition, samples: samples.join(), count }
}

function valuesOf({ samples }: Pick<AppendBatch, 'samples'>): number[] {
  const flat: unknown[] = JSON.parse(samples)
  return flat.filter((_, i) => i % 3 === 1).map(Number)
}

/** A store that responds to a call when the test decides. */
function createSlowStore() {
  const calls: { batches: readonly AppendBatch[]; answer: (outcomes?: AppendOutcome[]) => void }[] = []
  const store: Pick<GatewayStore, 'append'> = {
    append: batches =>
      new Promise(resolve => {
        calls.push({
          batches,
          answer: (outcomes = batches.map((_, i) => ({ kind: 'stored', id: `${calls.length}-${i}` }))) =>
            resolve(outcomes),
        })
      }),
  }
  return { store, calls }
}

/** Longer than a flush lets no other begin. */
const ALONE_MS = 5

const turn = async (): Promise<void> => {
  for (let turns = 0; turns < 3; turns++) await new Promise(resolve => setImmediate(resolve))
}

/** Timers that only advance when the test says so: how busy the machine is does not matter. */
function useFakeTimers(): Disposable {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  return { [Symbol.dispose]: () => void vi.useRealTimers() }
}

/** Until another flush may have begun, with fake timers. */
function afterAlone(): Promise<void> {
  vi.advanceTimersByTime(ALONE_MS)
  return turn()
}

/** Where a test names no client, all samples are of one. */
class OneClientBatcher extends Batcher {
  readonly #share = { used: 0 }
  override submit(subBatches: readonly SubBatch[], share: Share = this.#share) {
    return super.submit(subBatches, share)
  }
}

function createBatcher(
  store: Pick<GatewayStore, 'append'>,
  options: { queueSamplesMax?: number; timeoutMs?: number } = {},
) {
  const failures: FlushFailure[] = []
  const flushes: number[] = []
  const batcher = new OneClientBatcher({
    store,
    queueSamplesMax: 200_000,
    timeoutMs: 60_000,
    onFailure: reason => failures.push(reason),
    onFlush: samples => flushes.push(samples),
    ...options,
  })
  return { batcher, failures, flushes }
}

const REFUSED: AppendOutcome = { kind: 'failed', error: new StoreError('no', { kind: 'refused' }) }

describe('batching', () => {
  test('an entry has the traces of its requests, and no traces field when there are none', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), isSampled: false }
    const recorded = { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16), isSampled: true }
    void batcher.submit([subBatch(0, 1), subBatch(1, 1)])
    void batcher.submit([{ ...subBatch(0, 2), trace }])
    void batcher.submit([{ ...subBatch(0, 3), trace: recorded }])
    await turn()
    expect(calls[0]?.batches.map(({ partition, traces }) => [partition, traces])).toEqual([
      [0, packTraces([recorded, trace])],
      [1, undefined],
    ])
  })

  test('samples that arrive in one turn of the event loop become one flush with one entry per partition', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    const answers = [batcher.submit([subBatch(1, 1), subBatch(2, 2)]), batcher.submit([subBatch(1, 3)])]
    await turn()
    expect(calls).toHaveLength(1)
    expect(calls[0]?.batches).toEqual([
      {
        partition: 1,
        count: 2,
        samples: packSamples([
          { key: 'k1', value: 1, timestamp: 1 },
          { key: 'k1', value: 3, timestamp: 1 },
        ]),
      },
      { partition: 2, count: 1, samples: packSamples([{ key: 'k2', value: 2, timestamp: 1 }]) },
    ])
    calls[0]?.answer()
    expect(await Promise.all(answers)).toEqual([
      [
        { kind: 'stored', id: '1-0' },
        { kind: 'stored', id: '1-1' },
      ],
      [{ kind: 'stored', id: '1-0' }],
    ])
  })

  test('an entry closes at 1,000 samples, and no sub-batch is split', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    for (const count of [600, 400, 1, 999, 5000, 1]) void batcher.submit([subBatch(1, 0, count)])
    await turn()
    expect(calls[0]?.batches.map(({ count }) => count)).toEqual([1000, 1000, 5000, 1])
  })

  test('the sub-batch of a request with an Idempotency-Key is an entry of its own, in order of arrival', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    const once = { request: 'r', ttlMs: 1 }
    for (const one of [
      subBatch(1, 1),
      { ...subBatch(1, 2), once },
      { ...subBatch(1, 3), once },
      subBatch(1, 4),
      subBatch(1, 5),
    ]) {
      void batcher.submit([one])
    }
    await turn()
    expect(calls).toHaveLength(1)
    expect(calls[0]?.batches.map(valuesOf)).toEqual([[1], [2], [3], [4, 5]])
    expect(calls[0]?.batches.map(batch => batch.once)).toEqual([undefined, once, once, undefined])
  })

  test('few samples wait for those that arrive in the next turn of the event loop', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    void batcher.submit([subBatch(1, 1)])
    await new Promise(resolve => setImmediate(resolve))
    void batcher.submit([subBatch(1, 2)])
    await turn()
    expect(calls.map(({ batches }) => batches.map(valuesOf))).toEqual([[[1, 2]]])
  })

  test('a thousand samples wait for no others', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    void batcher.submit([subBatch(1, 1, 1000)])
    await new Promise(resolve => setImmediate(resolve))
    expect(calls).toHaveLength(1)
  })

  test('a request without samples resolves without the store', async () => {
    const { store, calls } = createSlowStore()
    expect(await createBatcher(store).batcher.submit([])).toEqual([])
    await turn()
    expect(calls).toHaveLength(0)
  })

  test('a partition is in one flush at a time, and samples that arrive meanwhile are gathered', async () => {
    using _timers = useFakeTimers()
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    void batcher.submit([subBatch(1, 1)])
    await turn()
    void batcher.submit([subBatch(1, 2)])
    await turn()
    void batcher.submit([subBatch(1, 3), subBatch(2, 4)])
    await turn()
    expect(calls).toHaveLength(1)
    await afterAlone()
    // Partition 2 does not wait for partition 1.
    expect(calls.map(({ batches }) => batches.map(({ partition }) => partition))).toEqual([[1], [2]])
    calls[0]?.answer()
    await afterAlone()
    expect(calls[2]?.batches.map(valuesOf)).toEqual([[2, 3]])
  })

  test('samples that arrive soon after a flush began are one flush with all until it ends', async () => {
    using _timers = useFakeTimers()
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    for (let partition = 0; partition < 6; partition++) {
      void batcher.submit([subBatch(partition, 1)])
      await turn()
    }
    expect(calls).toHaveLength(1)
    calls[0]?.answer()
    await turn()
    expect(calls[1]?.batches.map(({ partition }) => partition)).toEqual([1, 2, 3, 4, 5])
  })

  test('at most four flushes are in progress', async () => {
    using _timers = useFakeTimers()
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    for (let partition = 0; partition < 6; partition++) {
      void batcher.submit([subBatch(partition, 1)])
      await afterAlone()
    }
    expect(calls).toHaveLength(4)
    calls[2]?.answer()
    await turn()
    expect(calls[4]?.batches.map(({ partition }) => partition)).toEqual([4, 5])
  })
})

describe('failures', () => {
  test('each sub-batch gets the outcome of its own entry', async () => {
    const { store, calls } = createSlowStore()
    const { batcher, failures } = createBatcher(store)
    const answer = batcher.submit([subBatch(1, 1), subBatch(2, 2), subBatch(3, 3)])
    await turn()
    const outcomes: AppendOutcome[] = [{ kind: 'backlog-full', backlog: 9 }, REFUSED, { kind: 'stored', id: '7-0' }]
    calls[0]?.answer(outcomes)
    expect(await answer).toEqual(outcomes)
    expect(failures).toEqual(['backlog-full', 'refused'])
  })

  test('an append that rejects is a bug, not an outage, and the batcher goes on', async () => {
    const error = new TypeError('bug')
    const { batcher, failures } = createBatcher({ append: () => Promise.reject(error) })
    expect(await batcher.submit([subBatch(1, 1)])).toEqual([{ kind: 'crashed', error }])
    expect(failures).toEqual(['internal'])
    expect(batcher.samples).toBe(0)
  })

  test('requests are rejected while the queue is full, and accepted again when it has room', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store, { queueSamplesMax: 100 })
    const first = batcher.submit([subBatch(1, 0, 60)])
    expect(await batcher.submit([subBatch(2, 0, 41)])).toEqual([{ kind: 'rejected' }])
    const second = batcher.submit([subBatch(2, 0, 40)])
    await turn()
    calls[0]?.answer()
    expect((await first)[0]?.kind).toBe('stored')
    expect((await second)[0]?.kind).toBe('stored')
    // Larger than the queue, which is empty.
    void batcher.submit([subBatch(1, 0, 101)])
    await turn()
    expect(calls[1]?.batches[0]?.count).toBe(101)
  })

  test('a store that does not respond delays a request by the timeout at most, and gets no further flush before it responds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const { store, calls } = createSlowStore()
      const { batcher, failures } = createBatcher(store, { timeoutMs: 2000 })
      const sent = batcher.submit([subBatch(1, 1)])
      await turn()
      const behind = batcher.submit([subBatch(1, 2)])
      vi.advanceTimersByTime(2000)
      expect(await sent).toMatchObject([{ kind: 'failed', error: { kind: 'unknown' } }])
      expect(await behind).toEqual([{ kind: 'rejected' }])
      expect(await batcher.submit([subBatch(1, 3)])).toEqual([{ kind: 'rejected' }])
      expect(failures).toEqual(['timeout'])

      // Another partition may be on another node.
      const other = batcher.submit([subBatch(2, 4)])
      await turn()
      calls[1]?.answer()
      expect((await other)[0]?.kind).toBe('stored')

      // A late response does not change outcomes that were already delivered.
      calls[0]?.answer([REFUSED])
      await turn()
      expect(failures).toEqual(['timeout'])
      expect(await sent).toMatchObject([{ error: { message: 'the store did not respond before the timeout' } }])
      const recovered = batcher.submit([subBatch(1, 5)])
      await turn()
      calls[2]?.answer()
      expect((await recovered)[0]?.kind).toBe('stored')
      expect(batcher.samples).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  test('when all flushes are overdue, requests are rejected at once', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const { store, calls } = createSlowStore()
      const { batcher } = createBatcher(store, { timeoutMs: 2000 })
      const sent: Promise<unknown>[] = []
      for (let partition = 0; partition < 4; partition++) {
        sent.push(batcher.submit([subBatch(partition, 1)]))
        await turn()
        vi.advanceTimersByTime(ALONE_MS)
      }
      const waiting = batcher.submit([subBatch(5, 1)])
      vi.advanceTimersByTime(2000)
      await Promise.all(sent)
      expect(await waiting).toEqual([{ kind: 'rejected' }])
      expect(await batcher.submit([subBatch(6, 1)])).toEqual([{ kind: 'rejected' }])
      for (const call of calls) call.answer()
      await turn()
      void batcher.submit([subBatch(6, 1)])
      await turn()
      expect(calls).toHaveLength(5)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('stopping', () => {
  test('drain waits for accepted samples and rejects new ones', async () => {
    const { store, calls } = createSlowStore()
    const { batcher } = createBatcher(store)
    const taken = batcher.submit([subBatch(1, 1)])
    let isDrained = false
    const drained = batcher.drain().then(() => {
      isDrained = true
    })
    expect(await batcher.submit([subBatch(1, 2)])).toEqual([{ kind: 'rejected' }])
    await turn()
    expect(isDrained).toBe(false)
    calls[0]?.answer()
    expect((await taken)[0]?.kind).toBe('stored')
    await drained
  })

  test('an empty batcher drains at once', async () => {
    await createBatcher(createSlowStore().store).batcher.drain()
  })
})

describe('any behaviour of the store', () => {
  interface Step {
    readonly subBatches: readonly { readonly partition: number; readonly count: number }[]
    readonly pauseMs: number
  }
  const steps = fc.array(
    fc.record<Step>({
      subBatches: fc.uniqueArray(fc.record({ partition: fc.nat(3), count: fc.integer({ min: 1, max: 700 }) }), {
        selector: ({ partition }) => partition,
        maxLength: 3,
      }),
      pauseMs: fc.constantFrom(0, 0, 1, ALONE_MS),
    }),
    { maxLength: 25 },
  )
  /** How the store handles one flush: after how many ms it responds, and what it rejects. */
  const behaviours = fc.array(
    fc.record({ delayMs: fc.constantFrom(0, 1, ALONE_MS), refuses: fc.array(fc.boolean(), { maxLength: 4 }) }),
    {
      minLength: 1,
      maxLength: 30,
    },
  )

  test('exactly the samples reported as stored are in the store, once and in the order of their partition', async () => {
    await fc.assert(
      fc.asyncProperty(steps, behaviours, async (requests, plan) => {
        const memory = createMemoryStore({ partitions: 4 })
        const order = new Map<number, number[]>()
        let call = 0
        let underWay = 0
        const { batcher } = createBatcher({
          async append(batches) {
            expect(++underWay).toBeLessThanOrEqual(4)
            const { delayMs = 0, refuses = [] } = plan[call++ % plan.length] ?? {}
            await (delayMs === 0 ? turn() : pause(delayMs))
            const outcomes: AppendOutcome[] = []
            for (const [i, batch] of batches.entries()) {
              if (refuses[i % Math.max(1, refuses.length)] === true) {
                outcomes.push(REFUSED)
                continue
              }
              outcomes.push(...(await memory.gateway.append([batch])))
              order.set(batch.partition, [...(order.get(batch.partition) ?? []), ...valuesOf(batch)])
            }
            underWay--
            return outcomes
          },
        })
        let next = 0
        const stored = new Map<number, number[]>()
        const answers: Promise<void>[] = []
        for (const { subBatches, pauseMs } of requests) {
          const mine = subBatches.map(({ partition, count }) => {
            const from = next
            next += count
            return subBatch(partition, from, count)
          })
          answers.push(
            batcher.submit(mine).then((outcomes: readonly SubBatchOutcome[]) => {
              expect(outcomes).toHaveLength(mine.length)
              outcomes.forEach(({ kind }, i) => {
                const { partition, samples } = mine[i] ?? subBatch(0, 0, 0)
                if (kind !== 'stored') return
                stored.set(partition, [...(stored.get(partition) ?? []), ...valuesOf({ samples: `[${samples}]` })])
              })
            }),
          )
          if (pauseMs > 0) await pause(pauseMs)
        }
        await batcher.drain()
        await Promise.all(answers)
        expect(batcher.samples).toBe(0)
        for (let partition = 0; partition < 4; partition++) {
          const found = order.get(partition) ?? []
          // Values ascend in order of arrival.
          expect(found).toEqual([...found].sort((a, b) => a - b))
          expect(found).toEqual([...(stored.get(partition) ?? [])].sort((a, b) => a - b))
        }
      }),
      { numRuns: 60 },
    )
  })
})
