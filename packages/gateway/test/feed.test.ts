import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { FeedStore } from '@tidemark/shared/store/ports/feed'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { EventStreamParser, type ServerSentEvent } from '@tidemark/testkit/event-stream'
import { eventually } from '@tidemark/testkit/eventually'
import { Random } from '@tidemark/testkit/random'
import { afterEach, describe, expect, test } from 'vitest'
import { testKey } from './support/api-keys.ts'
import {
  analyseAll,
  commitEffects,
  createTestApp,
  NOW,
  type StoredSample,
  type TestAppOptions,
} from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const PARTITIONS = 4
const KEYS = ['edge-17/rps', 'edge-17/cpu', 'edge-1/rps', 'other/é', '__proto__', 'a\u2028b']

const cancels: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cancel of cancels.splice(0)) await cancel()
})

type App = ReturnType<typeof createTestApp>['app']

/** Opens a feed. Its stream is read at once, or piece by piece if the client `isSlow`. */
async function open(app: App, query = '', headers: Record<string, string> = {}, isSlow = false) {
  const response = await app.request(`/events${query === '' ? '' : `?${query}`}`, { headers })
  expect(response.status).toBe(200)
  const reader = response.body?.getReader()
  if (reader === undefined) throw new Error('no body')
  const parser = new EventStreamParser()
  const events: ServerSentEvent[] = []
  let isEnded = false
  async function readOne(): Promise<boolean> {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined }
    isEnded = done
    if (value !== undefined) events.push(...parser.push(value))
    return !done
  }
  cancels.push(() => reader.cancel())
  await readOne()
  if (!isSlow)
    void (async () => {
      while (await readOne());
    })()
  return {
    response,
    parser,
    events,
    readOne,
    cancel: () => reader.cancel(),
    get isEnded() {
      return isEnded
    },
    of: (type: string) => events.filter(event => event.type === type),
    analyses: () => events.filter(({ type }) => type === 'analysis').map(({ data }) => JSON.parse(data) as Analysis),
    /** Waits for a number of events of one type. */
    async until(type: string, count: number) {
      await eventually(() => expect(events.filter(event => event.type === type)).toHaveLength(count))
      return events.filter(event => event.type === type)
    },
  }
}

function world(options: TestAppOptions = {}, store = createMemoryStore({ partitions: PARTITIONS })) {
  const { app, registry, post, services } = createTestApp({ store, ...options })
  const counts = new Map<string, number>()
  /** Values are 100 but for those that are anomalies: 420. */
  async function send(keys: readonly string[], value = 100): Promise<void> {
    const response = await post(JSON.stringify(keys.map(key => ({ key, value, timestamp: 1.7e9 }))))
    expect(response.status).toBe(202)
    await analyseAll(store, finding)
  }
  function finding({ key, value, timestamp }: StoredSample) {
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    return { key, value, timestamp, mean: 100, deviation: 10, meanRest: 0, count, window: 50, judged: null }
  }
  return { app, store, registry, services, send, restart: () => createTestApp({ store, ...options }).app }
}

const countsOf = (analyses: readonly Analysis[], key: string) =>
  analyses.filter(one => one.key === key).map(({ count }) => count)
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n + 1)

describe('GET /events', () => {
  test('has every analysis and anomaly once, in the order of each key, as it was committed', async () => {
    const { app, store, send } = world()
    const feed = await open(app)
    for (let n = 0; n < 20; n++) await send([...KEYS, ...KEYS], n % 4 === 0 ? 420 : 100)
    await feed.until('analysis', 240)
    for (const key of KEYS) {
      expect(countsOf(feed.analyses(), key)).toEqual(upTo(40))
      const last = await store.gateway.lastAnalyses([{ partition: partitionOf(key, PARTITIONS), key }])
      const newest = feed.of('analysis').findLast(({ data }) => (JSON.parse(data) as Analysis).key === key)
      expect(newest?.data).toBe(last[0])
    }
    const anomalies = await feed.until('anomaly', 60)
    const flagged = feed.of('analysis').filter(({ data }) => (JSON.parse(data) as Analysis).anomaly)
    expect(anomalies.map(({ data }) => data).toSorted()).toEqual(flagged.map(({ data }) => data).toSorted())
    expect(feed.of('gap').concat(feed.of('coalesced'))).toEqual([])
  })

  test('begins now, also while others are open', async () => {
    const { app, send } = world()
    const first = await open(app)
    await send(KEYS)
    const second = await open(app)
    await send(KEYS)
    await first.until('analysis', 2 * KEYS.length)
    await second.until('analysis', KEYS.length)
    expect(second.analyses().map(({ count }) => count)).toEqual(KEYS.map(() => 2))
  })

  test('says how to keep it apart from other responses, and when to come back', async () => {
    const { app } = world()
    const { response, parser } = await open(app)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    })
    expect(parser.retryMs).toBe(2000)
    expect(parser.lastId).toMatch(/^vna__/)
  })

  test('continues exactly behind any event, whichever was the last, at another gateway', async () => {
    const { app, send, restart } = world()
    const first = await open(app)
    for (let n = 0; n < 6; n++) await send([...KEYS, ...KEYS], n % 2 === 0 ? 420 : 100)
    await first.until('analysis', 72)
    await first.until('anomaly', 36)
    const all = first.events.map(({ type, data }) => `${type} ${data}`)
    const another = restart()
    for (let i = 0; i < all.length; i += 7) {
      const next = await open(another, '', { 'Last-Event-ID': first.events[i]?.id ?? '' })
      await eventually(() => expect(next.events.length).toBeGreaterThanOrEqual(all.length - i - 1))
      // Streams are read in another order: nothing is missing and nothing comes twice.
      const rest = next.events.map(({ type, data }) => `${type} ${data}`)
      expect(rest.toSorted()).toEqual(all.slice(i + 1).toSorted())
      await next.cancel()
    }
  })

  test('continues behind the id of a heartbeat, and by a query parameter that the header overrides', async () => {
    const { app, send } = world({ settings: { FEED_HEARTBEAT_MS: '100' } })
    const quiet = await open(app, 'key=none')
    const before = quiet.parser.lastId
    await send(['none'])
    await quiet.until('analysis', 1)
    const between = quiet.parser.lastId
    await send(['none'])
    await quiet.until('analysis', 2)
    await eventually(() => expect(quiet.parser.comments).toContain('heartbeat'))
    const continued = async (query: string, headers = {}) => {
      const feed = await open(app, `key=none${query}`, headers)
      await send(['none'])
      await eventually(() => expect(feed.analyses().at(-1)?.count).toBe(quiet.analyses().at(-1)?.count))
      const counts = feed.analyses().map(({ count }) => count)
      await feed.cancel()
      return counts
    }
    expect(await continued(`&last_event_id=${quiet.parser.lastId}`)).toEqual([3])
    expect(await continued(`&last_event_id=${before}`)).toEqual([1, 2, 3, 4])
    expect(await continued(`&last_event_id=${before}`, { 'Last-Event-ID': between })).toEqual([2, 3, 4, 5])
  })

  test.each([
    ['key=edge-17%2Frps', (key: string) => key === 'edge-17/rps', ['analysis', 'anomaly']],
    ['prefix=edge-1', (key: string) => key.startsWith('edge-1'), ['analysis', 'anomaly']],
    ['prefix=edge-17%2F&kind=anomaly', (key: string) => key.startsWith('edge-17/'), ['anomaly']],
    ['state=anomalous&kind=analysis', () => true, ['analysis']],
    ['state=ok,flat', () => true, []],
  ])('passes only what ?%s asks for', async (query, isWanted, types) => {
    const { app, send } = world()
    const [feed, all] = [await open(app, query), await open(app)]
    await send(KEYS, 420)
    await all.until('anomaly', KEYS.length)
    await all.until('analysis', KEYS.length)
    const wanted = all.events.filter(
      ({ type, data }) => types.includes(type) && isWanted((JSON.parse(data) as Analysis).key),
    )
    await eventually(() => expect(feed.events).toHaveLength(wanted.length))
    expect(feed.events.map(({ data }) => data).toSorted()).toEqual(wanted.map(({ data }) => data).toSorted())
  })

  test('has what happens to alerts, with the alert, by its state', async () => {
    const { app, store } = world()
    const [feed, resolved] = [await open(app, 'kind=alert&prefix=edge'), await open(app, 'state=resolved')]
    const key = 'edge-17/rps'
    const partition = partitionOf(key, PARTITIONS)
    const cause = { kind: 'level_shift', value: 1, samples: 20 } as const
    const opening = { id: `${partition}-abc`, key, rule: null, severity: 'warning', opened_at: NOW, cause } as const
    const opened = { opening, openedBefore: 0, notifyAfterMs: 0 }
    await commitEffects(store, partition, { alerts: { opened: [opened], ended: [] } })
    await feed.until('alert', 1)
    const note = { why: 'seen', who: 'mira' }
    const headers = { 'Content-Type': 'application/json' }
    const acknowledged = await app.request(`/alerts/${opening.id}/acknowledge`, {
      method: 'POST',
      headers,
      body: JSON.stringify(note),
    })
    expect(acknowledged.status).toBe(200)
    await feed.until('alert', 2)
    const end = { resolved_at: NOW + 5, resolve_reason: 'calm', peak: null } as const
    const ended = { id: opening.id, key, cause: 'level_shift', openedAt: NOW, end } as const
    await commitEffects(store, partition, { alerts: { opened: [], ended: [ended] } })
    const seen = (await feed.until('alert', 3)).map(({ data }) => JSON.parse(data))
    expect(seen).toMatchObject([
      { change: 'opened', id: opening.id, key, alert: { state: 'firing', explanation: expect.any(String) } },
      { change: 'acknowledged', alert: { acknowledged: { who: 'mira' } } },
      { change: 'resolved', alert: { state: 'resolved', resolved_at: NOW + 5 } },
    ])
    expect((await resolved.until('alert', 1))[0]?.data).toBe(feed.events.at(-1)?.data)
  })

  test('shows an API key that is bound to a prefix its own keys only', async () => {
    const own = testKey({ key_prefix: 'edge-17/', scopes: ['read'] })
    const all = testKey()
    const store = createMemoryStore({ partitions: PARTITIONS })
    const { app } = createTestApp({ store, keys: [own.record, all.record] })
    const { send } = world({}, store)
    const [bound, free] = [await open(app, '', own.headers), await open(app, '', all.headers)]
    await send(KEYS, 420)
    await free.until('anomaly', KEYS.length)
    await bound.until('anomaly', 2)
    await bound.until('analysis', 2)
    for (const { data } of bound.events) expect((JSON.parse(data) as Analysis).key).toMatch(/^edge-17\//)
    const storm = { id: 'fleet-1', key: null, rule: null, severity: 'critical', opened_at: NOW } as const
    // The lease of the fixture.
    await store.analyzer.acquireLease(0, 'test:0', 60_000)
    await store.alerts.saveStorm(
      { partition: 0, token: 'test:0' },
      {
        state: '{}',
        opening: { ...storm, cause: { kind: 'storm', keys: [], key_count: 1, keys_total: 2 } },
        end: null,
      },
    )
    await free.until('alert', 1)
    expect(bound.of('alert')).toEqual([])
    expect((await app.request('/events?key=other', { headers: own.headers })).status).toBe(403)
  })

  test('ends when the API key is no longer valid', async () => {
    const key = testKey()
    const store = createMemoryStore({ partitions: 1 })
    const { app, keyTable } = createTestApp({ store, keys: [key.record, testKey().record] })
    const feed = await open(app, '', key.headers)
    keyTable.replace('file', [testKey().record])
    await eventually(() => expect(feed.isEnded).toBe(true))
    expect(feed.events.map(({ type }) => type)).toEqual(['end'])
  })

  test('says a gap where events are no longer kept, and goes on behind it', async () => {
    const store = createMemoryStore({ partitions: 1, anomaliesMax: 3 })
    const { app, send } = world({}, store)
    const feed = await open(app, 'kind=anomaly')
    await send(['a'], 420)
    const [first] = await feed.until('anomaly', 1)
    await feed.cancel()
    for (let n = 0; n < 5; n++) await send(['a'], 420)
    const next = await open(app, 'kind=anomaly', { 'Last-Event-ID': first?.id ?? '' })
    await next.until('anomaly', 3)
    expect(next.events.map(({ type }) => type)).toEqual(['gap', 'anomaly', 'anomaly', 'anomaly'])
    expect(JSON.parse(next.events[0]?.data ?? '')).toEqual({
      kinds: ['anomaly'],
      reason: expect.stringContaining('missing'),
    })
    // It has no id, so that a client that is cut off here hears of it again.
    expect(next.events[0]?.id).toBe(first?.id)
    const again = await open(app, 'kind=anomaly', { 'Last-Event-ID': next.events[1]?.id ?? '' })
    await again.until('anomaly', 2)
    expect(again.of('gap')).toEqual([])
  })

  test('says a gap after an id that it cannot continue from', async () => {
    const { app } = world()
    const narrow = await open(app, 'key=edge-17%2Frps')
    for (const id of ['x', '4711', narrow.parser.lastId, `${narrow.parser.lastId}.`]) {
      const feed = await open(app, '', { 'Last-Event-ID': id })
      await feed.until('gap', 1)
      await feed.cancel()
    }
    const wide = await open(app)
    const feed = await open(app, 'key=edge-17%2Frps', { 'Last-Event-ID': wide.parser.lastId })
    expect(feed.parser.lastId).toMatch(/^vna_\d_/)
    expect(feed.of('gap')).toEqual([])
  })

  test('has an end when the gateway stops, and says when to come back', async () => {
    const { app, services } = world()
    const feed = await open(app)
    services.feed[Symbol.dispose]()
    await eventually(() => expect(feed.isEnded).toBe(true))
    expect(feed.parser.retryMs).toBeGreaterThanOrEqual(1000)
    expect(feed.parser.retryMs).toBeLessThanOrEqual(3000)
    const refused = await app.request('/events')
    expect([refused.status, refused.headers.get('Retry-After')]).toEqual([503, '1'])
  })

  test('does not stay open for a HEAD request', async () => {
    const { app, services } = world()
    const response = await app.request('/events', { method: 'HEAD' })
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
    expect(services.feed.open).toBe(0)
  })
})

describe('the limits of live feeds', () => {
  test('of one client are 429, of the gateway 503, each with Retry-After and a sentence', async () => {
    const keys = [testKey(), testKey()]
    const { app, services, registry } = world({
      keys: keys.map(({ record }) => record),
      settings: { FEEDS_MAX: '3', FEEDS_PER_CLIENT_MAX: '2' },
    })
    const [one, two] = keys
    const feeds = [await open(app, '', one?.headers), await open(app, '', one?.headers)]
    const third = await app.request('/events', { headers: one?.headers ?? {} })
    expect([third.status, third.headers.get('Retry-After')]).toEqual([429, '5'])
    expect((await problemOf(third)).detail).toContain('FEEDS_PER_CLIENT_MAX')
    feeds.push(await open(app, '', two?.headers))
    const fourth = await app.request('/events', { headers: two?.headers ?? {} })
    expect([fourth.status, fourth.headers.get('Retry-After')]).toEqual([503, '5'])
    expect((await problemOf(fourth)).detail).toContain('FEEDS_MAX')
    const text = await registry.metrics()
    expect(text).toContain('gateway_feed_clients 3\n')
    expect(text).toContain('gateway_limit_reached_total{limit="feeds"} 2\n')
    await feeds[0]?.cancel()
    expect(services.feed.open).toBe(2)
    await open(app, '', one?.headers)
  })

  test('a slow client gets at most one analysis of a key in 250 ms, the newest, and every anomaly', async () => {
    const { app, send, registry } = world()
    const [slow, fast] = [await open(app, '', {}, true), await open(app)]
    const begin = performance.now()
    let sent = 0
    // It takes one batch, and then nothing for longer than a second.
    void slow.readOne()
    while (performance.now() - begin < 1500) {
      await send(['a', 'a', 'b'], 420)
      sent++
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    await fast.until('analysis', 3 * sent)
    expect(countsOf(fast.analyses(), 'a')).toEqual(upTo(2 * sent))
    expect(fast.of('coalesced')).toEqual([])
    while (slow.of('anomaly').length < 3 * sent || countsOf(slow.analyses(), 'a').at(-1) !== 2 * sent) {
      await slow.readOne()
    }
    const counts = countsOf(slow.analyses(), 'a')
    expect(counts).toEqual(counts.toSorted((x, y) => x - y))
    expect(counts.length).toBeLessThan(sent)
    const skipped = slow.of('coalesced').map(({ data }) => (JSON.parse(data) as { skipped: number }).skipped)
    expect(skipped.reduce((sum, n) => sum + n, 0)).toBe(3 * sent - slow.analyses().length)
    expect(await registry.metrics()).toMatch(/gateway_feed_events_coalesced_total [1-9]/)
  })

  test('a client that reads nothing keeps a bounded number of bytes, and misses nothing', async () => {
    const { app, send, services } = world()
    const stuck = await open(app, 'kind=anomaly', {}, true)
    for (let n = 0; n < 30; n++) await send(Array(100).fill('a'), 420)
    void stuck.readOne()
    const other = await open(app, 'kind=anomaly', { 'Last-Event-ID': stuck.parser.lastId })
    await other.until('anomaly', 3000)
    expect(services.feed.unsent).toBeLessThan(2 * 300_000)
    while (stuck.of('anomaly').length < 3000) await stuck.readOne()
    expect(stuck.events.map(({ data }) => data)).toEqual(other.events.map(({ data }) => data))
  })

  test('all clients together have a bounded number of bytes unsent', async () => {
    const { app, send, services } = world({ settings: { FEEDS_BYTES_MAX: String(1024 * 1024) } })
    const stuck = await Promise.all(Array.from({ length: 20 }, () => open(app, 'kind=anomaly', {}, true)))
    for (let n = 0; n < 10; n++) await send(Array(100).fill('a'), 420)
    const fast = await open(app, 'kind=anomaly')
    // Each takes one batch.
    for (const feed of stuck) void feed.readOne()
    await eventually(() => expect(services.feed.unsent).toBeGreaterThan(500_000))
    expect(services.feed.unsent).toBeLessThanOrEqual(1024 * 1024)
    for (const feed of stuck) await feed.cancel()
    await send(['a'], 420)
    await fast.until('anomaly', 1)
    expect(services.feed.unsent).toBe(0)
  })
})

describe('the reads of the store', () => {
  function counting(store: MemoryStore) {
    const reads: number[] = []
    const overrideFeed: Partial<FeedStore> = {
      read(positions, bytesMax) {
        reads.push(positions.length)
        return store.feed.read(positions, bytesMax)
      },
    }
    return { reads, overrideFeed }
  }

  test('are none without a client, and as many for 200 as for one', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const { reads, overrideFeed } = counting(store)
    const { app } = createTestApp({ store, overrideFeed })
    const { send } = world({}, store)
    await send(['a'])
    expect(reads).toHaveLength(0)
    const readsOf = async (clients: number) => {
      const feeds = await Promise.all(Array.from({ length: clients }, () => open(app)))
      await eventually(async () => {
        const before = reads.length
        await new Promise(resolve => setTimeout(resolve, 200))
        expect(reads.length - before).toBeLessThan(6)
      })
      const begin = performance.now()
      const before = reads.length
      for (let n = 0; n < 10; n++) {
        await send(['a'])
        await Promise.all(feeds.map(feed => feed.until('analysis', n + 1)))
      }
      const perS = (reads.length - before) / ((performance.now() - begin) / 1000)
      for (const feed of feeds) await feed.cancel()
      return perS
    }
    const one = await readsOf(1)
    expect(await readsOf(200)).toBeLessThan(1.5 * one + 5)
    expect(one).toBeLessThan(60)
    await eventually(async () => {
      const before = reads.length
      await new Promise(resolve => setTimeout(resolve, 150))
      expect(reads.length).toBe(before)
    })
  })

  test('are of the streams that clients need', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const { reads, overrideFeed } = counting(store)
    const { app } = createTestApp({ store, overrideFeed })
    const feed = await open(app, 'key=a&kind=anomaly')
    await eventually(() => expect(reads.length).toBeGreaterThan(3))
    expect(new Set(reads)).toEqual(new Set([1]))
    await open(app)
    await eventually(() => expect(reads.at(-1)).toBe(4 * PARTITIONS))
    await feed.cancel()
  })

  test('go on after a failure, without a gap; a new feed is 503 meanwhile', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    let isDown = false
    const { app } = createTestApp({
      store,
      overrideFeed: {
        async read(positions, bytesMax) {
          if (isDown) throw new StoreError('away', { kind: 'refused' })
          return store.feed.read(positions, bytesMax)
        },
      },
    })
    const { send } = world({}, store)
    const feed = await open(app, 'key=a')
    await send(['a'])
    await feed.until('analysis', 1)
    isDown = true
    const refused = await app.request('/events')
    expect(refused.status).toBe(503)
    for (let n = 0; n < 3; n++) await send(['a'])
    isDown = false
    await feed.until('analysis', 4)
    expect(countsOf(feed.analyses(), 'a')).toEqual(upTo(4))
  })
})

test('clients that come, go and continue at random get each event once', async () => {
  const store = createMemoryStore({ partitions: PARTITIONS })
  const { app, send, restart } = world({}, store)
  const apps = [app, restart()]
  const random = new Random(11)
  const seen = new Map<number, string[]>()
  const at = new Map<number, string>()
  let isDone = false
  const clients = upTo(8).map(async client => {
    const query = client % 2 === 0 ? '' : 'kind=analysis,anomaly&prefix=edge'
    while (!isDone) {
      const last = at.get(client)
      const gateway = apps[Math.floor(2 * random.uniform())] ?? app
      const feed = await open(gateway, query, last === undefined ? {} : { 'Last-Event-ID': last }, true)
      const reads = Math.floor(6 * random.uniform())
      for (let n = 0; n < reads && !isDone; n++)
        await Promise.race([feed.readOne(), new Promise(r => setTimeout(r, 200))])
      await feed.cancel()
      expect(feed.of('gap').concat(feed.of('coalesced'))).toEqual([])
      seen.set(client, [...(seen.get(client) ?? []), ...feed.events.map(({ type, data }) => `${type} ${data}`)])
      at.set(client, feed.parser.lastId)
    }
  })
  await eventually(() => expect(at.size).toBe(8))
  const reference = await open(app, '', { 'Last-Event-ID': at.get(2) ?? '' })
  // Every client has an id from before the first sample.
  for (let n = 0; n < 60; n++) {
    await send([...KEYS, ...KEYS].slice(0, 1 + Math.floor(12 * random.uniform())), random.uniform() < 0.3 ? 420 : 100)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  isDone = true
  await Promise.all(clients)
  for (const [client, last] of at) {
    const query = client % 2 === 0 ? '' : 'kind=analysis,anomaly&prefix=edge'
    const rest = await open(app, query, { 'Last-Event-ID': last })
    const isWanted = (text: string) =>
      query === '' || (JSON.parse(text.slice(text.indexOf(' '))) as Analysis).key.startsWith('edge')
    await eventually(() => {
      const got = [...(seen.get(client) ?? []), ...rest.events.map(({ type, data }) => `${type} ${data}`)]
      const wanted = reference.events.map(({ type, data }) => `${type} ${data}`).filter(isWanted)
      expect(wanted.length).toBeGreaterThan(60)
      expect(got.toSorted()).toEqual(wanted.toSorted())
    })
    await rest.cancel()
  }
})
