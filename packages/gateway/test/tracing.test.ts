import { unpackTraces } from '@tidemark/shared/sample/entry'
import { partitionOf } from '@tidemark/shared/sample/partition'
import { createMemoryStore, type MemoryStore } from '@tidemark/shared/store/memory/store'
import { createRecordedSpans } from '@tidemark/testkit/recorded-spans'
import { describe, expect, test } from 'vitest'
import { createTestApp } from './support/fixture.ts'

const TRACE = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', isSampled: true }
const TRACEPARENT = `00-${TRACE.traceId}-${TRACE.spanId}-01`
const JSON_TYPE = { 'Content-Type': 'application/json' }
const SAMPLE = '{"key":"edge-1/rps","value":420}'

/** The traces of the only entry. */
async function carriedBy(store: MemoryStore) {
  const partition = partitionOf('edge-1/rps', store.partitions)
  await store.analyzer.loadCheckpoint(partition)
  const [found] = await store.analyzer.read([partition], { count: 1, blockMs: 0 })
  const traces = found?.entries[0]?.traces
  return traces === undefined ? undefined : unpackTraces(traces)
}

describe('without a collector of spans', () => {
  test.each([
    ['the samples carry the traceparent of their request', { traceparent: TRACEPARENT }, [TRACE]],
    [
      'they also carry that of a request with an Idempotency-Key',
      { traceparent: TRACEPARENT, 'Idempotency-Key': 'k' },
      [TRACE],
    ],
    ['they do not carry an invalid traceparent', { traceparent: 'gibberish' }, undefined],
    ['without a traceparent the entry has no field for it', {}, undefined],
  ])('%s', async (_, headers, expected) => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    expect((await post(SAMPLE, { ...JSON_TYPE, ...headers } as Record<string, string>)).status).toBe(202)
    expect(await carriedBy(store)).toEqual(expected)
  })
})

describe('with a collector of spans', () => {
  test('a request has a span in the trace of its traceparent, and its samples carry that span', async () => {
    const store = createMemoryStore()
    const spans = createRecordedSpans()
    const { post } = createTestApp({ store, spans })
    await post(SAMPLE, { ...JSON_TYPE, traceparent: TRACEPARENT })
    expect(spans.all).toMatchObject([
      {
        name: 'POST /ingest',
        kind: 'server',
        parent: TRACE,
        end: { attributes: { 'http.response.status_code': 202 }, fault: undefined },
      },
    ])
    expect(await carriedBy(store)).toEqual([spans.all[0]?.context])
  })

  test('a request without a traceparent begins a trace, and polled routes have no span', async () => {
    const spans = createRecordedSpans()
    const { app, post } = createTestApp({ spans })
    await post(SAMPLE)
    await post('{')
    for (const path of ['/metrics', '/livez', '/analyze?key=edge-1%2Frps', '/nowhere']) await app.request(path)
    expect(spans.all.map(({ name, parent, end }) => [name, parent, end?.attributes, end?.fault])).toEqual([
      ['POST /ingest', undefined, { 'http.response.status_code': 202 }, undefined],
      ['POST /ingest', undefined, { 'http.response.status_code': 400 }, undefined],
      ['GET /analyze', undefined, { 'http.response.status_code': 404 }, undefined],
    ])
  })

  test.each([true, false])('samples carry a trace that begins here only if it is sampled: %s', async isSampled => {
    const store = createMemoryStore()
    const spans = createRecordedSpans({ isSampled })
    await createTestApp({ store, spans }).post(SAMPLE)
    expect(await carriedBy(store)).toEqual(isSampled ? [spans.all[0]?.context] : undefined)
  })

  test('a span fails when the gateway does', async () => {
    const spans = createRecordedSpans()
    const { post } = createTestApp({ spans, isStoreOpen: false })
    await post(SAMPLE)
    expect(spans.all[0]?.end?.fault).toBe('responded 503')
  })
})
