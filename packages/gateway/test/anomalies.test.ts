import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { toAnalysis, VERDICT_DEFAULTS } from '@tidemark/shared/verdict/analysis'
import { Random } from '@tidemark/testkit/random'
import { describe, expect, test } from 'vitest'
import { anomaliesPageSchema } from '../src/verdicts/schemas.ts'
import { testKey } from './support/api-keys.ts'
import { commitEffects, createTestApp, NOW } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const PARTITIONS = 4
const KEYS = ['edge-17/rps', 'edge-17/cpu', 'edge-1/rps', 'other/é', 'default/rps', '__proto__']

/** A store whose anomalies differ in `count`, in the order in which they were found. */
async function storeWith(number: number, timestampOf = (n: number) => NOW + n * 1000) {
  let now = NOW
  const store = createMemoryStore({ partitions: PARTITIONS, now: () => now })
  const random = new Random(7)
  const found: { key: string; n: number }[] = []
  for (let n = 0; n < number; n++) {
    // Some are found in the same millisecond, in one partition or in several.
    now += Math.floor(3 * random.uniform())
    const key = KEYS[Math.floor(KEYS.length * random.uniform())] ?? ''
    await addAnomaly(store, key, n, timestampOf(n))
    found.unshift({ key, n })
  }
  return { store, found }
}

async function addAnomaly(store: MemoryStore, key: string, n: number, timestamp: number): Promise<void> {
  const finding = { value: 420, mean: 400, deviation: 8, meanRest: 0, count: n, window: 50, judged: null }
  const partition = partitionOf(key, store.partitions)
  const context = { partition, id: `${NOW}-${n}`, analyzedAt: NOW + n, ...VERDICT_DEFAULTS }
  const analysis = toAnalysis({ key, timestamp, ...finding }, context)
  await commitEffects(store, partition, { anomalies: [JSON.stringify(analysis)] })
}

async function readAll(store: MemoryStore, query: string, key = testKey()) {
  const { app } = createTestApp({ store, keys: [key.record] })
  const pages: number[][] = []
  let cursor: string | null = null
  do {
    const more: string = cursor === null ? '' : `&cursor=${cursor}`
    const response = await app.request(`/anomalies?${query}${more}`, { headers: key.headers })
    expect(response.status).toBe(200)
    const page = anomaliesPageSchema.parse(await response.json())
    pages.push(page.anomalies.map(({ count }) => count))
    cursor = page.cursor
    expect(pages.length).toBeLessThan(1000)
  } while (cursor !== null)
  return pages
}

describe('GET /anomalies', () => {
  test.each([1, 3, 7, 50, 500])('returns all of them by pages of %d, newest first, each once', async limit => {
    const { store, found } = await storeWith(120)
    const pages = await readAll(store, `limit=${limit}`)
    const counts = pages.flat()
    expect(counts.toSorted((a, b) => b - a)).toEqual(found.map(({ n }) => n))
    expect(pages.every((page, i) => page.length === limit || i === pages.length - 1)).toBe(true)
    // Of the same millisecond, the partition decides.
    const disorder = counts.filter((n, i) => (counts[i + 1] ?? -1) > n + 20)
    expect(disorder).toEqual([])
  })

  test('is sorted by when they were found, not by timestamp', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS, now: () => now })
    let now = NOW
    for (const [n, key] of KEYS.entries()) {
      now += 10
      await addAnomaly(store, key, n, NOW - n * 1000)
    }
    expect(await readAll(store, 'limit=4')).toEqual([
      [5, 4, 3, 2],
      [1, 0],
    ])
  })

  test('is empty without any', async () => {
    expect(await readAll(createMemoryStore({ partitions: 2 }), '')).toEqual([[]])
  })

  test('passes a key, a prefix and times', async () => {
    const { store, found } = await storeWith(100)
    const where = (isWanted: (one: { key: string; n: number }) => boolean) => found.filter(isWanted).map(({ n }) => n)
    const all = async (query: string) => (await readAll(store, query)).flat().toSorted((a, b) => b - a)
    expect(await all(`key=${encodeURIComponent('other/é')}&limit=3`)).toEqual(where(({ key }) => key === 'other/é'))
    expect(await all('key=none')).toEqual([])
    expect(await all('prefix=edge-17%2F&limit=5')).toEqual(where(({ key }) => key.startsWith('edge-17/')))
    const from = NOW + 20_000
    expect(await all(`from=${from}`)).toEqual(where(({ n }) => n >= 20))
    expect(await all(`from=${new Date(from).toISOString()}&to=${NOW / 1000 + 25}`)).toEqual(
      where(({ n }) => n >= 20 && n <= 25),
    )
    expect(await all(`to=${from}&prefix=edge-1`)).toEqual(where(({ n, key }) => n <= 20 && key.startsWith('edge-1')))
  })

  test('reads little of each partition for a page, and stops where nothing can follow', async () => {
    const { store } = await storeWith(400)
    let read = 0
    const { app } = createTestApp({
      store,
      override: {
        async anomalies(partition, range) {
          const found = await store.gateway.anomalies(partition, range)
          read += found.length
          return found
        },
      },
    })
    await app.request('/anomalies?limit=10')
    expect(read).toBeLessThan(40)
    read = 0
    // Nothing that was found two days before can be of that time.
    const page = await app.request(`/anomalies?prefix=x&from=${NOW + 2 * 86_400_000}`)
    expect(await page.json()).toEqual({ anomalies: [], cursor: null })
    expect(read).toBeLessThanOrEqual(400)
  })

  test('looks at a bounded number for a page with filters, which then has a next one', async () => {
    const store = createMemoryStore({ partitions: 1, now: () => NOW })
    for (let n = 0; n < 5500; n++) await addAnomaly(store, n === 0 ? 'x' : 'y', n, NOW)
    const pages = await readAll(store, 'prefix=x')
    expect(pages).toEqual([[], [0]])
  })

  test('shows only the keys of an API key that is bound to a prefix', async () => {
    const { store, found } = await storeWith(60)
    const own = testKey({ key_prefix: 'edge-17/', scopes: ['read'] })
    const seen = (await readAll(store, 'limit=7', own)).flat().toSorted((a, b) => b - a)
    expect(seen).toEqual(found.filter(({ key }) => key.startsWith('edge-17/')).map(({ n }) => n))
    const { app } = createTestApp({ store, keys: [own.record] })
    expect((await app.request('/anomalies?key=other', { headers: own.headers })).status).toBe(403)
  })

  test.each([
    ['key=', 'key', 'must not be empty'],
    ['key=a&prefix=b', 'prefix', 'cannot be combined with key'],
    ['from=yesterday', 'from', 'must be a Unix time or an ISO 8601 time such as 2024-01-31T12:00:00Z'],
    ['from=2024-01-02&to=2024-01-01', 'to', 'must not be before from'],
    ['cursor=x', 'cursor', 'must be the cursor of a page'],
    ['cursor=99:1-0', 'cursor', 'must be the cursor of a page'],
    ['limit=501', 'limit', 'must be an integer from 1 to 500'],
    ['since=1', 'since', 'is not a parameter here'],
  ])('refuses ?%s', async (query, parameter, detail) => {
    const { app } = createTestApp()
    const response = await app.request(`/anomalies?${query}`)
    expect(response.status).toBe(400)
    expect(await problemOf(response)).toMatchObject({ errors: [{ parameter, detail }] })
  })

  test('leaves out a corrupt analysis', async () => {
    const { store } = await storeWith(3)
    await commitEffects(store, 0, { anomalies: ['{"key":1}'] })
    expect((await readAll(store, '')).flat()).toHaveLength(3)
  })
})
