import { z } from '@hono/zod-openapi'
import type { GatewayConfig } from '../../../config.ts'
import { messageType } from '../../../http/body.ts'
import { RATE_LIMITED, RETRY_AFTER, UNAUTHENTICATED } from '../../../http/documentation.ts'
import { parseJson } from '../../../http/json-body.ts'
import { exchangeOf } from '../../../http/pipeline.ts'
import { type FaultFormat, send } from '../../../http/problem.ts'
import { createRoute, createRouter, type Router, serve } from '../../../http/router.ts'
import { type Batch, type BodyFault, type Naming, quote } from '../../formats/batch.ts'
import type { Ingest } from '../../ingest.ts'
import type { Protocol } from '../../protocol.ts'
import { wireReason } from '../wire.ts'
import { decodeRequest } from './messages.ts'
import { type OtlpOptions, readMetrics } from './metrics.ts'
import { type MessageType, messageTypeOf, otlpFault, otlpResponse } from './responses.ts'

const METRICS_PATH = '/v1/metrics'

/** The routes of OTLP. Those of traces and logs do not exist, and say so in OTLP. */
export const OTLP_FAULTS: ReadonlyMap<string, FaultFormat> = new Map(
  [METRICS_PATH, '/v1/traces', '/v1/logs', '/v1development/profiles'].map(path => [path, otlpFault]),
)

const namePoint: Naming = ({ index, metric }) =>
  `data point ${index}:${metric === undefined ? '' : ` metric ${quote(metric)}:`}`

function readBinary(bytes: Buffer, options: OtlpOptions, batch: Batch): BodyFault {
  let request: unknown
  try {
    request = decodeRequest(bytes)
  } catch (error) {
    return { kind: 'malformed', reason: `the body is not an ExportMetricsServiceRequest: ${wireReason(error)}` }
  }
  return readMetrics(request, options, batch)
}

function readText(text: string, options: OtlpOptions, batch: Batch): BodyFault {
  const request = parseJson(text)
  if (request === undefined) return { kind: 'malformed', reason: 'the body is not valid JSON' }
  return readMetrics(request, options, batch)
}

function otlpProtocol(type: MessageType, options: OtlpOptions): Protocol {
  return {
    name: 'otlp',
    typeOf: messageType,
    nameOf: namePoint,
    read: ({ text, bytes }, batch) =>
      bytes === undefined ? readText(text, options, batch) : readBinary(bytes, options, batch),
    respond: result => otlpResponse(type, result),
  }
}

const BINARY = z.string().describe('The same message in protobuf.')
const statusSchema = z
  .strictObject({ code: z.int(), message: z.string() })
  .openapi('OtlpStatus', { description: 'A google.rpc.Status.' })
const resultSchema = z
  .strictObject({
    partialSuccess: z
      .strictObject({ rejectedDataPoints: z.string(), errorMessage: z.string() })
      .optional()
      .describe('The data points that were rejected. The others are stored.'),
  })
  .openapi('OtlpMetricsResult')

const EXAMPLE = {
  resourceMetrics: [
    {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
      scopeMetrics: [
        {
          metrics: [
            {
              name: 'queue.length',
              gauge: { dataPoints: [{ timeUnixNano: '1700000000000000000', asInt: '17' }] },
            },
          ],
        },
      ],
    },
  ],
}

function metricsRoute({ OTLP_KEY }: GatewayConfig) {
  const both = (description: string, schema: z.ZodType = statusSchema) => ({
    description,
    content: { 'application/json': { schema }, 'application/x-protobuf': { schema: BINARY } },
  })
  return createRoute({
    method: 'post',
    path: METRICS_PATH,
    access: 'ingest',
    ownKeys: true,
    operationId: 'otlpMetrics',
    summary: 'Store metrics of OpenTelemetry (OTLP/HTTP)',
    description:
      `In JSON or protobuf; the response has the type of the request. Keys are made by OTLP_KEY (${OTLP_KEY}). Gauges and ` +
      'deltas are samples as they are; of cumulative sums and of the counts of histograms and summaries the rate is scored. ' +
      'Points without a recorded value, and values that are not finite, are skipped: `Tidemark-Skipped` counts them.',
    request: {
      body: {
        required: true,
        content: {
          'application/json': { schema: z.looseObject({}), examples: { gauge: { value: EXAMPLE } } },
          'application/x-protobuf': { schema: BINARY },
        },
      },
    },
    responses: {
      200: both('Every data point is stored, or those that are valid.', resultSchema),
      400: both('The body cannot be decoded, or no data point is valid.'),
      401: { ...both('There is no API key, or it is not valid (any more).'), headers: UNAUTHENTICATED.headers },
      403: both('The API key may not ingest, or none of these keys; or a page of another site sent the request.'),
      413: both('Too many bytes, also after decompression, or too many chunks or data points: send fewer at once.'),
      415: both('A type that is neither, or a coding (see Accept-Encoding) or charset that is not supported.'),
      422: both('The Idempotency-Key was used with another body.'),
      429: { ...both('The API key, or the address without one, sends too much.'), headers: RATE_LIMITED.headers },
      500: both('The gateway failed; its log has the cause.'),
      503: { ...both('Data points were not stored: send the request again.'), headers: RETRY_AFTER },
    },
  })
}

/** OpenTelemetry's protocol, of metrics only. */
export function otlpRoutes(config: GatewayConfig, ingest: Ingest): Router {
  const router = createRouter('OpenTelemetry')
  const options = { template: config.OTLP_KEY, resourceAttributes: config.OTLP_RESOURCE_ATTRIBUTES }
  serve(router, metricsRoute(config), async c => {
    const exchange = exchangeOf(c)
    return send(c, await ingest(exchange, otlpProtocol(messageTypeOf(exchange.headers), options)))
  })
  return router
}
