import { ENTRY_ID_ZERO } from '@tidemark/shared/sample/receipt'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { eventually } from '@tidemark/testkit/eventually'
import { FakeClock } from '@tidemark/testkit/fake-clock'
import { PbfReader } from 'pbf'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { uncompress } from 'snappyjs'
import { afterEach, describe, expect, test } from 'vitest'
import type { Delivery } from '../notify/receiver.ts'
import { SinkHeaders } from './headers.ts'
import { createSinkMetrics } from './metrics.ts'
import { startSink } from './sink.ts'

const NOW = 1_700_000_000_000 - (1_700_000_000_000 % 15_000)
const INTERVAL_MS = 15_000
const RETRY_MAX_MS = 600_000
const LEASE = { partition: 0, token: 'me:1' }

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const close of cleanup.splice(0)) await close()
})

function analysisOf(changes: Partial<Analysis>): string {
  const numbers = { value: 10, timestamp: NOW, mean: 9, deviation: 1, z: 1, threshold: 2, low: 7, high: 11 }
  const rest = { anomaly: false, state: 'ok', count: 99, window: 50, id: '0:1-0', analyzed_at: NOW } as const
  return JSON.stringify({ key: 'web/rps', ...numbers, ...rest, ...changes })
}

/** Reads the samples of a request: `name{key}@timestamp value`. */
function samplesIn(body: Uint8Array): string[] {
  const series: string[] = []
  new PbfReader(uncompress(Buffer.from(body))).readFields((_, __, pbf) => {
    const labels = new Map<string, string>()
    let sample = ''
    const readPair = (): [string, string] => {
      const pair: [string, string] = ['', '']
      pbf.readMessage((tag, _, inner) => {
        pair[tag - 1] = inner.readString()
      }, null)
      return pair
    }
    pbf.readMessage((tag, _, inner) => {
      if (tag === 1) labels.set(...readPair())
      else {
        let [value, timestamp] = [0, 0]
        inner.readMessage((field, _, one) => {
          if (field === 1) value = one.readDouble()
          else timestamp = one.readVarint()
        }, null)
        sample = `@${timestamp - NOW} ${value}`
      }
    }, null)
    expect([...labels.keys()]).toEqual([...labels.keys()].toSorted())
    series.push(`${labels.get('__name__')}{${labels.get('key')}}${sample}`)
  }, null)
  return series
}

const OK: Delivery = { kind: 'delivered' }
const statusOf = (status: number, retryAfterMs = 0): Delivery =>
  status < 500 && status !== 429
    ? { kind: 'refused', reason: `status ${status}`, status }
    : { kind: 'failed', reason: `status ${status}`, status, retryAfterMs }

/** A sink that responds as `respond` says, on a store with the commits of `commit`. */
async function start(
  respond: (samples: readonly string[]) => Delivery | Promise<Delivery> = () => OK,
  { intervalMs = INTERVAL_MS } = {},
) {
  const clock = new FakeClock(NOW)
  const store = createMemoryStore({ partitions: 1, now: clock.wallMs })
  await store.analyzer.acquireLease(0, LEASE.token, 86_400_000)
  const registry = new Registry()
  const metrics = { ...createSinkMetrics(registry), storeErrors: { inc() {} } }
  const requests: { samples: string[]; headers: Readonly<Record<string, string>> }[] = []
  const reply = { respond }
  const failures: string[] = []
  const options = {
    metrics,
    clock,
    points: store.points,
    leases: () => [LEASE],
    log: pino({ level: 'silent' }),
    logFailure: (error: unknown, message: string) => void failures.push(`${message}: ${(error as Error).message}`),
    url: 'http://sink/write',
    headers: new SinkHeaders(undefined),
    labels: { template: undefined, added: [] },
    intervalMs,
    retryMaxMs: RETRY_MAX_MS,
    async post(_: string, headers: Readonly<Record<string, string>>, body: string | Uint8Array) {
      const samples = samplesIn(body as Uint8Array)
      requests.push({ samples, headers })
      return reply.respond(samples)
    },
  }
  let sink = startSink(options)
  cleanup.push(() => sink[Symbol.asyncDispose]())
  let entries = 0
  return {
    clock,
    requests,
    failures,
    reply,
    /** Commits points, as an analyzer does. */
    async commit(...points: readonly string[]) {
      await store.gateway.append([{ partition: 0, samples: '["k",1,1]', count: 1 }])
      const from = await store.analyzer.loadCheckpoint(0)
      const [read] = await store.analyzer.read([0], { count: 9, blockMs: 1 })
      const entry = read?.entries[0]
      if (entry === undefined) throw new Error('no entry')
      const to = { id: entry.id, offset: ++entries }
      const empty = { keys: [], anomalies: [], deadLetters: [], verdicts: [], timers: [], counts: [], shadowed: [] }
      const witness = { id: entry.id, nonce: entry.nonce ?? '' }
      const commit = { ...empty, from, to, entries: [entry.id], witness, analysed: 1, dead: 0, rulesVersion: 0 }
      const alerts = { opened: [], ended: [] }
      expect(await store.analyzer.commit(LEASE, { ...commit, alerts, keepFrom: undefined, points })).toMatchObject({
        kind: 'ok',
      })
    },
    /** Lets time pass, and the sink work. */
    async pass(ms: number) {
      await clock.advance(ms)
    },
    async restart() {
      await sink[Symbol.asyncDispose]()
      sink = startSink(options)
    },
    waiting: async () =>
      (await store.points.read(0, { intervalMs: 1, after: ENTRY_ID_ZERO, count: 99 })).entries.length,
    async counts() {
      const found = await metrics.points.get()
      return Object.fromEntries(found.values.map(({ labels, value }) => [labels.result, value]))
    },
    lag: async () => (await metrics.lagSeconds.get()).values[0]?.value,
  }
}

describe('the sink', () => {
  test('writes the most anomalous sample of each key once its interval is over', async () => {
    const { commit, pass, requests, waiting, counts } = await start()
    await commit(analysisOf({}), analysisOf({ key: 'b', z: null, low: null, high: null, state: 'warming' }))
    await pass(5000)
    await commit(analysisOf({ value: 30, timestamp: NOW + 5000, z: -5, anomaly: true }))
    await pass(5000)
    await commit(analysisOf({ value: 20, timestamp: NOW + 9000, z: 3, anomaly: true }))
    expect(requests).toEqual([])
    await pass(6000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(requests.map(({ samples }) => samples)).toEqual([
      [
        'anomaly_score{web/rps}@5000 2.5',
        'y{web/rps}@5000 30',
        'yhat{web/rps}@5000 9',
        'yhat_lower{web/rps}@5000 7',
        'yhat_upper{web/rps}@5000 11',
        'y{b}@0 10',
      ],
    ])
    expect(requests[0]?.headers).toMatchObject({ 'content-encoding': 'snappy' })
    expect(await counts()).toEqual({ sent: 2, refused: 0, dropped: 0 })
  })

  test('writes the rate of a counter, the middle of a band, and a value outside its range', async () => {
    const { commit, pass, requests } = await start()
    await commit(
      analysisOf({ key: 'c', value: 1e6, rate: 4, detector: 'median', score: 1, low: 1, high: 5, mean: 99 }),
      analysisOf({ key: 'r', z: 0.1, range: 'above', anomaly: true }),
      analysisOf({ key: 'l', late: true }),
    )
    await pass(16_000)
    await eventually(() => expect(requests).toHaveLength(1))
    const [{ samples } = { samples: [] }] = requests
    expect(samples).toEqual(expect.arrayContaining(['y{c}@0 4', 'yhat{c}@0 3', 'anomaly_score{r}@0 2']))
    expect(samples.filter(one => one.includes('{l}'))).toEqual([])
  })

  test('writes intervals one after the other, and again after a failure, the same', async () => {
    const { commit, pass, requests, reply, waiting, lag, counts, failures } = await start(() => statusOf(503))
    await commit(analysisOf({}))
    await pass(15_000)
    await commit(analysisOf({ timestamp: NOW + 15_000 }))
    await pass(15_000)
    await eventually(() => expect(requests.length).toBeGreaterThan(0))
    expect(await waiting()).toBe(2)
    expect(failures[0]).toContain('writing to the sink failed; retrying: status 503')
    await pass(60_000)
    expect(await lag()).toBeGreaterThan(60)
    reply.respond = () => OK
    await pass(60_000)
    await eventually(async () => expect(await waiting()).toBe(0))
    const [first, second] = requests.slice(-2)
    expect(first?.samples).toEqual(requests[0]?.samples)
    expect(second?.samples[0]).toBe('anomaly_score{web/rps}@15000 0.5')
    expect(await counts()).toEqual({ sent: 2, refused: 0, dropped: 0 })
    await pass(1000)
    expect(await lag()).toBe(0)
  })

  test.each([429, 500, 503])('retries after a status %i, not before Retry-After', async status => {
    const { commit, pass, requests, reply, waiting } = await start(() => statusOf(status, 120_000))
    await commit(analysisOf({}))
    await pass(16_000)
    await eventually(() => expect(requests).toHaveLength(1))
    reply.respond = () => OK
    await pass(110_000)
    expect(requests).toHaveLength(1)
    await pass(12_000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(requests).toHaveLength(2)
  })

  test.each([401, 403, 404, 415])('does not retry after a status %i, and counts what is lost', async status => {
    const { commit, pass, requests, waiting, counts, failures } = await start(() => statusOf(status))
    await commit(analysisOf({}), analysisOf({ key: 'b' }))
    await pass(16_000)
    await eventually(async () => expect(await waiting()).toBe(0))
    await pass(60_000)
    expect(requests).toHaveLength(1)
    expect(await counts()).toEqual({ sent: 0, refused: 2, dropped: 0 })
    expect(failures).toEqual([`the sink refused points; they are not sent again: status ${status}`])
  })

  test.each([400, 413, 422])('sends the others of a request with one point that gets a %i', async status => {
    const { commit, pass, requests, waiting, counts } = await start(samples =>
      samples.some(one => one.includes('{k37}')) ? statusOf(status) : OK,
    )
    await commit(...Array.from({ length: 100 }, (_, i) => analysisOf({ key: `k${i}` })))
    await pass(16_000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(await counts()).toEqual({ sent: 99, refused: 1, dropped: 0 })
    expect(requests.length).toBeLessThan(20)
  })

  test('sends a bounded number of requests where all points are refused', async () => {
    const { commit, pass, requests, waiting, counts } = await start(() => statusOf(400))
    await commit(...Array.from({ length: 400 }, (_, i) => analysisOf({ key: `k${i}` })))
    await pass(16_000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(requests.length).toBeLessThanOrEqual(101)
    expect(await counts()).toEqual({ sent: 0, refused: 400, dropped: 0 })
  })

  test('drops and counts what it could not write in time', async () => {
    const { commit, pass, reply, waiting, counts, requests } = await start(() => statusOf(500))
    await commit(analysisOf({}), analysisOf({ key: 'b' }))
    await pass(RETRY_MAX_MS)
    expect(await waiting()).toBe(1)
    await commit(analysisOf({ timestamp: NOW + RETRY_MAX_MS }))
    await pass(INTERVAL_MS + 1000)
    reply.respond = () => OK
    await pass(70_000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(await counts()).toEqual({ sent: 1, refused: 0, dropped: 2 })
    expect(requests.at(-1)?.samples[0]).toContain(`@${RETRY_MAX_MS}`)
  })

  test('keeps points of an interval that is longer than they are retried', async () => {
    const intervalMs = 4 * RETRY_MAX_MS
    const { commit, pass, waiting, counts } = await start(() => OK, { intervalMs })
    await commit(analysisOf({}))
    await pass(intervalMs + 1000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(await counts()).toEqual({ sent: 1, refused: 0, dropped: 0 })
  })

  test('reports a lag that grows while the sink does not respond', async () => {
    const { promise, resolve } = Promise.withResolvers<Delivery>()
    const { commit, pass, lag, requests } = await start(() => promise)
    cleanup.unshift(() => resolve(OK))
    await commit(analysisOf({}))
    await pass(INTERVAL_MS + 60_000)
    expect(requests).toHaveLength(1)
    expect(await lag()).toBeGreaterThanOrEqual(59)
    await pass(240_000)
    expect(await lag()).toBeGreaterThanOrEqual(299)
    resolve(OK)
    await pass(2000)
    expect(await lag()).toBe(0)
  })

  test('goes on with what another one has not removed', async () => {
    const { commit, pass, requests, reply, restart, waiting } = await start(() => statusOf(503))
    await commit(analysisOf({}))
    await pass(16_000)
    await eventually(() => expect(requests.length).toBeGreaterThan(0))
    reply.respond = () => OK
    await restart()
    await pass(1000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(requests.at(-1)?.samples).toEqual(requests[0]?.samples)
  })

  test('goes past points that are unreadable, and counts them', async () => {
    const { commit, pass, requests, waiting, counts } = await start()
    await commit('{')
    await commit(analysisOf({}))
    await pass(16_000)
    await eventually(async () => expect(await waiting()).toBe(0))
    expect(requests).toHaveLength(1)
    expect(await counts()).toEqual({ sent: 1, refused: 1, dropped: 0 })
  })
})
