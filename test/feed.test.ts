import { Agent, get, type IncomingMessage } from 'node:http'
import type { Analysis } from '@tidemark/shared/verdict/analysis'
import { EventStreamParser, type ServerSentEvent } from '@tidemark/testkit/event-stream'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { rawClient } from '@tidemark/testkit/redis-probe'
import { Client } from '@tidemark/tools/stack/client'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { SECURED } from './support/secured.ts'

const CONNECTIONS = 2000
const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY })

/** Opens a feed, and continues it as a browser does whenever it ends. */
class Feed implements Disposable {
  readonly events: ServerSentEvent[] = []
  ended = 0
  /** Whether the feed is open now. */
  isOpen = false
  lastId = ''
  readonly #path: string
  readonly #portOf: () => number
  #response: IncomingMessage | undefined
  #isClosed = false

  constructor(portOf: () => number, query = '') {
    this.#portOf = portOf
    this.#path = `/events${query}`
    this.#connect()
  }

  get analyses(): Analysis[] {
    return this.events.filter(({ type }) => type === 'analysis').map(({ data }) => JSON.parse(data) as Analysis)
  }

  of(type: string): ServerSentEvent[] {
    return this.events.filter(event => event.type === type)
  }

  /** Ends the connection, as a network does. */
  cut(): void {
    this.#response?.destroy()
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    this.#response?.destroy()
  }

  #connect(): void {
    const headers = this.lastId === '' ? {} : { 'Last-Event-ID': this.lastId }
    const parser = new EventStreamParser(this.lastId)
    const again = (): void => {
      this.isOpen = false
      if (this.#isClosed) return
      this.ended++
      setTimeout(() => this.#connect(), 50)
    }
    const request = get({ host: '127.0.0.1', port: this.#portOf(), path: this.#path, agent, headers }, response => {
      this.#response = response
      this.isOpen = response.statusCode === 200
      response.on('data', (chunk: Buffer) => {
        if (this.isOpen) this.events.push(...parser.push(chunk))
        this.lastId = parser.lastId
      })
      response.on('error', () => {})
      response.on('close', again)
    })
    request.on('error', again)
  }
}

/** Sends samples of some keys until it is stopped, each exactly once whatever fails meanwhile. */
function startWriter(port: number, keys: readonly string[]) {
  let isStopped = false
  let sent = 0
  async function run(): Promise<void> {
    while (!isStopped) {
      const n = sent++
      const body = JSON.stringify(keys.map((key, i) => ({ key, value: n % 10 === 9 ? 1e6 * (n + 1) : (n + i) % 3 })))
      for (;;) {
        const response = await fetch(`http://127.0.0.1:${port}/ingest`, {
          method: 'POST',
          body,
          headers: { 'Idempotency-Key': `"n-${n}"`, 'Content-Type': 'application/json' },
        }).catch(() => undefined)
        await response?.text()
        if (response?.status === 202) break
        await new Promise(resolve => setTimeout(resolve, 50))
      }
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  const running = run()
  return {
    get sent() {
      return sent
    },
    async stop() {
      isStopped = true
      await running
      return sent
    },
  }
}

function expectEachOnce(feed: Feed, keys: readonly string[], sent: number): void {
  expect(feed.of('gap').concat(feed.of('coalesced'))).toEqual([])
  for (const key of keys) {
    const counts = feed.analyses.filter(one => one.key === key).map(({ count }) => count)
    expect(counts).toEqual(Array.from({ length: sent }, (_, n) => n + 1))
  }
}

describe.runIf(await redisAvailable())('live feeds', () => {
  test('continue over restarts of their gateway and of Redis, with no gap and no duplicate', async () => {
    await using redis = await startRedis(SECURED)
    const env = { REDIS_URL: redis.url, PARTITIONS: '4' }
    await using writing = await startGateway(env)
    await using _analyzer = await startAnalyzer(env)
    let serving: Service = await startGateway(env)
    const keys = Array.from({ length: 10 }, (_, i) => `edge-${i}/rps`)
    using all = new Feed(() => serving.port)
    using one = new Feed(() => serving.port, '?key=edge-3%2Frps&kind=analysis')
    using flagged = new Feed(() => serving.port, '?kind=anomaly&prefix=edge-1')
    const feeds = [all, one, flagged]
    await eventually(() => expect(feeds.every(({ lastId }) => lastId !== '')).toBe(true))
    const writer = startWriter(writing.port, keys)
    const more = async () => {
      const before = all.analyses.length
      await eventually(() => expect(all.analyses.length).toBeGreaterThan(before + 200))
    }
    await more()
    for (let n = 0; n < 2; n++) {
      await serving[Symbol.asyncDispose]()
      serving = await startGateway(env)
      await more()
    }
    // Killed, with nothing said to its clients.
    serving.child.kill()
    await serving.child.exited
    serving = await startGateway(env)
    await more()
    await redis.stop()
    await redis.start()
    await more()
    for (const feed of feeds) feed.cut()
    await more()
    const sent = await writer.stop()
    await eventually(() => expect(all.analyses).toHaveLength(sent * keys.length))
    await eventually(() => expect(one.analyses).toHaveLength(sent))
    expectEachOnce(all, keys, sent)
    expectEachOnce(one, ['edge-3/rps'], sent)
    const anomalies = all.of('anomaly').map(({ data }) => data)
    const own = anomalies.filter(data => (JSON.parse(data) as Analysis).key.startsWith('edge-1'))
    expect(own.length).toBeGreaterThan(5)
    await eventually(() => expect(flagged.events.map(({ data }) => data)).toEqual(own))
    expect(feeds.every(({ ended }) => ended >= 3)).toBe(true)
    // The same anomalies, and the band of each sample, are kept.
    const client = new Client(writing.port)
    const page = (await (await client.get('/anomalies?prefix=edge-1&limit=500')).json()) as { anomalies: Analysis[] }
    const kept = page.anomalies.map(one => JSON.stringify(one)).reverse()
    expect(kept.toSorted()).toEqual(own.toSorted())
    const history = await (await client.get('/history?key=edge-3%2Frps')).json()
    const last = one.analyses.slice(-50)
    expect(history).toMatchObject({
      values: last.map(({ value }) => value),
      low: last.map(({ low }) => low),
      high: last.map(({ high }) => high),
      mean: last.map(({ mean }) => mean),
      state: last.map(({ state }) => state),
    })
    await serving[Symbol.asyncDispose]()
  })

  test('shares the reads of Redis among 2,000 connections, and leaves requests their latency', async () => {
    await using redis = await startRedis(SECURED)
    const env = { REDIS_URL: redis.url, PARTITIONS: '4', REQUESTS_PER_CONNECTION_MAX: '0' }
    await using gateway = await startGateway(env)
    await using _analyzer = await startAnalyzer(env)
    await using stack = new AsyncDisposableStack()
    const client = new Client(gateway.port)
    const probe = stack.adopt(rawClient(redis.url), one => one.disconnect())
    const commands = async (): Promise<number> =>
      Number(/^cmdstat_xrange:calls=(\d+)/m.exec(await probe.info('commandstats'))?.[1] ?? 0)
    const open = async (count: number) => {
      const feeds = Array.from(
        { length: count },
        (_, i) => new Feed(() => gateway.port, i % 100 === 0 ? '' : `?key=edge-${i}/rps`),
      )
      await eventually(() => expect(feeds.filter(({ lastId }) => lastId !== '')).toHaveLength(count))
      return feeds
    }
    const close = (feeds: readonly Feed[]) => {
      for (const feed of feeds) feed[Symbol.dispose]()
    }
    const clients = async () => {
      const text = await (await client.get('/metrics')).text()
      return Number(/^gateway_feed_clients (\d+)/m.exec(text)?.[1])
    }
    /** Commands of the feed's reads in a second without samples. */
    const commandsPerS = async () => {
      await new Promise(resolve => setTimeout(resolve, 1000))
      const [before, begin] = [await commands(), performance.now()]
      await new Promise(resolve => setTimeout(resolve, 3000))
      return ((await commands()) - before) / ((performance.now() - begin) / 1000)
    }
    /** Median of some hundred requests, in milliseconds. */
    const latency = async () => {
      const times: number[] = []
      for (let n = 0; n < 400; n++) {
        const begin = performance.now()
        await client.ingest([{ key: `edge-${n % 100}/rps`, value: n % 7 }])
        times.push(performance.now() - begin)
        await new Promise(resolve => setTimeout(resolve, 2))
      }
      return times.toSorted((a, b) => a - b)[times.length / 2] ?? 0
    }
    await latency()
    const none = await commandsPerS()
    const first = await open(1)
    const one = await commandsPerS()
    close(first)
    const alone: number[] = []
    const together: number[] = []
    let feeds: Feed[] = []
    // In turns, because the machine may be busy with something else meanwhile.
    for (let n = 0; n < 3; n++) {
      close(feeds)
      await eventually(async () => expect(await clients()).toBe(0))
      alone.push(await latency())
      feeds = await open(CONNECTIONS)
      together.push(await latency())
    }
    const many = await commandsPerS()
    expect(one).toBeGreaterThan(none)
    expect(many).toBeLessThan(1.3 * one + 10)
    // Ten per cent on a quiet machine; the median of a busy one varies more by itself.
    expect(Math.min(...together)).toBeLessThan(1.3 * Math.min(...alone) + 1)
    // All of them are served.
    const before = feeds.map(({ events }) => events.length)
    await client.ingest(Array.from({ length: CONNECTIONS }, (_, i) => ({ key: `edge-${i}/rps`, value: 5 })))
    await eventually(() => expect(feeds.every(({ events }, i) => events.length > (before[i] ?? 0))).toBe(true))
    expect(await clients()).toBe(CONNECTIONS)
    close(feeds)
  })
})
