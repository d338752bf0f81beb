import { z } from '@hono/zod-openapi'
import type { GatewayConfig } from '../../../config.ts'
import { bodySourceOf, createBodyReader, linesType } from '../../../http/body.ts'
import { json, RATE_LIMITED, RETRY_AFTER, UNAUTHENTICATED } from '../../../http/documentation.ts'
import { INFLUX_VERSION } from '../../../http/operations.ts'
import { exchangeOf } from '../../../http/pipeline.ts'
import { type FaultFormat, RequestFault, send } from '../../../http/problem.ts'
import { createRoute, createRouter, type Router, serve } from '../../../http/router.ts'
import { type Naming, quote } from '../../formats/batch.ts'
import type { Ingest } from '../../ingest.ts'
import type { Protocol } from '../../protocol.ts'
import { createHeads, type Heads, readLines } from './lines.ts'
import { type Unit, unitOf } from './precision.ts'
import { influxFaults, influxResponse, type Version } from './responses.ts'

const WRITE_V2 = '/api/v2/write'
const WRITE_V1 = '/write'
const QUERY = '/query'

/** Statements are short. They have a budget of their own, beside that of the samples. */
const STATEMENT_BYTES_MAX = 16 * 1024
const STATEMENTS_BYTES_MAX = 16 * STATEMENT_BYTES_MAX

/** What clients of version 1 send before they write. There are no databases, so it is done. */
const CREATE_DATABASE = /^\s*create\s+database\s/i

/** The routes of InfluxDB whose errors are InfluxDB's. */
export const INFLUX_FAULTS: ReadonlyMap<string, FaultFormat> = new Map([
  [WRITE_V2, influxFaults(2)],
  [WRITE_V1, influxFaults(1)],
  [QUERY, influxFaults(1)],
])

const nameLine: Naming = ({ index, metric }) =>
  `line ${index + 1}:${metric === undefined ? '' : ` field ${quote(metric)}:`}`

function influxProtocol(version: Version, unit: Unit, heads: Heads): Protocol {
  return {
    name: 'influx',
    typeOf: linesType,
    nameOf: nameLine,
    read: ({ text }, batch) => readLines(text, batch, unit, heads),
    respond: result => influxResponse(version, result),
  }
}

const rejectedSchema = z
  .array(z.strictObject({ line: z.int().min(1), reason: z.string() }))
  .optional()
  .describe('Every line that was rejected. The others are stored.')

const errorSchemas = {
  1: z.strictObject({ error: z.string(), rejected: rejectedSchema }).openapi('InfluxErrorV1'),
  2: z
    .strictObject({
      code: z.string().openapi({ examples: ['invalid'] }),
      message: z.string(),
      line: z.int().min(1).optional().describe('The first line that was rejected, from 1.'),
      rejected: rejectedSchema,
    })
    .openapi('InfluxError'),
} as const

const PRECISION = 'Unit of the timestamps: ns, us, ms, s, m or h; n and u are ns and us. '

const precisionParameter = z
  .string()
  .optional()
  .openapi({
    description:
      `${PRECISION}Without it, the unit is recognised by the magnitude of each timestamp, so that nanoseconds since ` +
      '1973 are nanoseconds, as in InfluxDB.',
    examples: ['ns'],
  })

/** InfluxDB ignores parameters that it does not know, and clients send some. */
const querySchemas = {
  1: z.looseObject({
    db: z.string().optional().openapi({ description: 'Accepted and ignored.' }),
    rp: z.string().optional().openapi({ description: 'Accepted and ignored.' }),
    precision: precisionParameter,
    u: z.string().optional().openapi({ description: 'Any user name.' }),
    p: z.string().optional().openapi({ description: 'The API key, for clients that cannot send a header.' }),
  }),
  2: z.looseObject({
    org: z.string().optional().openapi({ description: 'Accepted and ignored.' }),
    bucket: z.string().optional().openapi({ description: 'Accepted and ignored.' }),
    precision: precisionParameter,
  }),
} as const

const LINES = 'cpu,host=web1 usage_idle=93.5,usage_user=4i 1700000000000000000\nmem,host=web1 used_percent=41.2\n'

function writeRoute(version: Version, path: string, config: GatewayConfig) {
  const error = (description: string) => json(description, errorSchemas[version])
  const unavailable = { ...error('Samples were not stored: send the request again.'), headers: RETRY_AFTER }
  return createRoute({
    method: 'post',
    path,
    access: 'ingest',
    ownKeys: true,
    queryCredentials: version === 1,
    operationId: `influxWriteV${version}`,
    summary: `Store samples in InfluxDB line protocol (version ${version})`,
    description:
      `Each numeric or boolean field is a sample; its key is made by INFLUX_KEY (${config.INFLUX_KEY}). Texts are skipped: ` +
      '`Tidemark-Skipped` counts them. A line that is invalid costs only that line.',
    request: {
      query: querySchemas[version],
      body: {
        required: true,
        content: { 'text/plain': { schema: z.string(), examples: { lines: { value: LINES } } } },
      },
    },
    responses: {
      204: { description: 'Every line is stored.' },
      400: error(
        'Some or all lines are invalid, and the others are stored; or the precision is unknown, or no body came.',
      ),
      401: { ...error('There is no API key, or it is not valid (any more).'), headers: UNAUTHENTICATED.headers },
      403: error('The API key may not ingest, or none of these keys; or a page of another site sent the request.'),
      413: error('Too many bytes, also after decompression, or too many chunks or samples: split the lines.'),
      415: error('A coding (see Accept-Encoding) or charset that is not supported.'),
      422: error('The Idempotency-Key was used with another body.'),
      429: { ...error('The API key, or the address without one, sends too much.'), headers: RATE_LIMITED.headers },
      500: error('The gateway failed; its log has the cause.'),
      503: unavailable,
    },
  })
}

const PONG = { description: 'The gateway responds.' }

function pingRoute(method: 'get' | 'post') {
  return createRoute({
    method,
    path: '/ping',
    access: 'open',
    isProbe: true,
    operationId: method === 'get' ? 'influxPing' : 'influxPingByPost',
    summary: "What InfluxDB's clients check before they write",
    request: { query: z.looseObject({ verbose: z.string().optional() }) },
    responses: {
      200: json('With `verbose=true`: the version.', z.strictObject({ version: z.string() })),
      204: PONG,
    },
  })
}

const statementParameter = z
  .string()
  .optional()
  .openapi({ examples: ['CREATE DATABASE "telegraf"'] })

const QUERY_ROUTE = createRoute({
  method: 'post',
  path: QUERY,
  access: 'ingest',
  ownKeys: true,
  queryCredentials: true,
  operationId: 'influxQuery',
  summary: 'What clients of InfluxDB 1 send before they write',
  description: '`CREATE DATABASE` succeeds and has no effect. Nothing can be queried here.',
  request: {
    query: z.looseObject({ q: statementParameter }),
    body: { content: { 'application/x-www-form-urlencoded': { schema: z.object({ q: statementParameter }) } } },
  },
  responses: {
    200: json('Done.', z.strictObject({ results: z.array(z.strictObject({ statement_id: z.int() })) })),
    400: json('Any other statement, or none.', errorSchemas[1]),
    401: {
      ...json('There is no API key, or it is not valid (any more).', errorSchemas[1]),
      headers: UNAUTHENTICATED.headers,
    },
    403: json('The API key may not ingest; or a page of another site sent the request.', errorSchemas[1]),
    413: json('The statement has more than 16 KiB.', errorSchemas[1]),
    415: json('A coding (see Accept-Encoding) or charset that is not supported.', errorSchemas[1]),
    429: {
      ...json('The API key, or the address without one, sends too much.', errorSchemas[1]),
      headers: RATE_LIMITED.headers,
    },
    503: { ...json('The API keys are not loaded yet.', errorSchemas[1]), headers: RETRY_AFTER },
  },
})

/** The routes of InfluxDB 1 and 2 that clients and agents write to. */
export function influxRoutes(config: GatewayConfig, ingest: Ingest): Router {
  const router = createRouter('InfluxDB')
  const heads = createHeads()
  for (const [version, path] of [
    [2, WRITE_V2],
    [1, WRITE_V1],
  ] as const) {
    serve(router, writeRoute(version, path, config), async c => {
      const { precision } = c.req.valid('query')
      const unit = unitOf(precision)
      if (unit === undefined) throw precisionUnknown(precision ?? '')
      return send(c, await ingest(exchangeOf(c), influxProtocol(version, unit, heads)))
    })
  }
  const readBody = createBodyReader({ bytesMax: STATEMENT_BYTES_MAX, bytesInFlightMax: STATEMENTS_BYTES_MAX })
  serve(router, QUERY_ROUTE, async c => {
    const read = () => readBody(bodySourceOf(c), exchangeOf(c).client.bodies, linesType, ({ text }) => text)
    const statement = c.req.query('q') ?? new URLSearchParams(await read()).get('q') ?? ''
    if (CREATE_DATABASE.test(statement)) return c.json({ results: [{ statement_id: 0 }] }, 200)
    return c.json({ error: 'only CREATE DATABASE is supported: read verdicts at /analyze and /history' }, 400)
  })
  for (const method of ['get', 'post'] as const) {
    serve(router, pingRoute(method), c => {
      c.header('X-Influxdb-Version', INFLUX_VERSION)
      c.header('X-Influxdb-Build', 'OSS')
      return c.req.query('verbose') === 'true' ? c.json({ version: INFLUX_VERSION }, 200) : c.body(null, 204)
    })
  }
  return router
}

function precisionUnknown(given: string): RequestFault {
  const detail = `must be ns, us, ms, s, m or h, not ${quote(given)}`
  return new RequestFault({ kind: 'parameters-invalid', errors: [{ parameter: 'precision', detail }] })
}
