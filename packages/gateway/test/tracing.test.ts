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

/** What the only entry carries. */
async function carriedBy(store: MemoryStore) {
  const partition = partitionOf('edge-1/rps', store.partitions)
  await store.analyzer.loadCheckpoint(partition)
  const [found] = await store.analyzer.read([partition], { count: 1, blockMs: 0 })
  const traces = found?.entries[0]?.traces
  return traces === undefined ? undefined : unpackTraces(traces)
}

describe('without anybody who collects spans', () => {
  test.each([
    ['a traceparent goes on with the samples', { traceparent: TRACEPARENT }, [TRACE]],
    ['so it does where the request may come again', { traceparent: TRACEPARENT, 'Idempotency-Key': 'k' }, [TRACE]],
    ['one that breaks the rules does not', { traceparent: 'gibberish' }, undefined],
    ['where there is none the entry has no field for it', {}, undefined],
  ])('%s', async (_, headers, expected) => {
    const store = createMemoryStore()
    const { post } = createTestApp({ store })
    expect((await post(SAMPLE, { ...JSON_TYPE, ...headers } as Record<string, string>)).status).toBe(202)
    expect(await carriedBy(store)).toEqual(expected)
  })
})

describe('with somebody who does', () => {
  test('a request has a span in the trace that it came with, and its samples go on from there', async () => {
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

  test('a trace begins here where none came, and routes that are polled have none', async () => {
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

  test.each([true, false])('samples carry a trace that begins here when it is recorded: %s', async isSampled => {
    const store = createMemoryStore()
    const spans = createRecordedSpans({ isSampled })
    await createTestApp({ store, spans }).post(SAMPLE)
    expect(await carriedBy(store)).toEqual(isSampled ? [spans.all[0]?.context] : undefined)
  })

  test('a span failed when the gateway did', async () => {
    const spans = createRecordedSpans()
    const { post } = createTestApp({ spans, isStoreOpen: false })
    await post(SAMPLE)
    expect(spans.all[0]?.end?.fault).toBe('answered 503')
  })
})
