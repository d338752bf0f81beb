import { readConfig } from '@tidemark/shared/runtime/config'
import { pause } from '@tidemark/shared/runtime/lifecycle'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Store } from '@tidemark/shared/store/ports/store'
import { eventually } from '@tidemark/testkit/eventually'
import { packSamples } from '@tidemark/testkit/samples'
import { appendAndRead, commitOf, own } from '@tidemark/testkit/store-contract/harness'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { afterEach, describe, expect, test } from 'vitest'
import { accountOf, startAnalyzer } from './analyzer.ts'
import { analyzerSettings } from './config.ts'

const PARTITIONS = 8
/** Longer than a test may take. */
const LEASE_MS_MAX = 300_000
const log = pino({ level: 'silent' })
const running = new Map<string, AsyncDisposable>()
afterEach(async () => {
  for (const id of running.keys()) await stop(id)
})

function start(id: string, store: Store, leaseTtlMs = 900): Registry {
  const config = readConfig(analyzerSettings, {
    REDIS_URL: 'redis://unused',
    ANALYZER_ID: id,
    HEARTBEAT_MS: '50',
    LEASE_TTL_MS: String(leaseTtlMs),
  })
  const registry = new Registry()
  running.set(id, startAnalyzer({ config, store, log, registry }))
  return registry
}

async function stop(id: string): Promise<void> {
  await running.get(id)?.[Symbol.asyncDispose]()
  running.delete(id)
}

async function owned(registry: Registry): Promise<number> {
  const metric = await registry.getSingleMetric('analyzer_partitions_owned')?.get()
  return metric?.values[0]?.value ?? 0
}

/** Waits until the analyzers own these numbers of partitions, in any order. */
function share(registries: readonly Registry[], ...counts: number[]): Promise<void> {
  return eventually(async () => {
    const found = await Promise.all(registries.map(owned))
    expect(found.toSorted()).toEqual(counts.toSorted())
  })
}

async function ingest(memory: MemoryStore, keys: readonly string[], value: number): Promise<void> {
  await memory.gateway.append(
    keys.map(key => ({
      partition: partitionOf(key, PARTITIONS),
      samples: packSamples([{ key, value, timestamp: value }]),
      count: 1,
    })),
  )
}

async function counts(memory: MemoryStore, keys: readonly string[]): Promise<number[]> {
  const wanted = keys.map(key => ({ partition: partitionOf(key, PARTITIONS), key }))
  const analyses = await memory.gateway.lastAnalyses(wanted)
  return analyses.map(text => (text === null ? 0 : JSON.parse(text).count))
}

const KEYS = Array.from({ length: 40 }, (_, i) => `key ${i}`)

describe('analyzers', () => {
  test('own every partition, however many analyzers there are, and share them evenly', async () => {
    const memory = createMemoryStore({ partitions: PARTITIONS })
    const registries = [start('a', memory.connect())]
    await share(registries, 8)
    registries.push(start('b', memory.connect()))
    await share(registries, 4, 4)
    registries.push(start('c', memory.connect()), start('d', memory.connect()))
    await share(registries, 2, 2, 2, 2)
    await stop('a')
    await stop('b')
    await share(registries.slice(2), 4, 4)
  })

  test('that are alone send fewer heartbeats, and all of them once another one joins', async () => {
    const memory = createMemoryStore({ partitions: PARTITIONS })
    const store = memory.connect()
    const beats: number[] = []
    const heartbeat: Store['analyzer']['heartbeat'] = (...args) => {
      beats.push(performance.now())
      return store.analyzer.heartbeat(...args)
    }
    const registries = [start('a', { ...store, analyzer: { ...store.analyzer, heartbeat } }, 10_000)]
    const gaps = () => beats.slice(1).map((at, i) => at - (beats[i] ?? 0))
    await share(registries, PARTITIONS)
    beats.length = 0
    await eventually(async () => expect(beats.length).toBeGreaterThan(3))
    // Four heartbeats of 50 ms, less what the first of two was late.
    expect(Math.min(...gaps())).toBeGreaterThan(100)
    registries.push(start('b', memory.connect(), 10_000))
    await share(registries, PARTITIONS / 2, PARTITIONS / 2)
    await eventually(async () => expect(Math.min(...gaps())).toBeLessThan(100))
  })

  test('that are at rest decide on notifications as soon as a commit opens an alert', async () => {
    const memory = createMemoryStore({ partitions: PARTITIONS })
    const store = memory.connect()
    const checks: number[] = []
    const committed: number[] = []
    const scheduled: Store['alerts']['scheduled'] = (...args) => {
      checks.push(performance.now())
      return store.alerts.scheduled(...args)
    }
    const commit: Store['analyzer']['commit'] = async (lease, one) => {
      const outcome = await store.analyzer.commit(lease, one)
      if (one.alerts.opened.length > 0) committed.push(performance.now())
      return outcome
    }
    const { alerts, analyzer } = store
    start('a', { ...store, alerts: { ...alerts, scheduled }, analyzer: { ...analyzer, commit } }, 10_000)
    await eventually(async () => {
      const [last = 0, before = last] = checks.toReversed()
      expect(last - before).toBeGreaterThan(700)
    })
    await pause(200)
    for (let i = 0; i < 60; i++) await ingest(memory, ['default/a'], i % 5)
    for (let i = 0; i < 10; i++) await ingest(memory, ['default/a'], 900 + i)
    await eventually(async () => expect(committed).toHaveLength(1))
    const [at = 0] = committed
    await pause(100)
    expect(checks.find(check => check >= at)).toBeLessThan(at + 100)
  })

  test('that are at rest do not look for timers before one expires, and expire it in time', async () => {
    const memory = createMemoryStore({ partitions: 1 })
    const lease = await own(memory, 0)
    const at = Date.now() + 8000
    const entries = await appendAndRead(memory, 0, 1)
    const commit = commitOf({ id: '0-0', offset: 0 }, entries, { timers: [{ key: 'k', at }] })
    expect(await memory.analyzer.commit(lease, commit)).toMatchObject({ kind: 'ok' })
    await memory.analyzer.releaseLease(lease)
    const store = memory.connect()
    const looks: number[] = []
    const expiredTimers: Store['analyzer']['expiredTimers'] = (...args) => {
      looks.push(Date.now())
      return store.analyzer.expiredTimers(...args)
    }
    start('a', { ...store, analyzer: { ...store.analyzer, expiredTimers } })
    const timers = async () => (await memory.analyzer.keptCounts([0]))[0]?.timers
    await eventually(async () => expect(await timers()).toBe(0))
    // At the take-over, and once after it: not every second.
    expect(looks.filter(time => time < at).length).toBeLessThan(4)
    expect(looks.some(time => time >= at)).toBe(true)
  })

  test('may outnumber the partitions', async () => {
    const memory = createMemoryStore({ partitions: 2 })
    await share(
      ['a', 'b', 'c'].map(id => start(id, memory.connect())),
      0,
      1,
      1,
    )
  })

  test('analyse every sample once while they come and go', async () => {
    const memory = createMemoryStore({ partitions: PARTITIONS })
    const rounds = 60
    start('a', memory.connect())
    for (let round = 1; round <= rounds; round++) {
      await ingest(memory, KEYS, round)
      if (round === 10) start('b', memory.connect())
      if (round === 20) start('c', memory.connect())
      if (round === 30) void stop('a')
      if (round === 40) void stop('b')
      // So that some rounds arrive during a rebalance, however fast the machine is.
      await pause(5)
    }
    await eventually(async () => expect(await counts(memory, KEYS)).toEqual(KEYS.map(() => rounds)))
  })

  test('hand off their partitions when they stop, long before their leases expire', async () => {
    const memory = createMemoryStore({ partitions: PARTITIONS })
    const registries = [start('a', memory.connect(), LEASE_MS_MAX), start('b', memory.connect(), LEASE_MS_MAX)]
    await share(registries, 4, 4)
    await stop('a')
    await share(registries.slice(1), 8)
    await ingest(memory, KEYS, 1)
    await eventually(async () => expect(await counts(memory, KEYS)).toEqual(KEYS.map(() => 1)))
  })

  test('take over from an analyzer that froze when its leases have expired', async () => {
    const memory = createMemoryStore({ partitions: PARTITIONS })
    const frozen = memory.connect()
    let isFrozen = false
    const freeze = <T>(work: () => Promise<T>): Promise<T> =>
      isFrozen ? Promise.reject(new StoreError('frozen', { kind: 'refused' })) : work()
    const registry = start('a', {
      ...frozen,
      analyzer: {
        ...frozen.analyzer,
        heartbeat: (...args) => freeze(() => frozen.analyzer.heartbeat(...args)),
        renewLeases: (...args) => freeze(() => frozen.analyzer.renewLeases(...args)),
        commit: (...args) => freeze(() => frozen.analyzer.commit(...args)),
      },
    })
    await share([registry], 8)
    isFrozen = true
    await ingest(memory, KEYS, 1)
    const other = start('b', memory.connect())
    await share([other], 8)
    await eventually(async () => expect(await counts(memory, KEYS)).toEqual(KEYS.map(() => 1)))
    // When it resumes, it finds that its leases are lost, and takes its share again.
    isFrozen = false
    await share([registry, other], 4, 4)
    await ingest(memory, KEYS, 2)
    await eventually(async () => expect(await counts(memory, KEYS)).toEqual(KEYS.map(() => 2)))
  })
})

test('the account of partitions adds up, except for what is missing from a stream', async () => {
  const memory = createMemoryStore({ partitions: 2 })
  const ingested = await memory.gateway.append(
    [0, 0, 1].map(partition => ({ partition, samples: packSamples([{ key: 'k', value: 1, timestamp: 1 }]), count: 1 })),
  )
  expect(accountOf(await memory.analyzer.backlogs([0, 1]))).toEqual({
    accepted: 3,
    analysed: 0,
    dead: 0,
    lost: 0,
    waiting: 3,
  })
  const [first] = ingested
  memory.inspect.deleteEntry(0, first?.kind === 'stored' ? first.id : '')
  expect(accountOf(await memory.analyzer.backlogs([0, 1]))).toMatchObject({ accepted: 3, waiting: 2 })
  start('a', memory.connect())
  await eventually(async () =>
    expect(accountOf(await memory.analyzer.backlogs([0, 1]))).toEqual({
      accepted: 3,
      analysed: 2,
      dead: 0,
      lost: 1,
      waiting: 0,
    }),
  )
})
