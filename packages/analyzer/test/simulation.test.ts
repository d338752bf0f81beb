import { Judge, type Judged } from '@tidemark/shared/detection/judge'
import { createRow, shapeOf } from '@tidemark/shared/detection/key-row'
import { EMPTY_DOCUMENT, withRule } from '@tidemark/shared/detection/rules/document'
import type { Policy } from '@tidemark/shared/detection/rules/policy'
import { RuleSet } from '@tidemark/shared/detection/rules/rule-set'
import type { Clock } from '@tidemark/shared/runtime/clock'
import { aborted } from '@tidemark/shared/runtime/lifecycle'
import { ENTRY_ID_ZERO, entryTimeMs } from '@tidemark/shared/sample/receipt'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import type { AnalyzerStore } from '@tidemark/shared/store/ports/analyzer'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Lease } from '@tidemark/shared/store/ports/lease'
import { VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { sideNamed } from '@tidemark/shared/verdict/kept-verdicts'
import { oracleAnalysis } from '@tidemark/testkit/oracle'
import { packSamples } from '@tidemark/testkit/samples'
import fc, { type Scheduler } from 'fast-check'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { Effects } from '../src/judging/effects.ts'
import { RowMemory } from '../src/judging/row-memory.ts'
import { createAnalyzerMetrics } from '../src/metrics.ts'
import { PartitionWorker } from '../src/partition/partition-worker.ts'
import { RollbackWatch } from '../src/partition/rollback-watch.ts'
import { RunLimit } from '../src/partition/run-limit.ts'
import { ReadLoop } from '../src/reading/read-loop.ts'

/**
 * Goal: every accepted sample is analysed once and in order, whatever the order in which the store
 * responds, and whichever requests fail before or after they took effect.
 *
 * Method: one partition and several owners one after the other, which are stopped, or lose their
 * lease unnoticed and go on as zombies. Every request to the store and every pause is a task of
 * fast-check's scheduler, which runs them in an order of its choice; time passes only by tasks. In
 * the end the faults cease, an owner drains the backlog, and the last analyses are compared with
 * the oracle's.
 *
 * TIDEMARK_SIMULATION_RUNS sets the number of seeds; a failure prints the seed and the path that
 * run it again.
 */
const RUNS = Number(process.env.TIDEMARK_SIMULATION_RUNS ?? 500)

const SETTINGS = {
  ...VERDICT_DEFAULTS,
  window: 12,
  windowMin: 3,
  batchSamplesMax: 4,
  keysMax: 2,
  verdictsKept: 20,
  alertWaitMs: 0,
}
const KEYS = ['a', 'b', 'c', 'd', 'e']
const log = pino({ level: 'silent' })

const CHANGE = { who: 'simulation', why: 'test', at: 0 }
/** The keys that the oracle models: no level shift, counter or range. */
const MODELLED = ['a', 'c']
/**
 * One key must not be silent, one accepts new levels, one has the defaults and a shadow rule, one
 * is a counter, and one has values that are ignored and out of range. The guard decides on the
 * alerts of all but the last.
 */
const DOCUMENT = [
  { id: 'heard', pattern: 'a', silent: '200s' },
  { id: 'shifting', pattern: 'b', level_shift_after: 2 },
  { id: 'counted', pattern: 'd', counter: true, window: 10, samples_min: 3, max: 2e4, silent: '200s' },
  { id: 'limited', pattern: 'e', min: 1, max: 500, unit: 'ms', ignore: [101], alert: { samples: 1 } },
  { id: 'tried', pattern: 'c', detector: 'mad', window: 10, samples_min: 3, shadow: true },
].reduce((document, rule) => withRule(document, rule, CHANGE), EMPTY_DOCUMENT)
const RULES = new RuleSet(DOCUMENT, SETTINGS)

/** The fate of a request to the store. */
const fate = fc.constantFrom('done', 'done', 'done', 'done', 'refused', 'response lost')

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('append'),
      keys: fc.array(fc.constantFrom(...KEYS), { minLength: 1, maxLength: 5 }),
      // The guard opens no alert in a key's first 50 samples.
      times: fc.constantFrom(1, 1, 10, 30),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('hand off') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('steal the lease') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('poison') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('time passes') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('acknowledge by hand'), place: fc.nat(5) }) },
)
const idleStep = fc.oneof(
  { weight: 1, arbitrary: step },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('time passes') }) },
)
interface Step {
  readonly kind: string
  readonly keys?: readonly string[]
  readonly times?: number
  readonly place?: number
}

interface Accepted {
  readonly key: string
  readonly value: number
  readonly timestamp: number
  /** The time of its entry. */
  readonly time: number
}

/** Mostly calm values, with ever greater spikes, which are news, and with new levels. */
function valueNumber(n: number): number {
  if (n % 11 === 10) return 1000 * 3 ** (n / 11)
  return (n % 3) + (n % 40 > 20 ? 100 : 0)
}

interface World {
  readonly memory: MemoryStore
  readonly scheduler: Scheduler
  readonly idleTtlMs: number
  /** The fate of the next request; once none is left, all succeed. */
  readonly nextFate: () => 'done' | 'refused' | 'response lost'
  readonly clock: Clock
}

/** The store as seen by a remote process. */
function remote({ memory, scheduler, nextFate }: World): AnalyzerStore {
  const store = memory.connect().analyzer
  const request =
    <A extends unknown[], T>(name: string, send: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      const fate = nextFate()
      await scheduler.schedule(Promise.resolve(), `${name}: ${fate}`)
      if (fate === 'refused') throw new StoreError(`${name} was refused`, { kind: 'refused' })
      const response = await send(...args)
      await scheduler.schedule(Promise.resolve(), `${name}: response`)
      if (fate === 'response lost') throw new StoreError(`the response to ${name} was lost`, { kind: 'unknown' })
      return response
    }
  return {
    ...store,
    loadCheckpoint: request('loadCheckpoint', store.loadCheckpoint),
    // Not counted here, but in partition-worker.test.ts: owners lose their leases so often that an
    // harmless entry may be processed three times in a row when that happens.
    noteAttempt: request('noteAttempt', async () => true),
    readPending: request('readPending', store.readPending),
    acknowledge: request('acknowledge', store.acknowledge),
    // A read that finds nothing returns at once: the scheduler does the waiting.
    read: request('read', (partitions, { count }) => store.read(partitions, { count, blockMs: 0 })),
    loadWindows: request('loadWindows', store.loadWindows),
    commit: request('commit', store.commit),
    backlogs: request('backlogs', store.backlogs),
    expiredTimers: request('expiredTimers', store.expiredTimers),
    ruleCounts: request('ruleCounts', store.ruleCounts),
  }
}

interface Owner {
  readonly worker: PartitionWorker
  readonly lease: Lease
  readonly reading: ReadLoop
}

async function newOwner(world: World, name: string): Promise<Owner> {
  const { memory, clock } = world
  const lease = { partition: 0, token: name }
  expect(await memory.analyzer.acquireLease(0, name, 1e9)).toBe(true)
  const store = remote(world)
  const metrics = createAnalyzerMetrics(new Registry())
  const reading = new ReadLoop({ store, metrics, logFailure: () => {}, clock })
  const worker = new PartitionWorker({
    lease,
    store,
    keys: memory.keys,
    metrics,
    log,
    logFailure: () => {},
    rollbacks: new RollbackWatch(),
    memory: new RowMemory({ bytesMax: Number.POSITIVE_INFINITY }),
    runs: new RunLimit({ bytesMax: Number.POSITIVE_INFINITY }),
    reading,
    clock,
    yieldToOthers: async () => {},
    settings: { ...SETTINGS, keyIdleTtlMs: world.idleTtlMs, aggregates: true },
    rules: { current: RULES, refreshed: async () => RULES },
    holdsLease: () => true,
  })
  return { worker, lease, reading }
}

async function simulate(
  scheduler: Scheduler,
  steps: readonly Step[],
  fates: readonly ReturnType<World['nextFate']>[],
  idleTtlMs = 0,
): Promise<void> {
  let now = 1
  const memory = createMemoryStore({ partitions: 1, now: () => now })
  await memory.analyzer.loadCheckpoint(0)
  const left = [...fates]
  const clock: Clock = {
    wallMs: () => now,
    monotonicMs: () => now,
    pause: async (_, signal) => {
      const over = scheduler.schedule(Promise.resolve(), 'pause')
      await (signal === undefined ? over : Promise.race([over, aborted(signal)]))
    },
    random: () => 0.5,
  }
  const world: World = { memory, scheduler, clock, idleTtlMs, nextFate: () => left.pop() ?? 'done' }
  const accepted: Accepted[] = []
  const zombies: Owner[] = []
  const everyone: Owner[] = []
  const poison = new Set<string>()
  let owner = await newOwner(world, 'owner 0')
  everyone.push(owner)

  async function replace(): Promise<void> {
    owner = await newOwner(world, `owner ${everyone.length}`)
    everyone.push(owner)
  }

  for (const { kind, keys = [], times = 1, place = 0 } of steps) {
    // Some of the pending tasks run now, the others during later steps.
    for (let i = 0; i < 6 && scheduler.count() > 0; i++) await scheduler.waitNext(1)
    // Keys must have the time to be evicted in between.
    for (let i = 0; i < 15 && idleTtlMs > 0; i++) await scheduler.waitNext(1)
    if (kind === 'append') {
      const samples = Array.from({ length: times }, () => keys)
        .flat()
        .map((key, i) => ({
          key,
          value: valueNumber(accepted.length + i),
          timestamp: accepted.length + i,
        }))
      const batch = { partition: 0, samples: packSamples(samples), count: samples.length }
      await memory.keys.register(keys.map(key => ({ partition: 0, key, owner: 'device' })))
      const [outcome] = await memory.gateway.append([batch])
      const time = outcome?.kind === 'stored' ? entryTimeMs(outcome.id) : Number.NaN
      accepted.push(...samples.map(sample => ({ ...sample, time })))
    } else if (kind === 'time passes') {
      now += 150_000
    } else if (kind === 'poison') {
      poison.add(memory.inspect.appendRaw(0, { s: 'not JSON' }))
    } else if (kind === 'acknowledge by hand') {
      const ids = memory.inspect.pendingIds(0).filter(id => !poison.has(id))
      await memory.analyzer.acknowledge(0, ids.slice(place, place + 1))
    } else if (kind === 'steal the lease') {
      await memory.analyzer.releaseLease(owner.lease)
      zombies.push(owner)
      await replace()
    } else {
      const stopping = owner.worker.stop()
      await scheduler.waitFor(stopping)
      await memory.analyzer.releaseLease(owner.lease)
      await replace()
    }
  }

  left.length = 0
  for (let tasks = 0; ; tasks++) {
    const [progress] = await memory.gateway.progress([0])
    const last = memory.inspect.streamIds(0).at(-1) ?? progress?.checkpoint
    if (progress?.backlog === 0 && progress.checkpoint === last) break
    expect(tasks, 'tasks to drain the backlog').toBeLessThan(10_000)
    // An idle worker looks for stuck entries now and then.
    now += 5
    await scheduler.waitNext(1)
  }
  if (idleTtlMs > 0) await expectEvictions(memory, accepted, { idleTtlMs, now })
  // Enough for the timers of alerts, and then for the TTL.
  for (let rounds = 0; rounds < 60 && idleTtlMs > 0; rounds++) {
    now += 50_000
    for (let i = 0; i < 20; i++) await scheduler.waitNext(1)
  }
  await scheduler.waitFor(Promise.all(everyone.map(({ worker }) => worker.stop())))
  await scheduler.waitFor(Promise.all(everyone.map(({ reading }) => reading[Symbol.asyncDispose]())))

  if (idleTtlMs > 0) await expectNoIdleKeys(memory)
  for (const key of idleTtlMs > 0 ? [] : KEYS) {
    const samples = accepted.filter(sample => sample.key === key).map(({ value, timestamp }) => ({ value, timestamp }))
    const [text] = await memory.gateway.lastAnalyses([{ partition: 0, key }])
    if (samples.length === 0) expect(text).toBeNull()
    else if (MODELLED.includes(key))
      expect(JSON.parse(text ?? 'null')).toMatchObject(oracleAnalysis(key, samples, SETTINGS))
  }
  if (idleTtlMs === 0) await expectAlerts(memory, accepted)
  const [progress] = await memory.gateway.progress([0])
  expect(progress).toMatchObject({ accepted: accepted.length, analysed: accepted.length, dead: 0, lost: 0, backlog: 0 })
  expect(memory.inspect.deadLetters(0)).toHaveLength(poison.size)
  expect(memory.inspect.pendingIds(0)).toEqual([])
}

/**
 * Expects each key to have begun afresh only after a gap as long as the TTL, and no key with a
 * firing alert to be gone.
 */
async function expectEvictions(
  memory: MemoryStore,
  accepted: readonly Accepted[],
  { idleTtlMs, now }: { readonly idleTtlMs: number; readonly now: number },
): Promise<void> {
  for (const key of MODELLED) {
    const samples = accepted.filter(sample => sample.key === key)
    const [text] = await memory.gateway.lastAnalyses([{ partition: 0, key }])
    const starts = samples.flatMap(({ time }, i) => {
      const before = samples[i - 1]
      return before === undefined || time - before.time >= idleTtlMs ? [i] : []
    })
    if (text == null) {
      const idleMs = now - (samples.at(-1)?.time ?? Number.NEGATIVE_INFINITY)
      expect(idleMs, `${key} is gone after so long`).toBeGreaterThanOrEqual(idleTtlMs)
      continue
    }
    const { count, ...analysis } = JSON.parse(text)
    const start = samples.length - count
    expect(starts, `${key} began afresh`).toContain(start)
    const since = samples.slice(start).map(({ value, timestamp }) => ({ value, timestamp }))
    expect({ count, ...analysis }).toMatchObject(oracleAnalysis(key, since, SETTINGS))
  }
  const firing = await firingKeys(memory)
  const windows = await memory.analyzer.loadWindows(0, firing)
  expect(windows, `${firing} have firing alerts`).not.toContain(null)
}

/** Expects the keys that are left to have firing alerts, and those to be left. */
async function expectNoIdleKeys(memory: MemoryStore): Promise<void> {
  const left = await memory.analyzer.loadWindows(0, KEYS)
  expect(KEYS.filter((_, i) => left[i] !== null)).toEqual((await firingKeys(memory)).toSorted())
}

async function firingKeys(memory: MemoryStore): Promise<string[]> {
  const feed = await memory.alerts.feed(0, ENTRY_ID_ZERO, 1e6)
  const resolved = new Set(feed.filter(({ kind }) => kind === 'resolved').map(({ alert }) => alert))
  return feed.filter(({ kind, alert }) => kind === 'opened' && !resolved.has(alert)).map(({ key }) => key)
}

/** Returns what an analysis says besides what the oracle models. */
function analysisOf({ count, window, isFlagged, outside, rate }: Judged, { isCounter, unit }: Policy): object {
  return {
    ...{ count, window, anomaly: isFlagged },
    ...(isCounter && { rate: Number.isNaN(rate) ? null : rate }),
    ...(outside !== 0 && { range: sideNamed(outside) }),
    ...(unit !== null && { unit }),
  }
}

/** Alerts that the guard opened in all simulations. */
let guarded = 0

/** Expects each alert to open and resolve once, at the time that its key's samples alone give. */
async function expectAlerts(memory: MemoryStore, accepted: readonly Accepted[]): Promise<void> {
  const certain = new Effects({ partition: 0, alertWaitMs: 0 })
  // Time passed after the last sample; timers may have expired up to any point of it.
  const possible = new Effects({ partition: 0, alertWaitMs: 0 })
  for (const key of KEYS) {
    const policy = RULES.policies[RULES.resolve(key)] as Policy
    const judge = new Judge(policy)
    const row = createRow(shapeOf(policy))
    let newest: object | undefined
    for (const { value, timestamp, time } of accepted.filter(sample => sample.key === key)) {
      const judged = judge.step(row, value, timestamp, time)
      certain.addAlerts(key, policy, judged, { value, time })
      if (judged.isAnalysed) newest = analysisOf(judged, policy)
    }
    const [text] = await memory.gateway.lastAnalyses([{ partition: 0, key }])
    if (newest !== undefined) expect(JSON.parse(text ?? 'null')).toMatchObject(newest)
    const expired = { alerts: [], silences: [] }
    judge.expire(row, Number.MAX_SAFE_INTEGER, expired)
    possible.addExpired(key, policy, expired)
  }
  guarded += certain.opened.filter(({ opening }) => opening.key !== 'e').length
  const feed = await memory.alerts.feed(0, ENTRY_ID_ZERO, 1e6)
  const ids = [...certain.opened, ...possible.opened].map(({ opening }) => opening.id)
  const kept = new Map((await memory.alerts.read(0, ids)).map((parts, i) => [ids[i], parts]))
  for (const { opening } of certain.opened) expect(kept.get(opening.id)?.opening).toEqual(opening)
  for (const { id, end } of certain.ended) expect(kept.get(id)?.end).toEqual(end)
  for (const { opening } of possible.opened) {
    expect([undefined, opening]).toContainEqual(kept.get(opening.id)?.opening)
  }
  for (const { id, end } of possible.ended) expect([null, end]).toContainEqual(kept.get(id)?.end)

  const events = feed.map(({ kind, alert }) => `${kind} ${alert}`)
  expect(new Set(events).size, 'each is opened and resolved once').toBe(events.length)
  const known = new Set([...ids, ...possible.ended.map(({ id }) => id)])
  for (const { alert } of feed) expect(known.has(alert), `${alert} should exist`).toBe(true)
}

test(`every sample is analysed once and in order in ${RUNS} simulations of faults, hand-offs and zombies`, {
  timeout: 60_000 + RUNS * 1000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(step, { minLength: 1, maxLength: 25 }),
      fc.array(fate, { maxLength: 80 }),
      (scheduler, steps, fates) => simulate(scheduler, steps, fates),
    ),
    { numRuns: RUNS },
  )
  expect(guarded).toBeGreaterThanOrEqual(Math.floor(RUNS / 50))
})

test(`idle keys are evicted between two samples, and never a firing one, in such simulations`, {
  timeout: 60_000 + RUNS * 100,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(idleStep, { minLength: 1, maxLength: 25 }),
      fc.array(fate, { maxLength: 80 }),
      (scheduler, steps, fates) => simulate(scheduler, steps, fates, 120_000),
    ),
    { numRuns: Math.ceil(RUNS / 2) },
  )
})
