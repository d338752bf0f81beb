import type { IngestResult } from '@tidemark/client/types'
import { eventually } from '@tidemark/testkit/eventually'
import { redisAvailable, startRedis } from '@tidemark/testkit/redis-fixture'
import { Client } from '@tidemark/tools/stack/client'
import { type Service, startAnalyzer, startGateway } from '@tidemark/tools/stack/service-process'
import { describe, expect, test } from 'vitest'
import { startOtlpReceiver } from './support/otlp-receiver.ts'
import { ENTRY_ANALYSED, SPANS_NOT_SENT } from './support/service-messages.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN_ID = '00f067aa0ba902b7'
const TRACEPARENT = `00-${TRACE_ID}-${SPAN_ID}-01`

/** Posts a sample with a traceparent and waits for its verdict. Returns the receipt. */
async function ingest({ port }: Service, traceparent: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/ingest`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', traceparent },
    body: JSON.stringify({ key: 'edge-1/rps', value: 420 }),
  })
  expect(response.status).toBe(202)
  const [receipt = ''] = ((await response.json()) as IngestResult).receipts
  await new Client(port).analysis('edge-1/rps', receipt)
  return receipt
}

async function scrape({ metricsPort }: Service): Promise<string> {
  const headers = { Accept: 'application/openmetrics-text; version=1.0.0' }
  return (await fetch(`http://127.0.0.1:${metricsPort}/metrics`, { headers })).text()
}

describe.runIf(await redisAvailable())('a traceparent that is sent with a sample', () => {
  test('is in the log of the analyzer and in an exemplar of its latency', async () => {
    await using redis = await startRedis()
    const env = { REDIS_URL: redis.url, LOG_LEVEL: 'debug' }
    const lines: string[] = []
    await using gateway = await startGateway(env)
    await using analyzer = await startAnalyzer(env, line => lines.push(line))

    const receipt = await ingest(gateway, TRACEPARENT)
    const exemplar = `# {trace_id="${TRACE_ID}",span_id="${SPAN_ID}"}`
    await eventually(async () => expect(await scrape(analyzer)).toContain(exemplar))
    expect(await scrape(analyzer)).toMatch(/analyzer_delay_seconds_bucket\{le="[^"]+"\} \d+ # \{trace_id="4bf9/)
    const about = lines.filter(line => line.includes(TRACE_ID)).map(line => JSON.parse(line))
    expect(about).toEqual([
      expect.objectContaining({
        receipt,
        samples: 1,
        trace_id: TRACE_ID,
        span_id: SPAN_ID,
        msg: ENTRY_ANALYSED,
      }),
    ])

    // An invalid traceparent is ignored, and the request is served.
    await ingest(gateway, TRACEPARENT.toUpperCase())
    expect(lines.filter(line => line.includes(ENTRY_ANALYSED))).toHaveLength(1)
  })

  test('is the trace of a span of each service, if a collector is configured', async () => {
    await using redis = await startRedis()
    await using receiver = await startOtlpReceiver()
    const env = { REDIS_URL: redis.url, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint }
    await using gateway = await startGateway(env)
    await using analyzer = await startAnalyzer({ ...env, OTEL_SERVICE_NAME: 'verdicts' })
    expect(analyzer.port).toBe(0)

    const receipt = await ingest(gateway, TRACEPARENT)
    await eventually(() => expect(receiver.spans.length).toBeGreaterThanOrEqual(3))
    const request = receiver.spans.find(({ name }) => name === 'POST /ingest')
    const analysis = receiver.spans.find(({ name }) => name === 'analyse')
    expect(request).toMatchObject({
      service: 'tidemark-gateway',
      traceId: TRACE_ID,
      parentSpanId: SPAN_ID,
      attributes: { 'http.route': '/ingest', 'http.response.status_code': 202 },
    })
    expect(analysis).toMatchObject({
      service: 'verdicts',
      traceId: TRACE_ID,
      parentSpanId: request?.spanId,
      attributes: { 'messaging.message.id': receipt, 'tidemark.samples': 1 },
    })
    expect(BigInt(analysis?.endTimeUnixNano ?? 0)).toBeGreaterThan(BigInt(request?.startTimeUnixNano ?? 0))
    // The read of the verdict had no traceparent, so its trace begins in the gateway.
    const read = receiver.spans.find(({ name }) => name === 'GET /analyze')
    expect(read?.traceId).not.toBe(TRACE_ID)
    expect(read?.parentSpanId ?? '').toBe('')
  })

  test('that is not sampled makes no spans, and an unavailable collector delays nothing', async () => {
    await using redis = await startRedis()
    await using receiver = await startOtlpReceiver()
    const unsampled = {
      REDIS_URL: redis.url,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_TRACES_SAMPLER_ARG: '0',
    }
    const lines: string[] = []
    {
      await using gateway = await startGateway(unsampled)
      await using _analyzer = await startAnalyzer(
        {
          REDIS_URL: redis.url,
          // The discard port, on which no server listens.
          OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
        },
        line => lines.push(line),
      )
      await ingest(gateway, TRACEPARENT.replace(/01$/, '00'))
      await ingest(gateway, TRACEPARENT)
      await eventually(() => expect(lines.join()).toContain(SPANS_NOT_SENT))
    }
    // All spans are sent now: a service sends the rest when it stops.
    expect(receiver.spans.map(({ name }) => name)).toEqual(['POST /ingest'])
  })
})
