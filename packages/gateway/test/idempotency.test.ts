import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { StoreError } from '@tidemark/shared/store/ports/errors'
import type { AppendOutcome, GatewayStore } from '@tidemark/shared/store/ports/gateway'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { problemSchema } from '../src/http/documentation.ts'
import { ingestResultSchema } from '../src/ingest/routes.ts'
import { createTestApp, NOW, storedSamples } from './support/fixture.ts'

const SAMPLES = JSON.stringify(Array.from({ length: 20 }, (_, value) => ({ key: `k${value}`, value })))

function headers(key: string, type = 'application/json'): Record<string, string> {
  return { 'Content-Type': type, 'Idempotency-Key': key }
}

async function valuesIn(store: MemoryStore): Promise<number[]> {
  return (await storedSamples(store)).map(({ value }) => value).sort((a, b) => a - b)
}

const REFUSED: AppendOutcome = { kind: 'failed', error: new StoreError('OOM', { kind: 'refused' }) }
const UNKNOWN: AppendOutcome = { kind: 'failed', error: new StoreError('cut', { kind: 'unknown' }) }

describe('a request with an Idempotency-Key', () => {
  test('gets the original response when it is retried, including rejected samples, and stores nothing', async () => {
    const store = createMemoryStore()
    const { post, registry } = createTestApp({ store })
    const body = '[{"key":"a","value":1},{"key":"b","value":"x"},{"key":"c","value":3}]'
    const first = await post(body, headers('k1'))
    expect(first.status).toBe(202)
    const answer = ingestResultSchema.parse(await first.json())
    expect(answer).toMatchObject({ accepted: 2, rejected: [{ index: 1 }] })
    for (let i = 0; i < 3; i++) {
      const again = await post(body, headers('k1'))
      expect(again.status).toBe(202)
      expect(await again.json()).toEqual(answer)
    }
    expect(await valuesIn(store)).toEqual([1, 3])
    const metrics = await registry.metrics()
    expect(metrics).toContain('gateway_samples_accepted_total 2\n')
    expect(metrics).toContain('gateway_samples_repeated_total 6\n')
  })

  test('gets the same response when it is retried through another gateway', async () => {
    const store = createMemoryStore()
    const gateways = [store, store.connect()].map(one => createTestApp({ store: one }))
    const answers = await Promise.all(
      [...gateways, ...gateways].map(async ({ post }) => (await post(SAMPLES, headers('k1'))).json()),
    )
    expect(new Set(answers.map(answer => JSON.stringify(answer))).size).toBe(1)
    expect(await valuesIn(store)).toHaveLength(20)
  })

  test('gets 422 with another body, whatever the partitions of the bodies, and stores nothing', async () => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    expect((await post('{"key":"a","value":1}', headers('k1'))).status).toBe(202)
    for (let i = 0; i < 20; i++) {
      const response = await post(JSON.stringify({ key: `other${i}`, value: 1 }), headers('k1'))
      expect(response.status).toBe(422)
      expect(problemSchema.parse(await response.json()).type).toBe('urn:tidemark:problem:idempotency-key-reused')
    }
    // The same bytes in another format are another body.
    expect((await post('{"key":"a","value":1}', headers('k1', 'application/x-ndjson'))).status).toBe(422)
    expect(await valuesIn(store)).toEqual([1])
  })

  test('is distinct from the same body with another key or without one', async () => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    for (const key of ['k1', 'k2']) await post('{"key":"a","value":1}', headers(key))
    await post('{"key":"a","value":1}')
    await post('{"key":"a","value":1}')
    expect(await valuesIn(store)).toEqual([1, 1, 1, 1])
  })

  test('is completed by a retry, partition by partition, after it was stored in part', async () => {
    const store = createMemoryStore()
    const refused = new Set([0, 3, 5, 9])
    const { post } = createTestApp({
      store,
      override: {
        append: batches =>
          Promise.all(
            batches.map(async batch => {
              if (refused.has(batch.partition)) return REFUSED
              return (await store.gateway.append([batch]))[0] ?? REFUSED
            }),
          ),
      },
    })
    const partial = await post(SAMPLES, headers('k1'))
    expect(partial.status).toBe(503)
    const { accepted = 0, receipts = [] } = problemSchema.parse(await partial.json())
    expect(accepted).toBeGreaterThan(0)
    expect(accepted).toBeLessThan(20)
    refused.clear()
    const whole = await post(SAMPLES, headers('k1'))
    expect(whole.status).toBe(202)
    const result = ingestResultSchema.parse(await whole.json())
    expect(result.accepted).toBe(20)
    expect(result.receipts).toEqual(expect.arrayContaining(receipts))
    expect(await valuesIn(store)).toEqual(Array.from({ length: 20 }, (_, value) => value))
  })

  test('is not stored twice when the response of the store was lost', async () => {
    const store = createMemoryStore()
    let isCut = true
    const { post } = createTestApp({
      store,
      override: {
        async append(batches) {
          const outcomes = await store.gateway.append(batches)
          return isCut ? batches.map(() => UNKNOWN) : outcomes
        },
      },
    })
    expect((await post(SAMPLES, headers('k1'))).status).toBe(503)
    isCut = false
    const answer = await post(SAMPLES, headers('k1'))
    expect(await answer.json()).toMatchObject({ accepted: 20 })
    expect(await valuesIn(store)).toHaveLength(20)
  })

  test('gets 503 when the claim fails, and stores nothing', async () => {
    const store = createMemoryStore()
    const claimRequest = () => Promise.reject(new StoreError('away', { kind: 'unknown' }))
    const { post, registry } = createTestApp({ store, override: { claimRequest } })
    const response = await post(SAMPLES, headers('k1'))
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    expect(await valuesIn(store)).toEqual([])
    expect(await registry.metrics()).toContain('gateway_samples_rejected_total{reason="store"} 20\n')
  })

  test('gets 503 with a Retry-After when the store is at its memory limit, and stores nothing', async () => {
    const store = createMemoryStore()
    const { post, registry } = createTestApp({
      store,
      override: { claimRequest: async () => ({ kind: 'no-memory' }) },
    })
    const response = await post(SAMPLES, headers('k1'))
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    expect(await valuesIn(store)).toEqual([])
    expect(await registry.metrics()).toContain('gateway_samples_rejected_total{reason="memory"} 20\n')
  })

  test('gets the usual 400 without a valid sample, and its key stays free', async () => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    expect((await post('[{"key":"a"}]', headers('k1'))).status).toBe(400)
    expect((await post('[]', headers('k1'))).status).toBe(202)
    expect((await post('{"key":"a","value":1}', headers('k1'))).status).toBe(202)
  })

  test('is rejected with a Retry-After at the limit of kept keys, until some expire', async () => {
    let now = NOW
    const store = createMemoryStore({ partitions: 1, requestsMax: 2, now: () => now })
    const { post, registry } = createTestApp({ store, settings: { IDEMPOTENCY_TTL_MS: '8000' } })
    expect((await post('{"key":"a","value":1}', headers('k1'))).status).toBe(202)
    const response = await post('[{"key":"a","value":2},{"key":"a","value":3}]', headers('k2'))
    expect(response.status).toBe(503)
    const retryAfterS = Number(response.headers.get('Retry-After'))
    expect(retryAfterS).toBeGreaterThanOrEqual(9)
    expect(retryAfterS).toBeLessThanOrEqual(13)
    expect(await registry.metrics()).toContain('gateway_samples_rejected_total{reason="keys"} 2\n')
    // The limit does not affect requests without a key, and retries.
    expect((await post('{"key":"a","value":4}')).status).toBe(202)
    expect((await post('{"key":"a","value":1}', headers('k1'))).status).toBe(202)
    now += 100_000
    expect((await post('{"key":"a","value":2}', headers('k2'))).status).toBe(202)
    expect(await valuesIn(store)).toEqual([1, 2, 4])
  })

  test('is remembered for the TTL after its last use, and stored again after that', async () => {
    let now = NOW
    const store = createMemoryStore({ now: () => now })
    const { post } = createTestApp({ store, settings: { IDEMPOTENCY_TTL_MS: '5000' } })
    const send = async () => {
      const response = await post('{"key":"a","value":1}', headers('k1'))
      return ingestResultSchema.parse(await response.json()).receipts
    }
    const first = await send()
    for (let i = 0; i < 3; i++) {
      now += 4999
      expect(await send()).toEqual(first)
    }
    now += 5000 + 60_000
    expect(await send()).not.toEqual(first)
    expect((await post('{"key":"b","value":1}', headers('k1'))).status).toBe(422)
    now += 5000
    expect((await post('{"key":"b","value":1}', headers('k1'))).status).toBe(202)
  })

  test.each([
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', '8e03978e-40d5-43dd-bc93-6894a57f9324'],
    ['"a \\"quoted\\" \\\\ one, two"', undefined],
    ['~', '"~"'],
    [' spaced in the middle ', '"spaced in the middle"'],
    [`"${'x'.repeat(255)}"`, 'x'.repeat(255)],
    ['__proto__', '"__proto__"'],
  ])('may be called %s', async (key, same) => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    for (const one of [key, key, same ?? key]) {
      expect((await post('{"key":"a","value":1}', headers(one))).status).toBe(202)
    }
    expect(await valuesIn(store)).toEqual([1])
  })

  test.each([
    '',
    '  ',
    '""',
    '"',
    '"a',
    'a"b',
    '"a" "b"',
    '"a", "b"',
    'a, b',
    'x'.repeat(256),
    '"\\x"',
    'é',
    '"a";p=1',
  ])('must not be called %j: 400, and nothing is stored', async key => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    const response = await post('{"key":"a","value":1}', headers(key))
    expect(response.status).toBe(400)
    expect(problemSchema.parse(await response.json()).type).toBe('urn:tidemark:problem:idempotency-key-invalid')
    expect(await valuesIn(store)).toEqual([])
  })
})

describe('any failures and any number of retries', () => {
  /** The outcome of one store operation. */
  type Fate = 'ok' | 'refused' | 'lost'
  const fate = fc.constantFrom<Fate>('ok', 'refused', 'lost')

  const requests = fc.array(
    fc.record({
      body: fc.nat(5),
      gateway: fc.nat(1),
      isAwaited: fc.boolean(),
    }),
    { maxLength: 30 },
  )

  test('each sample of a keyed request is stored at most once, and exactly once if any response was 202', async () => {
    await fc.assert(
      fc.asyncProperty(requests, fc.array(fate, { minLength: 1, maxLength: 40 }), async (plan, fates) => {
        const store = createMemoryStore({ partitions: 4 })
        let calls = 0
        const next = (): Fate => fates[calls++ % fates.length] ?? 'ok'
        const override: Partial<GatewayStore> = {
          append: batches =>
            Promise.all(
              batches.map(async (batch): Promise<AppendOutcome> => {
                const fateOf = next()
                if (fateOf === 'refused') return REFUSED
                const [outcome = REFUSED] = await store.gateway.append([batch])
                return fateOf === 'lost' ? UNKNOWN : outcome
              }),
            ),
          async claimRequest(claim) {
            const fateOf = next()
            if (fateOf === 'refused') throw new StoreError('no', { kind: 'refused' })
            const outcome = await store.gateway.claimRequest(claim)
            if (fateOf === 'lost') throw new StoreError('cut', { kind: 'unknown' })
            return outcome
          },
        }
        const gateways = [createTestApp({ store, override }), createTestApp({ store: store.connect(), override })]
        const accepted = new Map<number, string>()
        const sent = new Set<number>()
        const answers: Promise<void>[] = []
        for (const { body, gateway, isAwaited } of plan) {
          sent.add(body)
          // Each body has values of its own.
          const samples = Array.from({ length: 6 }, (_, i) => ({ key: `k${i}`, value: 10 * body + i }))
          const { post } = gateways[gateway] ?? createTestApp()
          const send = async (): Promise<void> => {
            const response = await post(JSON.stringify(samples), headers(`"${body}"`))
            expect([202, 503]).toContain(response.status)
            if (response.status !== 202) return
            const text = await response.text()
            expect(accepted.get(body) ?? text).toBe(text)
            accepted.set(body, text)
          }
          const answer = send()
          answers.push(answer)
          if (isAwaited) await answer
        }
        await Promise.all(answers)
        const values = await valuesIn(store)
        expect(new Set(values).size).toBe(values.length)
        for (const body of accepted.keys()) {
          expect(values.filter(value => Math.floor(value / 10) === body)).toHaveLength(6)
        }
        expect(values.filter(value => !sent.has(Math.floor(value / 10)))).toEqual([])
      }),
      // Each run creates two gateways, which takes most of the time.
      { numRuns: 50 },
    )
  })
})
