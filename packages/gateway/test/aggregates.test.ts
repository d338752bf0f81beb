import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import type { AggregatedSample } from '@tidemark/testkit/aggregates-oracle'
import { aggregatesOf } from '@tidemark/testkit/stored-aggregates'
import { describe, expect, test } from 'vitest'
import { aggregatesSchema } from '../src/verdicts/schemas.ts'
import { commitEffects, createTestApp, NOW } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const KEY = 'edge 17/é'
const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** One sample in 5 s for eight hours, none in the last hour but one; all of the values 10 to 12. */
function samplesOf(): AggregatedSample[] {
  const begin = NOW - 8 * HOUR
  return Array.from({ length: (8 * HOUR) / 5000 }, (_, i) => {
    const timestamp = begin + 5000 * i
    return { value: 10 + (i % 3), timestamp, time: timestamp, isFlagged: i % 10 === 0 }
  }).filter(({ timestamp }) => timestamp < NOW - 2 * HOUR || timestamp >= NOW - HOUR)
}

async function createApp(samples: readonly AggregatedSample[] = samplesOf()) {
  const store = createMemoryStore({ partitions: 4 })
  const partition = partitionOf(KEY, store.partitions)
  await commitEffects(store, partition, { aggregates: aggregatesOf(KEY, samples) })
  const { app } = createTestApp({ store })
  return async (query: string) => app.request(`/aggregates?key=${encodeURIComponent(KEY)}${query}`)
}

async function bucketsOf(response: Response) {
  expect(response.status).toBe(200)
  return aggregatesSchema.parse(await response.json())
}

describe('GET /aggregates', () => {
  test('returns the finest buckets of the last 30 minutes, and marks the open one', async () => {
    const request = await createApp()
    const { step_ms, buckets } = await bucketsOf(await request(''))
    expect(step_ms).toBe(10_000)
    expect(buckets).toHaveLength(180)
    expect(buckets.map(({ open }) => open)).toEqual([...Array(179).fill(false), true])
    expect(buckets.at(-1)).toEqual({
      ...{ start: NOW - 10_000, count: 2, mean: 11.5, deviation: 0.5, min: 11, max: 12, anomalies: 0, open: true },
    })
    expect(buckets[0]).toMatchObject({ start: NOW - 30 * MINUTE, count: 2, anomalies: 1 })
  })

  test.each([
    ['20m', 10_000],
    ['5h', MINUTE],
    ['6d', 15 * MINUTE],
  ])('chooses the finest level that is kept for as long as `from` is ago: %s', async (ago, stepMs) => {
    const request = await createApp()
    const ms = Number.parseInt(ago, 10) * (ago.endsWith('d') ? 24 * HOUR : ago.endsWith('h') ? HOUR : MINUTE)
    const { step_ms, buckets } = await bucketsOf(await request(`&from=${NOW - ms}`))
    expect(step_ms).toBe(stepMs)
    expect(buckets[0]?.start).toBeGreaterThan(NOW - ms - stepMs)
  })

  test('an interval without samples has no bucket', async () => {
    const request = await createApp()
    const { buckets } = await bucketsOf(await request(`&from=${NOW - 3 * HOUR}&to=${NOW}&step=1m`))
    const starts = buckets.map(({ start }) => start)
    // An hour before and one after, which do not begin at a full minute.
    expect(buckets).toHaveLength(122)
    expect(starts.filter(start => start >= NOW - 2 * HOUR && start < NOW - HOUR - MINUTE)).toEqual([])
  })

  test('a longer step joins buckets exactly', async () => {
    const request = await createApp()
    const { step_ms, buckets } = await bucketsOf(await request('&step=2h'))
    expect(step_ms).toBe(2 * HOUR)
    expect(buckets.reduce((sum, { count }) => sum + count, 0)).toBe(samplesOf().length)
    expect(buckets.reduce((sum, { anomalies }) => sum + anomalies, 0)).toBe(504)
    for (const { min, max } of buckets) expect([min, max]).toEqual([10, 12])
    expect(buckets[1]?.mean).toBeCloseTo(11, 3)
    expect(buckets[1]?.deviation).toBeCloseTo(Math.sqrt(2 / 3), 2)
  })

  test('from and to name the buckets that overlap them', async () => {
    const request = await createApp()
    const { buckets } = await bucketsOf(await request(`&from=${NOW - 55_000}&to=${NOW - 30_000}`))
    expect(buckets.map(({ start }) => (start - NOW) / 1000)).toEqual([-60, -50, -40, -30])
  })

  test('a key without samples is 404, one without aggregates has no buckets', async () => {
    const store = createMemoryStore({ partitions: 4 })
    const { app } = createTestApp({ store })
    const response = await app.request('/aggregates?key=a')
    expect(await problemOf(response)).toMatchObject({ status: 404 })
    const window = { kind: 'row', bytes: new Uint8Array() } as const
    const keys = [{ key: 'a', window, analysis: '{"key":"a"}' }]
    await commitEffects(store, partitionOf('a', 4), { keys })
    expect(await (await app.request('/aggregates?key=a&step=15m')).json()).toEqual({
      ...{ key: 'a', step_ms: 15 * MINUTE, buckets: [] },
    })
  })

  test.each([
    ['&step=7s', 'step', 'must be a multiple of 10 s, at most 7d, such as 10s, 1m, 15m or 1h'],
    ['&step=0', 'step', 'must be a multiple of 10 s'],
    ['&step=8d', 'step', 'at most 7d'],
    ['&from=yesterday', 'from', ''],
    [`&from=${NOW}&to=${NOW - 1}`, 'to', 'must not be before from'],
    [`&from=${NOW - 24 * HOUR}&step=10s`, 'from', 'at most 1000: set step to 90s or more'],
    ['&levels=1', 'levels', 'is not a parameter here'],
  ])('%s is a problem that says what to change', async (query, parameter, detail) => {
    const request = await createApp()
    const response = await request(query)
    expect(await problemOf(response)).toMatchObject({
      ...{ status: 400, errors: [{ parameter, detail: expect.stringContaining(detail) }] },
    })
  })

  test('corrupt aggregates are none', async () => {
    const store = createMemoryStore({ partitions: 4 })
    const { states } = aggregatesOf(KEY, samplesOf())
    const corrupt = states.map(({ key, bytes }) => ({ key, bytes: bytes.map(byte => 255 - byte) }))
    await commitEffects(store, partitionOf(KEY, 4), { aggregates: { states: corrupt, writes: [] } })
    const { app } = createTestApp({ store })
    const response = await app.request(`/aggregates?key=${encodeURIComponent(KEY)}`)
    expect((await bucketsOf(response)).buckets).toEqual([])
  })
})
