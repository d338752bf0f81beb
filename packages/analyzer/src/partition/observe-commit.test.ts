import { packTraces } from '@tidemark/shared/sample/entry'
import type { TraceContext } from '@tidemark/shared/sample/trace-context'
import { createRecordedSpans } from '@tidemark/testkit/recorded-spans'
import { packSamples } from '@tidemark/testkit/samples'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { Effects } from '../judging/effects.ts'
import { takeRun } from '../judging/run.ts'
import { createAnalyzerMetrics } from '../metrics.ts'
import { createTracing, observeEffects, tracesOf } from './observe-commit.ts'

const trace = (letter: string, isSampled: boolean): TraceContext => ({
  traceId: letter.repeat(32),
  spanId: letter.repeat(16),
  isSampled,
})
const RECORDED = trace('a', true)
const ALSO_RECORDED = trace('b', true)
const UNRECORDED = trace('c', false)

const samples = packSamples([{ key: 'k', value: 1, timestamp: 1 }])
const entry = { samples, count: 1, nonce: 'r' }
const run = takeRun(
  [
    { ...entry, id: '1000-0', offset: 0, traces: packTraces([RECORDED, UNRECORDED, ALSO_RECORDED]) },
    { ...entry, id: '1001-0', offset: 1 },
    { ...entry, id: '1002-0', offset: 2, traces: packTraces([UNRECORDED]) },
    { ...entry, id: '1003-0', offset: 3, samples: 'no JSON', traces: packTraces([RECORDED]) },
    { ...entry, id: '1004-0', offset: 4, traces: 'no traceparent' },
  ],
  { id: '0-0', offset: 0 },
  100,
)

async function observe() {
  const registry = new Registry()
  const metrics = createAnalyzerMetrics(registry)
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'debug' }, { write: line => lines.push(JSON.parse(line)) })
  const spans = createRecordedSpans()
  const onTraced = createTracing({ metrics, log, spans, now: () => 1300 })
  onTraced({ partition: 3, run, outcome: { kind: 'ok', at: 1200 }, tookMs: 40 })
  return { lines, spans: spans.all, exemplars: [...metrics.delaySeconds.exemplars.values()] }
}

test('each sampled trace gets a span of its own, and no other trace does', async () => {
  const { spans } = await observe()
  expect(spans.map(({ parent, end, attributes }) => [parent, end?.fault, attributes['messaging.message.id']])).toEqual([
    [RECORDED, undefined, '3:1000-0'],
    [ALSO_RECORDED, undefined, '3:1000-0'],
    [RECORDED, 'its field "s" is not JSON', '3:1003-0'],
  ])
  expect(spans[0]).toMatchObject({ startMs: 1260, attributes: { 'tidemark.samples': 1, 'tidemark.delay_ms': 200 } })
})

test('each traced entry has a log line, except for a dead letter, which has its own', async () => {
  const { lines } = await observe()
  expect(lines.map(({ receipt, trace_id, trace_ids }) => [receipt, trace_id, trace_ids])).toEqual([
    ['3:1000-0', RECORDED.traceId, [RECORDED, ALSO_RECORDED, UNRECORDED].map(({ traceId }) => traceId)],
    ['3:1002-0', UNRECORDED.traceId, undefined],
  ])
  expect(tracesOf(run, '1003-0')).toEqual({ trace_id: RECORDED.traceId, span_id: RECORDED.spanId })
  expect(tracesOf(run, '1001-0')).toEqual({})
})

test('the latency has a sampled trace as exemplar, and none of a dead letter', async () => {
  const { exemplars } = await observe()
  expect(exemplars).toEqual([
    expect.stringContaining(`{trace_id="${RECORDED.traceId}",span_id="${RECORDED.spanId}"} 0.2 `),
  ])
})

test('metrics_anomaly_total counts the anomalies of load reports, and no others', async () => {
  const registry = new Registry()
  const effects = new Effects({ partition: 0, alertWaitMs: 0 })
  for (const key of ['default/rps', 'default/rps/2', 'edge-1/rps', 'default/rps']) {
    effects.anomalies.push(`{"key":${JSON.stringify(key)},"value":9}`)
  }
  observeEffects(effects, { metrics: createAnalyzerMetrics(registry), log: pino({ level: 'silent' }) })
  const text = await registry.metrics()
  expect(text).toContain('metrics_anomaly_total 2\n')
  expect(text).toContain('analyzer_anomalies_total 4\n')
})
