import { AssertionError } from 'node:assert/strict'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import { systemClock } from '@tidemark/shared/runtime/clock'
import type { EntryId } from '@tidemark/shared/sample/receipt'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/analyzer'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { type Analysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { packSamples } from '@tidemark/testkit/samples'
import { pino } from 'pino'
import { type Counter, Registry } from 'prom-client'
import { afterEach, describe, expect, test } from 'vitest'
import { RowMemory } from '../judging/row-memory.ts'
import { createAnalyzerMetrics } from '../metrics.ts'
import { ReadLoop } from '../reading/read-loop.ts'
import { PartitionWorker, type Rules, type WorkerSettings } from './partition-worker.ts'
import { RollbackWatch } from './rollback-watch.ts'
import { RunLimit } from './run-limit.ts'
import { createYield } from './yielding.ts'

const SETTINGS: WorkerSettings = {
  ...VERDICT_DEFAULTS,
  batchSamplesMax: 10,
  keysMax: 100,
  verdictsKept: 1000,
  alertWaitMs: 0,
  keyIdleTtlMs: 0,
  aggregates: true,
}
const LEASE = { partition: 0, token: 'me:1' }
const TTL_MS = 60_000

const cleanup: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close()
})

function fixedRules(current: RuleSet): Rules {
  return { current, refreshed: async () => current }
}

/** Overrides methods of the worker's store with faults. */
type Sabotage = (store: AnalyzerStore) => Partial<AnalyzerStore>

async function startWorker(
  memory: MemoryStore,
  {
    sabotage = () => ({}),
    onError = () => {},
    ...rest
  }: {
    sabotage?: Sabotage
    lease?: typeof LEASE
    settings?: Partial<WorkerSettings>
    runs?: RunLimit
    rules?: RuleSet
    onError?: (error: unknown) => void
  } = {},
) {
  const lease = rest.lease ?? LEASE
  const connected = memory.connect().analyzer
  const store: AnalyzerStore = { ...connected, ...sabotage(connected) }
  await store.acquireLease(lease.partition, lease.token, TTL_MS)
  const metrics = createAnalyzerMetrics(new Registry())
  const reading = new ReadLoop({ store, metrics, logFailure: () => {}, clock: systemClock })
  const worker = new PartitionWorker({
    lease,
    store,
    keys: memory.keys,
    metrics,
    log: pino({ level: 'error', hooks: { logMethod: ([fields]) => onError((fields as { err?: unknown }).err) } }),
    logFailure: () => {},
    reading,
    clock: systemClock,
    rollbacks: new RollbackWatch(),
    memory: new RowMemory({ bytesMax: Number.POSITIVE_INFINITY }),
    runs: rest.runs ?? new RunLimit({ bytesMax: Number.POSITIVE_INFINITY }),
    rules: fixedRules(rest.rules ?? new RuleSet(EMPTY_DOCUMENT)),
    settings: { ...SETTINGS, ...rest.settings },
    holdsLease: () => true,
    yieldToOthers: createYield(),
  })
  cleanup.push(
    () => reading[Symbol.asyncDispose](),
    () => worker.stop(),
  )
  return { worker, metrics, store }
}

/** Appends values of key `k` like a gateway, one entry per list. */
async function append(memory: MemoryStore, ...entries: readonly (readonly number[])[]): Promise<EntryId[]> {
  const batches = entries.map(values => ({
    partition: 0,
    samples: packSamples(values.map(value => ({ key: 'k', value, timestamp: value }))),
    count: values.length,
  }))
  const outcomes = await memory.gateway.append(batches)
  return outcomes.flatMap(outcome => (outcome.kind === 'stored' ? [outcome.id] : []))
}

async function drained(memory: MemoryStore): Promise<void> {
  await eventually(async () => expect((await memory.gateway.progress([0]))[0]?.backlog).toBe(0))
}

async function lastAnalysis(memory: MemoryStore): Promise<Analysis> {
  const [text] = await memory.gateway.lastAnalyses([{ partition: 0, key: 'k' }])
  return JSON.parse(text ?? 'null')
}

/** Returns the key's last analysis if exactly `values` were analysed, in this order. */
function expected(values: readonly number[]) {
  return oracleAnalysis(
    'k',
    values.map(value => ({ value, timestamp: value })),
    SETTINGS,
  )
}

async function alertsOf(memory: MemoryStore) {
  const found = await Promise.all(
    (['firing', 'resolved'] as const).map(state => memory.alerts.list(0, { state, count: 100 })),
  )
  const parts = await memory.alerts.read(
    0,
    found.flat().map(({ id }) => id),
  )
  return parts.flatMap(one => (one === null ? [] : [one.opening]))
}

async function countOf(counter: Counter<string>, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const { values } = await counter.get()
  return values.find(one => Object.entries(labels).every(([name, value]) => one.labels[name] === value))?.value ?? 0
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}

describe('a worker', () => {
  test('analyses entries and commits the result', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { metrics } = await startWorker(memory)
    await append(memory, [1], [2, 3])
    await append(memory, [4])
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(4)))
    expect((await metrics.samplesAnalysed.get()).values[0]?.value).toBe(4)
    expect(memory.inspect.pendingIds(0)).toEqual([])
    // Kept for their receipts.
    expect(memory.inspect.streamIds(0)).toHaveLength(3)
  })

  test('starts with the entries that its predecessor left pending, and keeps the order', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    await memory.analyzer.loadCheckpoint(0)
    await append(memory, [1], [2], [3])
    await memory.analyzer.read([0], { count: 2, blockMs: 0 })
    await startWorker(memory)
    await append(memory, [4])
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(4)))
  })

  test('processes more pending entries than one page holds', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    await memory.analyzer.loadCheckpoint(0)
    await append(memory, ...upTo(450).map(value => [value]))
    await memory.analyzer.read([0], { count: 1000, blockMs: 0 })
    await startWorker(memory)
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(450)))
  })

  test('continues from the windows in Redis', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const first = await startWorker(memory)
    await append(memory, upTo(40))
    await drained(memory)
    await first.worker.stop()
    await memory.analyzer.releaseLease(LEASE)
    await startWorker(memory, { lease: { partition: 0, token: 'other:2' } })
    await append(memory, [41])
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(41)))
  })

  test('keeps fewer windows than keys without losing samples', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { worker } = await startWorker(memory, { settings: { keysMax: 3 } })
    const keys = upTo(20).map(i => `key ${i}`)
    for (let round = 1; round <= 5; round++) {
      const samples = packSamples(keys.map(key => ({ key, value: round, timestamp: round })))
      await memory.gateway.append([{ partition: 0, samples, count: keys.length }])
    }
    await drained(memory)
    expect(worker.keyCount).toBeLessThanOrEqual(3)
    for (const analysis of await memory.gateway.lastAnalyses(keys.map(key => ({ partition: 0, key })))) {
      expect(JSON.parse(analysis ?? 'null')).toMatchObject({ value: 5, count: 5, window: 4 })
    }
  })

  test('retries a commit whose response was lost, and applies it once', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    let sends = 0
    const { metrics } = await startWorker(memory, {
      sabotage: store => ({
        async commit(lease, commit) {
          const outcome = await store.commit(lease, commit)
          if (++sends % 2 === 1) throw new StoreError('the response was lost', { kind: 'unknown' })
          return outcome
        },
      }),
    })
    await append(memory, [1], [2])
    await drained(memory)
    await append(memory, [3])
    await drained(memory)
    await eventually(async () => {
      expect((await metrics.samplesAnalysed.get()).values[0]?.value).toBe(3)
    })
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(3)))
    const results = (await metrics.commits.get()).values
    expect(results.find(({ labels }) => labels.result === 'already')?.value).toBeGreaterThan(0)
  })

  test('retries a commit that never arrived', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    let sends = 0
    await startWorker(memory, {
      sabotage: store => ({
        async commit(lease, commit) {
          if (++sends % 3 !== 0) throw new StoreError('no connection', { kind: 'refused' })
          return store.commit(lease, commit)
        },
      }),
    })
    await append(memory, [1], [2])
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(2)))
  })

  test('writes nothing once another owner has the lease', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { worker } = await startWorker(memory)
    await append(memory, [1])
    await drained(memory)
    await memory.analyzer.releaseLease(LEASE)
    await memory.analyzer.acquireLease(0, 'other:2', TTL_MS)
    await append(memory, [2])
    await eventually(() => expect(worker.isLost).toBe(true))
    expect(await lastAnalysis(memory)).toMatchObject(expected([1]))
    await worker.stop()
    await startWorker(memory, { lease: { partition: 0, token: 'other:2' } })
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2]))
  })

  test('recovers an entry that a former owner read, and keeps the order', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { promise: stolen, resolve: steal } = Promise.withResolvers<void>()
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
    const { metrics } = await startWorker(memory, {
      sabotage: store => ({
        async read(partitions, options) {
          // A process that lost the partition long ago reads the entry before this one does.
          reach()
          await stolen
          return store.read(partitions, options)
        },
      }),
    })
    await reached
    await append(memory, [1], [2])
    expect(await memory.connect().analyzer.read([0], { count: 1, blockMs: 0 })).toHaveLength(1)
    steal()
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2]))
    const results = (await metrics.commits.get()).values
    expect(results.find(({ labels }) => labels.result === 'gap')?.value).toBe(1)
  })

  test('recovers the last entry that a former owner read, although no other one follows', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
    await startWorker(memory, {
      sabotage: store => ({
        read(partitions, options) {
          reach()
          return store.read(partitions, { ...options, blockMs: 1 })
        },
      }),
    })
    await reached
    const zombie = memory.connect().analyzer
    const taken = zombie.read([0], { count: 1, blockMs: 1000 })
    await append(memory, [1])
    // One of the two readers gets it; the worker must analyse it in any case.
    await taken
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected([1]))
  })

  test('recovers the entries that a failed read delivered', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    let reads = 0
    await startWorker(memory, {
      sabotage: store => ({
        async read(partitions, options) {
          const found = await store.read(partitions, options)
          if (found.length > 0 && ++reads === 1) throw new StoreError('the connection ended', { kind: 'unknown' })
          return found
        },
      }),
    })
    await append(memory, [1], [2])
    await append(memory, [3])
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(3)))
  })

  test('makes unreadable entries dead letters and goes on', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { metrics } = await startWorker(memory)
    await append(memory, [1])
    const poison = memory.inspect.appendRaw(0, { s: '{"not":"an array"}', n: '1', o: '1' })
    const foreign = memory.inspect.appendRaw(0, { something: 'else' })
    await append(memory, [2])
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2]))
    expect(memory.inspect.deadLetters(0)).toMatchObject([{ id: poison }, { id: foreign }])
    expect((await metrics.deadLetters.get()).values[0]?.value).toBe(2)
  })

  test('makes a poison entry a dead letter after repeated crashes, and analyses the others', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const ids = await append(memory, [1], [2], [666], [4])
    const poison = ids[2] ?? ''
    let crashes = 0
    // An owner crashes when it would commit the entry: the commit never arrives.
    for (let owner = 0; memory.inspect.deadLetters(0).length === 0; owner++) {
      expect(owner).toBeLessThan(10)
      const lease = { partition: 0, token: `owner ${owner}` }
      const { promise: ended, resolve: end } = Promise.withResolvers<string>()
      await startWorker(memory, {
        lease,
        sabotage: store => ({
          async commit(...args) {
            const isPoison = args[1].entries.includes(poison) && args[1].deadLetters.length === 0
            if (isPoison) end('crashed')
            return isPoison ? new Promise<never>(() => undefined) : store.commit(...args)
          },
        }),
      })
      const outcome = await Promise.race([ended, drained(memory).then(() => 'drained')])
      if (outcome === 'crashed') {
        crashes++
        // It crashed, so it cannot withdraw its attempt.
        cleanup.length = 0
        await memory.analyzer.releaseLease(lease)
      }
    }
    await drained(memory)
    // Once in a batch that was new; then three times as the first of the pending entries.
    expect(crashes).toBe(4)
    expect(memory.inspect.deadLetters(0)).toMatchObject([{ id: poison, reason: expect.stringContaining('3 times') }])
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2, 4]))
    expect((await memory.gateway.progress([0]))[0]).toMatchObject({
      accepted: 4,
      analysed: 3,
      dead: 1,
      lost: 0,
      backlog: 0,
    })
  })

  test('does not regard an entry as poison because the store fails while it is processed', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    await memory.analyzer.loadCheckpoint(0)
    await append(memory, [1], [2])
    await memory.analyzer.read([0], { count: 10, blockMs: 0 })
    let failures = 0
    await startWorker(memory, {
      sabotage: store => ({
        async loadWindows(...args) {
          if (++failures <= 6) throw new StoreError('no response', { kind: 'unknown' })
          return store.loadWindows(...args)
        },
      }),
    })
    await drained(memory)
    expect(memory.inspect.deadLetters(0)).toEqual([])
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2]))
  })

  test.each([
    new TypeError("Cannot read properties of undefined (reading 'x')"),
    new AssertionError({ message: 'a commit leads to its last entry' }),
  ])('makes an entry a dead letter after a bug (%s) and does not repeat its commit for ever', async bug => {
    const memory = createMemoryStore({ partitions: 1 })
    const [, bad = ''] = await append(memory, [1], [666], [3])
    let sent = 0
    const logged: unknown[] = []
    const { metrics } = await startWorker(memory, {
      settings: { batchSamplesMax: 1 },
      onError: error => logged.push(error),
      sabotage: store => ({
        async commit(lease, commit) {
          const isBad = commit.entries.includes(bad) && commit.deadLetters.length === 0
          if (isBad) sent++
          if (isBad) throw bug
          return store.commit(lease, commit)
        },
      }),
    })
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 3]))
    expect(memory.inspect.deadLetters(0)).toMatchObject([
      { id: bad, reason: expect.stringContaining(`3 times while processing it; the last error: ${bug.name}`) },
    ])
    // Once new, then three times pending.
    expect(sent).toBe(4)
    expect(logged.filter(error => error === bug)).toHaveLength(4)
    expect(await countOf(metrics.faults)).toBe(4)
    expect(await countOf(metrics.storeErrors)).toBe(0)
    expect(await countOf(metrics.commits, { result: 'failed' })).toBe(0)
  })

  test('does not keep others waiting for memory while its commit waits for an operator', async () => {
    const memory = createMemoryStore({ partitions: 2 })
    // Room for one run at a time.
    const runs = new RunLimit({ bytesMax: 1 })
    let isFixed = false
    await startWorker(memory, {
      runs,
      sabotage: store => ({
        async commit(lease, commit) {
          if (!isFixed) throw new StoreError('the key is of another type', { kind: 'fatal' })
          return store.commit(lease, commit)
        },
      }),
    })
    await append(memory, [1])
    await startWorker(memory, { runs, lease: { partition: 1, token: 'other:2' } })
    const samples = packSamples([{ key: 'k', value: 1, timestamp: 1 }])
    await memory.gateway.append([{ partition: 1, samples, count: 1 }])
    await eventually(async () => expect((await memory.gateway.progress([1]))[0]?.backlog).toBe(0))
    isFixed = true
    await drained(memory)
  })

  test('takes fewer samples at once when a rule makes windows large', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const document = withRule(EMPTY_DOCUMENT, { id: 'wide', pattern: '*', window: 500 }, { who: 'a', why: 'b', at: 0 })
    const commits: number[] = []
    await memory.analyzer.loadCheckpoint(0)
    await append(memory, ...Array.from({ length: 50 }, () => upTo(100)))
    await startWorker(memory, {
      settings: { batchSamplesMax: 8000 },
      rules: new RuleSet(document),
      sabotage: store => ({
        commit(lease, commit) {
          commits.push(commit.analysed)
          return store.commit(lease, commit)
        },
        read: (partitions, { blockMs }) => store.read(partitions, { count: 50, blockMs }),
      }),
    })
    await drained(memory)
    // 16 MiB of rows of 8.3 KiB.
    expect(Math.max(...commits)).toBeLessThanOrEqual(2000)
    expect(Math.max(...commits)).toBeGreaterThan(1500)
  })

  test('acknowledges once what is delivered again, also if the store refuses that at first', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const acknowledged: (readonly EntryId[])[] = []
    const { worker } = await startWorker(memory, {
      sabotage: store => ({
        async acknowledge(partition, ids) {
          acknowledged.push(ids)
          if (acknowledged.length === 1) throw new StoreError('BUSY', { kind: 'refused' })
          return store.acknowledge(partition, ids)
        },
      }),
    })
    const [first = ''] = await append(memory, [1])
    await drained(memory)
    worker.offer([{ id: first, samples: '[]', count: 1, offset: 0 }])
    await eventually(() => expect(acknowledged).toEqual([[first], [first]]))
    await append(memory, [2])
    await drained(memory)
    expect(acknowledged).toHaveLength(2)
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2]))
  })

  test('recovers from a bug that has nothing to do with an entry', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    let bugs = 0
    const { metrics } = await startWorker(memory, {
      sabotage: store => ({
        async expiredTimers(...args) {
          if (++bugs <= 2) throw new RangeError('Invalid array length')
          return store.expiredTimers(...args)
        },
      }),
    })
    await append(memory, [1], [2])
    await drained(memory)
    expect(await countOf(metrics.faults)).toBeGreaterThan(0)
    expect(memory.inspect.deadLetters(0)).toEqual([])
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2]))
  })

  test.each(['expiredTimers', 'loadWindows', 'acknowledge', 'backlogs', 'ruleCounts'] as const)(
    'keeps its windows when the store does not fulfil %s',
    async method => {
      const memory = createMemoryStore({ partitions: 1 })
      let failures = 0
      let isFailing = false
      const { metrics, worker } = await startWorker(memory, {
        sabotage: store => ({
          async [method](...args: never[]) {
            if (isFailing && ++failures <= 3) throw new StoreError('OOM', { kind: 'refused' })
            return (store[method] as (...args: never[]) => Promise<never>)(...args)
          },
        }),
      })
      await append(memory, [1])
      await drained(memory)
      await eventually(() => expect(worker.keyCount).toBe(1))
      const recoveries = await countOf(metrics.recoveries)
      isFailing = true
      const [outcome] = await memory.gateway.append([
        { partition: 0, samples: packSamples([{ key: 'other', value: 2, timestamp: 2 }]), count: 1 },
      ])
      expect(outcome?.kind).toBe('stored')
      await append(memory, [3])
      await drained(memory)
      if (method === 'expiredTimers' || method === 'loadWindows') {
        await eventually(() => expect(failures).toBeGreaterThan(0))
      }
      await drained(memory)
      expect(await lastAnalysis(memory)).toMatchObject(expected([1, 3]))
      expect(await countOf(metrics.recoveries)).toBe(recoveries)
      expect(await countOf(metrics.windowsLoaded)).toBe(2)
    },
  )

  test('counts samples that are missing from the stream as lost', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const [, gone] = await append(memory, [1], [2, 3], [4])
    memory.inspect.deleteEntry(0, gone ?? '')
    const { metrics } = await startWorker(memory)
    await drained(memory)
    await eventually(async () => expect((await metrics.samplesLost.get()).values[0]?.value).toBe(2))
    expect((await memory.gateway.progress([0]))[0]).toMatchObject({
      accepted: 4,
      analysed: 2,
      lost: 2,
      dead: 0,
      backlog: 0,
    })
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 4]))
  })

  test.each(['unknown', 'refused', 'fatal'] as const)(
    'stops at once although its commit fails (%s), and the next owner applies it',
    async kind => {
      const memory = createMemoryStore({ partitions: 1 })
      let sends = 0
      const commit = async (): Promise<never> => {
        sends++
        throw new StoreError('no response', { kind })
      }
      const { worker } = await startWorker(memory, { sabotage: () => ({ commit }) })
      await append(memory, [1, 2, 3])
      // The pauses between two attempts are long then.
      await eventually(() => expect(sends).toBeGreaterThan(6))
      const before = sends
      await worker.stop()
      expect(sends - before).toBeLessThanOrEqual(2)
      await memory.connect().analyzer.releaseLease(LEASE)

      await startWorker(memory, { lease: { ...LEASE, token: 'other:1' } })
      await drained(memory)
      expect(await lastAnalysis(memory)).toMatchObject({ value: 3, count: 3 })
    },
  )

  test('commits its current batch when it stops, and leaves the rest pending for the next owner', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    const { promise: reached, resolve: atWork } = Promise.withResolvers<void>()
    const { worker } = await startWorker(memory, {
      settings: { batchSamplesMax: 1 },
      sabotage: store => ({
        async commit(lease, commit) {
          atWork()
          await held
          return store.commit(lease, commit)
        },
      }),
    })
    await append(memory, [1], [2], [3])
    await reached
    const stopped = worker.stop()
    release()
    await stopped
    expect(await lastAnalysis(memory)).toMatchObject(expected([1]))
    expect(await memory.analyzer.releaseLease(LEASE)).toBe(true)
    await startWorker(memory, { lease: { partition: 0, token: 'next:2' } })
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected(upTo(3)))
  })

  test.each(['loadCheckpoint', 'readPending', 'read'] as const)('stops while it waits for %s', async method => {
    const memory = createMemoryStore({ partitions: 1 })
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
    const { promise: held, resolve: release } = Promise.withResolvers<void>()
    const { worker } = await startWorker(memory, {
      sabotage: store => ({
        async [method](...args: never[]) {
          reach()
          await held
          return (store[method] as (...args: never[]) => Promise<never>)(...args)
        },
      }),
    })
    await reached
    const stopped = worker.stop()
    release()
    await stopped
  })

  test('keeps the verdicts of the newest samples only', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    await startWorker(memory, { settings: { verdictsKept: 5 } })
    const ids: EntryId[] = []
    for (const value of upTo(12)) {
      ids.push(...(await append(memory, [value])))
      await drained(memory)
    }
    expect(memory.inspect.verdictIds(0)).toEqual(ids.slice(-5))
    expect(memory.inspect.streamIds(0)).toEqual(ids.slice(-5))
  })

  test('keeps no verdicts with a limit of 0', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    await startWorker(memory, { settings: { verdictsKept: 0 } })
    await append(memory, [1], [2])
    await drained(memory)
    expect(memory.inspect.verdictIds(0)).toEqual([])
    expect(memory.inspect.streamIds(0)).toEqual([])
  })

  test('keeps no more verdicts than the limit, however often the owner changes', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const ids: EntryId[] = []
    for (const value of upTo(9)) {
      const lease = { partition: 0, token: `owner:${value}` }
      const { worker } = await startWorker(memory, { lease, settings: { verdictsKept: 4 } })
      ids.push(...(await append(memory, [value])))
      await drained(memory)
      await worker.stop()
      await memory.analyzer.releaseLease(lease)
    }
    expect(memory.inspect.verdictIds(0)).toEqual(ids.slice(-4))
  })

  test('keeps the verdicts that its predecessor left', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const first = await startWorker(memory)
    const [former = ''] = await append(memory, [1])
    await drained(memory)
    await first.worker.stop()
    await memory.analyzer.releaseLease(LEASE)
    await startWorker(memory, { lease: { partition: 0, token: 'next:2' } })
    const [newest = ''] = await append(memory, [2])
    await drained(memory)
    expect(memory.inspect.verdictIds(0)).toEqual([former, newest])
  })
})

describe("when the store's clock was ahead for a while", () => {
  const HOUR = 3_600_000
  const NOISE = [1, 3, 2, 4, 3, 1, 2, 4, 1, 3, 2, 4]
  const rule = {
    id: 'r',
    pattern: '*',
    samples_min: 5,
    influence: 'held',
    level_shift_after: 1000,
    silent: '1s',
    alert: { hold: '100ms', instant: 10 },
  }
  const rules = new RuleSet(withRule(EMPTY_DOCUMENT, rule, { who: 'ada', why: 'test', at: 0 }))

  /** A store whose clock is `aheadMs` ahead while `during` runs, and a worker on it. */
  async function afterJump(aheadMs: number, during: (memory: MemoryStore) => Promise<void>) {
    let ahead = aheadMs
    const memory = createMemoryStore({ partitions: 1, now: () => Date.now() + ahead })
    const { worker } = await startWorker(memory, { rules })
    await during(memory)
    await drained(memory)
    ahead = 0
    await memory.analyzer.acquireLease(0, LEASE.token, TTL_MS)
    return { memory, worker }
  }

  test.each([HOUR, 75 * 365 * 24 * HOUR])(
    'by %d ms, alerts open after their hold with times of now, and a silence is noticed',
    async aheadMs => {
      const { memory, worker } = await afterJump(aheadMs, store => append(store, ...NOISE.map(value => [value])).then())
      await eventually(() => expect(worker.idsAheadMs).toBeGreaterThan(aheadMs - 60_000))
      const begin = Date.now()
      await eventually(async () => {
        await append(memory, [14])
        expect((await alertsOf(memory)).map(({ cause }) => cause.kind)).toContain('anomaly')
      })
      await eventually(async () => expect((await alertsOf(memory)).map(({ cause }) => cause.kind)).toContain('silent'))
      for (const { opened_at, cause } of await alertsOf(memory)) {
        expect(opened_at).toBeLessThanOrEqual(Date.now())
        expect(opened_at).toBeGreaterThan(begin - 1000)
        if (cause.kind === 'silent') expect(cause.last_at).toBeLessThanOrEqual(Date.now())
      }
    },
  )

  test('ids are not ahead when the clock is right', async () => {
    const { memory, worker } = await afterJump(0, async store => void (await append(store, [1])))
    await drained(memory)
    expect(worker.idsAheadMs).toBe(0)
  })
})

describe('when the store lost its last commits', () => {
  const silent = { id: 'r', pattern: '*', silent: '1s' }
  const rules = new RuleSet(withRule(EMPTY_DOCUMENT, silent, { who: 'ada', why: 'test', at: 0 }))

  /** Reports the first commit by a timer as applied, as if the store had lost it soon after. */
  const losesTimer = (onLoss: () => void): Sabotage => {
    let isLost = false
    return store => ({
      commit(lease, commit) {
        if (isLost || commit.entries.length > 0) return store.commit(lease, commit)
        isLost = true
        onLoss()
        return Promise.resolve({ kind: 'ok', at: Date.now() })
      },
    })
  }

  test('an alert that only a timer had opened is opened again, although the checkpoint is the same', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { promise: isLost, resolve } = Promise.withResolvers<void>()
    const { metrics } = await startWorker(memory, { rules, sabotage: losesTimer(resolve) })
    await append(memory, [1])
    await isLost
    await append(memory, [2])
    await drained(memory)
    expect((await alertsOf(memory)).map(({ cause }) => cause.kind)).toEqual(['silent'])
    expect((await memory.alerts.list(0, { state: 'resolved', count: 10 })).length).toBe(1)
    expect(await lastAnalysis(memory)).toMatchObject({ count: 2 })
    expect(await countOf(metrics.recoveries)).toBe(2)
  })

  test('an attempt that its commit ended is no crash when the store loses that commit', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    await memory.analyzer.loadCheckpoint(0)
    await append(memory, [1])
    // A predecessor read it, and then crashed.
    await memory.analyzer.read([0], { count: 1, blockMs: 0 })
    const found: unknown[] = []
    let isLost = false
    const sabotage: Sabotage = store => ({
      async loadCheckpoint(partition) {
        const checkpoint = await store.loadCheckpoint(partition)
        found.push(checkpoint.attempt)
        return checkpoint
      },
      commit(lease, commit) {
        if (isLost) return store.commit(lease, commit)
        isLost = true
        return Promise.resolve({ kind: 'ok', at: Date.now() })
      },
    })
    await startWorker(memory, { sabotage })
    await eventually(() => expect(isLost).toBe(true))
    await append(memory, [2])
    await drained(memory)
    expect(found).toEqual([undefined, undefined])
    expect(await lastAnalysis(memory)).toMatchObject(expected([1, 2]))
  })
})

describe('keys have an end', () => {
  const idle = { settings: { keyIdleTtlMs: 1 } }
  const isGone = async (memory: MemoryStore) =>
    eventually(async () => expect(await memory.gateway.lastAnalyses([{ partition: 0, key: 'k' }])).toEqual([null]))
  const register = (memory: MemoryStore) => memory.keys.register([{ partition: 0, key: 'k', owner: 'one' }])
  const firing = async (memory: MemoryStore) => (await memory.alerts.count([0]))[0]?.firing

  test('an idle key is evicted once, and begins afresh when it returns', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { metrics, worker } = await startWorker(memory, idle)
    await register(memory)
    await append(memory, upTo(5))
    await drained(memory)
    await isGone(memory)
    expect(worker.keyCount).toBe(0)
    expect(await memory.keys.counts(['one'])).toEqual({ partitions: [{ keys: 0, evicted: 1 }], owners: [0] })
    expect(await countOf(metrics.keysEvicted, { reason: 'idle' })).toBe(1)
    await worker.stop()
    await startWorker(memory)
    await append(memory, [7])
    await drained(memory)
    expect(await lastAnalysis(memory)).toMatchObject(expected([7]))
  })

  test('a key that returns unregistered is evicted too, although a rule ignores its only sample', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const ignoring = { id: 'r', pattern: '*', ignore: [101] }
    const rules = new RuleSet(withRule(EMPTY_DOCUMENT, ignoring, { who: 'ada', why: 'test', at: 0 }))
    const { metrics } = await startWorker(memory, { ...idle, rules })
    await append(memory, [101])
    await drained(memory)
    await eventually(async () => expect(await countOf(metrics.keysEvicted, { reason: 'idle' })).toBe(1))
    expect(await memory.analyzer.loadWindows(0, ['k'])).toEqual([null])
  })

  test('an idle key with a firing alert stays, and a deletion ends both', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const { metrics } = await startWorker(memory, idle)
    await register(memory)
    await append(memory, [...Array.from({ length: 50 }, (_, n) => n % 3), 1e6])
    await drained(memory)
    expect(await firing(memory)).toBe(1)
    // The sweep looks at the key at least once in this time.
    await memory.keys.register([{ partition: 0, key: 'unused', owner: '' }])
    await eventually(async () => expect(await memory.keys.lookUp([{ partition: 0, key: 'unused' }])).toEqual(['new']))
    expect(await memory.keys.lookUp([{ partition: 0, key: 'k' }])).toEqual(['registered'])

    expect(await memory.keys.requestDeletion(0, 'd1', { key: 'k' })).toBe('requested')
    await isGone(memory)
    await eventually(async () =>
      expect(await memory.keys.deletionProgress(0, 'd1')).toEqual({ deleted: 1, isDone: true }),
    )
    expect(await firing(memory)).toBe(0)
    const [resolved] = await memory.alerts.list(0, { state: 'resolved', count: 10 })
    const [parts] = await memory.alerts.read(0, [resolved?.id ?? ''])
    expect(parts?.end).toMatchObject({ resolve_reason: 'no_samples', deleted: true, peak: { value: 1e6 } })
    expect((await memory.alerts.dueNotifications(0, 10)).alerts.map(({ id }) => id)).toContain(resolved?.id)
    expect(await countOf(metrics.keysEvicted, { reason: 'deleted' })).toBe(1)
  })

  test('a deletion waits for the samples before it, and removes all keys with a prefix', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const names = Array.from({ length: 2500 }, (_, n) => `${n % 2 === 0 ? 'edge' : 'other'}/${n}`)
    await memory.keys.register(names.map(key => ({ partition: 0, key, owner: '' })))
    await append(memory, [1, 2])
    await memory.keys.requestDeletion(0, 'd1', { key: 'k' })
    await memory.keys.requestDeletion(0, 'd2', { prefix: 'edge/' })
    await startWorker(memory)
    await eventually(async () => expect(await memory.keys.deletions(0)).toEqual([]))
    expect(await memory.gateway.lastAnalyses([{ partition: 0, key: 'k' }])).toEqual([null])
    expect((await memory.gateway.progress([0]))[0]).toMatchObject({ analysed: 2, backlog: 0 })
    expect(await memory.keys.deletionProgress(0, 'd2')).toEqual({ deleted: 1250, isDone: true })
    expect((await memory.keys.counts([])).partitions).toMatchObject([{ keys: 1250 }])
  })
})
