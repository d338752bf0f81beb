import { z } from '@hono/zod-openapi'
import type { GatewayConfig } from '../../../config.ts'
import { snappyType } from '../../../http/body.ts'
import { RATE_LIMITED, RETRY_AFTER, UNAUTHENTICATED } from '../../../http/documentation.ts'
import { exchangeOf } from '../../../http/pipeline.ts'
import { RequestFault, send } from '../../../http/problem.ts'
import { createRoute, createRouter, type Router, serve } from '../../../http/router.ts'
import { type Naming, quote } from '../../formats/batch.ts'
import type { Ingest } from '../../ingest.ts'
import type { Protocol } from '../../protocol.ts'
import { remoteWriteResponse } from './responses.ts'
import type { SeriesIndex } from './series.ts'
import { readWriteRequest } from './write-request.ts'

export const WRITE_PATH = '/api/v1/write'

const nameSeries: Naming = ({ index, metric }) =>
  `timeseries ${index}:${metric === undefined ? '' : ` ${quote(metric)}:`}`

/** Of remote write 2.0: the sender falls back to 1.0 when it gets 415. */
const VERSION_2 = /io\.prometheus\.write\.v2/

const ONLY_VERSION_1 =
  'only remote write 1.0 is supported: Content-Type: application/x-protobuf, with a prometheus.WriteRequest ' +
  '(protobuf_message: prometheus.WriteRequest)'

function remoteWriteProtocol(index: SeriesIndex): Protocol {
  return {
    name: 'remote_write',
    typeOf(headers) {
      const type = String(headers['content-type'] ?? '').toLowerCase()
      if (VERSION_2.test(type) || (type !== '' && !/protobuf|octet-stream/.test(type))) {
        throw new RequestFault({ kind: 'media-type-unsupported', reason: ONLY_VERSION_1 })
      }
      return snappyType(headers)
    },
    nameOf: nameSeries,
    read: ({ bytes = Buffer.alloc(0) }, batch) => readWriteRequest(bytes, index, batch),
    respond: remoteWriteResponse,
  }
}

function writeRoute({ PROMETHEUS_KEY }: GatewayConfig) {
  const error = (description: string) => ({ description, content: { 'text/plain': { schema: z.string() } } })
  return createRoute({
    method: 'post',
    path: WRITE_PATH,
    access: 'ingest',
    ownKeys: true,
    operationId: 'prometheusWrite',
    summary: 'Store samples of Prometheus remote write 1.0',
    description:
      `Each sample of a series is a sample; its key is made by PROMETHEUS_KEY (${PROMETHEUS_KEY}). Of counters the rate is ` +
      'scored. Stale markers, NaN and what PROMETHEUS_RULES_FILE drops are skipped: `Tidemark-Skipped` counts them. Native ' +
      'histograms are rejected, and the other series stored. Errors are a line of text, which Prometheus logs.',
    request: {
      body: {
        required: true,
        content: {
          'application/x-protobuf': {
            schema: z.string().describe('A prometheus.WriteRequest in a block of snappy.'),
          },
        },
      },
    },
    responses: {
      204: { description: 'Every sample is stored.' },
      400: error('Some or all series are invalid, and the others are stored; or the body is no WriteRequest.'),
      401: { ...error('There is no API key, or it is not valid (any more).'), headers: UNAUTHENTICATED.headers },
      403: error('The API key may not ingest, or none of these keys; or a page of another site sent the request.'),
      413: error('Too many bytes, also after decompression, or too many chunks or samples: send fewer at once.'),
      415: error('Remote write 2.0, on which senders fall back to 1.0; or a type or coding that is not supported.'),
      422: error('The Idempotency-Key was used with another body.'),
      429: { ...error('The API key, or the address without one, sends too much.'), headers: RATE_LIMITED.headers },
      500: error('The gateway failed; its log has the cause.'),
      503: { ...error('Samples were not stored: send the request again.'), headers: RETRY_AFTER },
    },
  })
}

/** Prometheus remote write 1.0. */
export function remoteWriteRoutes(config: GatewayConfig, ingest: Ingest, index: SeriesIndex): Router {
  const router = createRouter('Prometheus')
  const protocol = remoteWriteProtocol(index)
  serve(router, writeRoute(config), async c => send(c, await ingest(exchangeOf(c), protocol)))
  return router
}
