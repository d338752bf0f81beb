import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import { packSamples } from '@tidemark/testkit/samples'
import { describe, expect, test } from 'vitest'
import { deadPageSchema } from '../src/dead-letters/routes.ts'
import { addDeadLetters, createTestApp, type TestAppOptions } from './support/fixture.ts'
import { problemOf } from './support/problem.ts'

const PARTITIONS = 4

/** A key of the partition. */
function keyIn(partition: number): string {
  for (let i = 0; ; i++) if (partitionOf(`key ${i}`, PARTITIONS) === partition) return `key ${i}`
}

async function page(app: ReturnType<typeof createTestApp>['app'], query = '') {
  const response = await app.request(`/dead${query}`)
  expect(response.status).toBe(200)
  return deadPageSchema.parse(await response.json())
}

describe('GET /dead', () => {
  test('lists the dead letters of all partitions, newest first, by page', async () => {
    let now = 1000
    const store = createMemoryStore({ partitions: PARTITIONS, now: () => now })
    const { app } = createTestApp({ store })
    const receipts: string[] = []
    for (const partition of [0, 1, 2, 0, 1, 3]) {
      receipts.push(...(await addDeadLetters(store, ['not JSON'], partition)))
      // Every second id exists in two partitions.
      if (receipts.length % 2 === 0) now++
    }
    expect((await page(app)).dead.map(({ id }) => id).toSorted()).toEqual(receipts.toSorted())
    const paged: string[] = []
    for (let query = '?limit=2'; ; ) {
      const { dead, cursor } = await page(app, query)
      paged.push(...dead.map(({ id }) => id))
      if (cursor === null) break
      query = `?limit=2&cursor=${cursor}`
    }
    expect(paged).toEqual((await page(app)).dead.map(({ id }) => id))
    expect((await page(app)).dead[0]).toMatchObject({ reason: 'reason 0', samples: 'not JSON', accepted_at: 1002 })
  })

  test.each(['?limit=0', '?limit=501', '?cursor=x', '?page=2'])('responds 400 to %s', async query => {
    expect((await createTestApp().app.request(`/dead${query}`)).status).toBe(400)
  })
})

describe('POST /dead/{id}/put-back', () => {
  test('stores the samples again, once', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const { app } = createTestApp({ store })
    const samples = packSamples([{ key: keyIn(0), value: 1, timestamp: 2 }])
    const [id] = await addDeadLetters(store, [samples])
    const response = await app.request(`/dead/${id}/put-back`, { method: 'POST' })
    expect(response.status).toBe(202)
    expect(await response.json()).toEqual({ accepted: 1, receipts: [expect.stringMatching(/^0:/)] })
    const [progress] = await store.gateway.progress([0])
    expect(progress).toMatchObject({ accepted: 2, dead: 1, backlog: 1 })
    expect((await app.request(`/dead/${id}/put-back`, { method: 'POST' })).status).toBe(404)
    expect((await page(app)).dead).toEqual([])
  })

  test('stores nothing more if it is retried because the dead letter was not removed', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    let failures = 1
    const { app } = createTestApp({
      store,
      override: {
        async discardDeadLetter(...args) {
          if (failures-- > 0) throw new StoreError('no response', { kind: 'unknown' })
          return store.gateway.discardDeadLetter(...args)
        },
      },
    })
    const [id] = await addDeadLetters(store, [packSamples([{ key: keyIn(0), value: 1, timestamp: 2 }])])
    expect((await app.request(`/dead/${id}/put-back`, { method: 'POST' })).status).toBe(503)
    expect((await app.request(`/dead/${id}/put-back`, { method: 'POST' })).status).toBe(202)
    expect((await store.gateway.progress([0]))[0]).toMatchObject({ accepted: 2, backlog: 1 })
    expect((await page(app)).dead).toEqual([])
  })

  test.each([
    ['not JSON', 'is not JSON'],
    ['[]', 'has no samples'],
    ['["k",1]', 'has 2 items'],
    ['["k","x",1]', 'sample 0'],
    [JSON.stringify([keyIn(0), 1e101, 1]), 'too large'],
    [JSON.stringify([`${keyIn(0)}\n`, 1, 1]), 'control characters'],
    [JSON.stringify([keyIn(1), 1, 1]), 'another partition'],
  ])('responds 409 to an entry that holds %s', async (text, reason) => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const { app } = createTestApp({ store })
    const [id] = await addDeadLetters(store, [text])
    const response = await app.request(`/dead/${id}/put-back`, { method: 'POST' })
    expect(response.status).toBe(409)
    expect(await response.text()).toContain(reason)
    expect((await page(app)).dead).toHaveLength(1)
  })

  test('responds 503 with Retry-After while the backlog of the partition is full', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS, backlogMax: 1 })
    const { app } = createTestApp({ store })
    const samples = packSamples([{ key: keyIn(0), value: 1, timestamp: 2 }])
    const [id] = await addDeadLetters(store, [samples])
    await store.gateway.append([{ partition: 0, samples, count: 1 }])
    const response = await app.request(`/dead/${id}/put-back`, { method: 'POST' })
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    expect((await page(app)).dead).toHaveLength(1)
  })
})

describe('a redrive goes the way of other samples', () => {
  const samples = packSamples([
    { key: keyIn(0), value: 1, timestamp: 2 },
    { key: keyIn(0), value: 2, timestamp: 3 },
  ])

  async function redrive(options: TestAppOptions = {}) {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const test = createTestApp({ store, ...options })
    const [id] = await addDeadLetters(store, [samples])
    return { ...test, store, response: await test.app.request(`/dead/${id}/put-back`, { method: 'POST' }) }
  }

  test('with its metrics', async () => {
    const { response, registry } = await redrive()
    expect(response.status).toBe(202)
    const metrics = await registry.metrics()
    expect(metrics).toContain('gateway_samples_accepted_total 2\n')
    expect(metrics).toContain('gateway_flush_samples_sum 2\n')
  })

  test.each([
    [{ kind: 'no-memory' }, 'overloaded', "the store's memory is at its limit", 'memory'],
    [{ kind: 'backlog-full', backlog: 9 }, 'overloaded', 'backlog of its partition is full', 'full'],
    [{ kind: 'limit-reached', roomInMs: 5000 }, 'overloaded', 'limit of kept Idempotency-Keys', 'keys'],
    [
      { kind: 'failed', error: new StoreError('away', { kind: 'refused' }) },
      'store-unavailable',
      'The store does not respond',
      'store',
    ],
    [
      { kind: 'failed', error: new StoreError('NOPERM', { kind: 'fatal' }) },
      'store-unavailable',
      'its log has the cause',
      'store',
    ],
  ] as const)('and says what keeps it from the store: %j', async (outcome, type, detail, reason) => {
    const { response, registry, app } = await redrive({ override: { append: async () => [outcome] } })
    expect([response.status, Number(response.headers.get('Retry-After')) > 0]).toEqual([503, true])
    const problem = await problemOf(response)
    expect(problem).toMatchObject({ type: `urn:tidemark:problem:${type}`, detail: expect.stringContaining(detail) })
    expect(await registry.metrics()).toContain(`gateway_samples_rejected_total{reason="${reason}"} 2\n`)
    expect((await page(app)).dead).toHaveLength(1)
  })

  test('within the bound of the queue', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const test = createTestApp({
      store,
      settings: { QUEUE_SAMPLES_MAX: '1' },
      override: { append: batches => released.then(() => store.gateway.append(batches)) },
    })
    const [id] = await addDeadLetters(store, [samples])
    const waiting = test.post('{"key":"a","value":1}')
    await expect.poll(() => test.services.batcher.samples).toBe(1)
    const response = await test.app.request(`/dead/${id}/put-back`, { method: 'POST' })
    expect(response.status).toBe(503)
    expect(await problemOf(response)).toMatchObject({ detail: expect.stringContaining('too many samples wait') })
    release()
    expect((await waiting).status).toBe(202)
  })
})

describe('POST /dead/{id}/discard', () => {
  test('deletes a dead letter, once', async () => {
    const store = createMemoryStore({ partitions: PARTITIONS })
    const { app, registry } = createTestApp({ store })
    const [a, b] = await addDeadLetters(store, ['x', 'y'])
    const response = await app.request(`/dead/${a}/discard`, { method: 'POST' })
    expect(await response.json()).toEqual({ discarded: a })
    expect((await app.request(`/dead/${a}/discard`, { method: 'POST' })).status).toBe(404)
    expect((await page(app)).dead.map(({ id }) => id)).toEqual([b])
    expect(await registry.metrics()).toContain('gateway_dead_entries_settled_total{how="discarded"} 1')
  })

  test.each(['x', '99:1-0', '0:1-0', '0:1'])('responds 404 to the id %s', async id => {
    for (const action of ['discard', 'put-back']) {
      expect((await createTestApp().app.request(`/dead/${id}/${action}`, { method: 'POST' })).status).toBe(404)
    }
  })

  test('supports POST only', async () => {
    const response = await createTestApp().app.request('/dead/0:1-0/discard')
    expect(response.status).toBe(405)
    expect(response.headers.get('Allow')).toBe('POST')
  })
})
