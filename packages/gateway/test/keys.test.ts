import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { describe, expect, test } from 'vitest'
import { createTestApp, storedSamples } from './support/fixture.ts'

const body = (...keys: string[]) => JSON.stringify(keys.map(key => ({ key, value: 1 })))

async function metricOf(registry: { metrics(): Promise<string> }, line: string): Promise<number> {
  const found = (await registry.metrics()).split('\n').find(one => one.startsWith(line))
  return Number(found?.split(' ').at(-1))
}

describe('samples of new keys beyond KEYS_MAX', () => {
  test('are rejected by item with the limit and the remedy, while known keys go on', async () => {
    const store = createMemoryStore({ partitions: 4 })
    const { post, registry } = createTestApp({ store, settings: { KEYS_MAX: '2' } })
    expect((await post(body('a', 'b'))).status).toBe(202)
    const response = await post(body('c', 'a', 'd', 'c', 'b'))
    expect(response.status).toBe(202)
    const result = (await response.json()) as { rejected: { reason: string }[] }
    expect(result).toMatchObject({ accepted: 2, rejected: [{ index: 0 }, { index: 2 }, { index: 3 }] })
    expect(result.rejected[0]?.reason).toBe(
      'sample 0: key "c" is new, and the deployment has all 2 keys that it may have (KEYS_MAX): known keys go on. ' +
        'Delete keys, or raise KEYS_MAX',
    )
    const stored = (await storedSamples(store)).map(({ key }) => key).toSorted()
    expect(stored).toEqual(['a', 'a', 'b', 'b'])
    expect(await metricOf(registry, 'gateway_samples_rejected_total{reason="keys_max"}')).toBe(3)
    expect(await metricOf(registry, 'gateway_keys ')).toBe(2)
    expect(await metricOf(registry, 'gateway_keys_max ')).toBe(2)
  })

  test('alone are a 403, which agents do not repeat, and with invalid ones too', async () => {
    const { post } = createTestApp({ settings: { KEYS_MAX: '1' } })
    await post(body('a'))
    for (const text of [body('b'), '[{"key":"b","value":1},{"key":"a","value":"x"}]']) {
      const response = await post(text)
      expect(response.status).toBe(403)
      expect(await response.json()).toMatchObject({
        type: 'urn:tidemark:problem:keys-limit-reached',
        accepted: 0,
        receipts: [],
        rejected: [{ index: 0 }, ...(text.includes('x') ? [{ index: 1 }] : [])],
      })
    }
  })

  test('keep the samples of a request in the order of each key', async () => {
    const store = createMemoryStore({ partitions: 4 })
    const { post } = createTestApp({ store })
    await post(body('a'))
    const text = JSON.stringify([1, 2, 3, 4].flatMap(value => ['a', 'b', 'é'].map(key => ({ key, value }))))
    expect(await (await post(text)).json()).toMatchObject({ accepted: 12, rejected: [] })
    for (const key of ['b', 'é']) {
      expect((await storedSamples(store)).filter(one => one.key === key).map(({ value }) => value)).toEqual([
        1, 2, 3, 4,
      ])
    }
  })
})

describe('DELETE /keys', () => {
  /** Does what the owners of all partitions do. */
  async function applyDeletions(store: ReturnType<typeof createMemoryStore>): Promise<void> {
    for (let partition = 0; partition < store.partitions; partition++) {
      const lease = { partition, token: 'owner:1' }
      await store.analyzer.acquireLease(partition, lease.token, 1e6)
      for (const { id, wanted } of await store.keys.deletions(partition)) {
        const { keys: all } = await store.keys.scan(partition, { list: 'registry', cursor: '0', count: 1000 })
        const doomed = all.filter(key => ('key' in wanted ? key === wanted.key : key.startsWith(wanted.prefix)))
        const { rulesVersion, attempt: _, ...from } = await store.analyzer.loadCheckpoint(partition)
        await store.analyzer.commit(lease, {
          ...{ from, to: from, entries: [], witness: undefined, analysed: 0, dead: 0, rulesVersion, keys: [] },
          ...{
            anomalies: [],
            deadLetters: [],
            verdicts: [],
            keepFrom: undefined,
            timers: [],
            counts: [],
            shadowed: [],
          },
          alerts: { opened: [], ended: [] },
          evicted: doomed.map(key => ({ key, shadow: `\u0001${key}`, deletion: id })),
        })
        await store.keys.finishDeletion(lease, id)
      }
    }
  }

  async function setUp(...keys: string[]) {
    const store = createMemoryStore({ partitions: 4 })
    const { app, post } = createTestApp({ store })
    await post(body(...keys))
    const remove = async (target: string) => {
      const response = app.request(target, { method: 'DELETE' })
      const timer = setInterval(() => void applyDeletions(store), 10)
      try {
        const { status } = await response
        return { status, body: await (await response).json() }
      } finally {
        clearInterval(timer)
      }
    }
    const known = async (key: string) =>
      (await store.keys.lookUp([{ partition: partitionOf(key, 4), key }]))[0] === 'registered'
    return { app, store, remove, known }
  }

  const done = (deleted: number, isDryRun = false) => ({ deleted, dry_run: isDryRun, pending: 0 })

  test.each([
    ['edge-17/rps', '/keys/edge-17/rps'],
    ['edge-17/rps', '/keys/edge-17%2Frps'],
    ['a//b/', '/keys/a//b/'],
    ['100%/é 😀', `/keys/${encodeURIComponent('100%/é 😀')}`],
    ['%2F', '/keys/%252F'],
    ['cardinality', '/keys/cardinality'],
  ])('deletes the key %s by %s', async (key, target) => {
    const { remove, known } = await setUp(key, 'other')
    expect(await remove(`${target}?dry_run=true`)).toEqual({ status: 200, body: done(1, true) })
    expect(await known(key)).toBe(true)
    expect(await remove(target)).toEqual({ status: 200, body: done(1) })
    expect(await known(key)).toBe(false)
    expect(await known('other')).toBe(true)
    expect((await remove(target)).status).toBe(404)
  })

  test('deletes all keys with a prefix, or all', async () => {
    const { remove, known } = await setUp('edge-1/a', 'edge-1/b', 'edge-10/a', 'x')
    expect(await remove('/keys?prefix=edge-1%2F&dry_run=true')).toEqual({ status: 200, body: done(2, true) })
    expect(await remove('/keys?prefix=edge-1%2F')).toEqual({ status: 200, body: done(2) })
    expect(await Promise.all(['edge-1/a', 'edge-1/b', 'edge-10/a'].map(known))).toEqual([false, false, true])
    expect(await remove('/keys?prefix=nothing')).toEqual({ status: 200, body: done(0) })
    expect(await remove('/keys?all=true')).toEqual({ status: 200, body: done(2) })
  })

  test.each(['/keys', '/keys?prefix=', '/keys?all=false', '/keys?prefix=a&all=true', '/keys?prefix=a&dry_run=yes'])(
    'refuses %s',
    async target => {
      const { remove, known } = await setUp('a')
      expect((await remove(target)).status).toBe(400)
      expect(await known('a')).toBe(true)
    },
  )

  test('responds 202 while no analyzer applies it', async () => {
    const { app } = await setUp('a')
    const response = await app.request('/keys/a', { method: 'DELETE' })
    expect(response.status).toBe(202)
    expect(await response.json()).toEqual({ deleted: 0, dry_run: false, pending: 1 })
  })
})

describe('GET /keys/cardinality', () => {
  test('counts keys by prefix, hour and API key', async () => {
    const { app, post } = createTestApp({ settings: { KEYS_MAX: '5000' } })
    await post(body('e/1/a', 'e/1/b', 'e/2/a', 'f/1', 'plain'))
    const read = async (query: string) =>
      (await app.request(`/keys/cardinality${query}`)).json() as Promise<{ prefixes: unknown }>
    expect(await read('')).toEqual({
      keys: 5,
      keys_max: 5000,
      estimated: false,
      prefixes: [
        { prefix: 'e/', keys: 3 },
        { prefix: 'f/', keys: 1 },
        { prefix: 'plain', keys: 1 },
      ],
      new_keys: [{ hour: expect.any(Number), keys: 5 }],
      api_keys: [{ id: null, keys: 5 }],
    })
    expect((await read('?depth=2&limit=2')).prefixes).toEqual([
      { prefix: 'e/1/', keys: 2 },
      { prefix: 'e/2/', keys: 1 },
    ])
    expect(await read('?prefix=e/1')).toMatchObject({ keys: 2, prefixes: [{ prefix: 'e/', keys: 2 }] })
    expect((await app.request('/keys/cardinality?depth=0')).status).toBe(400)
  })

  test('estimates from a part of the keys, and keeps the result for a while', async () => {
    const store = createMemoryStore({ partitions: 1 })
    let scans = 0
    const size = 1_000_000
    const keys = {
      ...store.keys,
      counts: async () => ({ partitions: [{ keys: size, evicted: 0 }], owners: [] }),
      async scan(_: number, { cursor }: { cursor: string }) {
        scans++
        const page = Array.from({ length: 1000 }, (_unused, n) => `${n % 4 === 0 ? 'a' : 'b'}/${cursor}-${n}`)
        return { keys: page, scanned: 1000, size, next: String(Number(cursor) + 1) }
      },
    }
    const { app } = createTestApp({ store: { ...store, keys } })
    const read = async () => (await app.request('/keys/cardinality')).json() as Promise<{ prefixes: unknown }>
    const first = await read()
    expect(first).toMatchObject({ keys: size, estimated: true })
    expect(first.prefixes).toEqual([
      { prefix: 'b/', keys: 750_000 },
      { prefix: 'a/', keys: 250_000 },
    ])
    expect(await read()).toEqual(first)
    expect(scans).toBe(200)
  })
})
