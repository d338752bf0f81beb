import { z } from '@hono/zod-openapi'
import { DURABILITY_LEVELS } from '@tidemark/shared/store/ports/store'
import type { GatewayConfig } from '../config.ts'
import { json, outage, PROBLEMS, problem, rejectedSchema } from '../http/documentation.ts'
import { exchangeOf } from '../http/pipeline.ts'
import { send } from '../http/problem.ts'
import { createRoute, createRouter, type Router, serve } from '../http/router.ts'
import { SKIP_REASONS } from '../metrics.ts'
import {
  collectdSchema,
  fluentBitSchema,
  homeAssistantSchema,
  nodeRedSchema,
  telegrafBatchSchema,
  telegrafSchema,
  vectorSchema,
} from './formats/agents/schemas.ts'
import { deviceSchema } from './formats/device.ts'
import { loadReportSchema } from './formats/load-report.ts'
import { sampleSchema } from './formats/sample-object.ts'
import type { Ingest } from './ingest.ts'
import { JSON_PROTOCOL } from './protocols/json.ts'

export const ingestResultSchema = z
  .strictObject({
    accepted: z.int().min(0).describe('Samples stored. Each will be analysed exactly once.'),
    rejected: z.array(rejectedSchema).describe('Invalid samples; a retry of them cannot succeed.'),
    skipped: z
      .partialRecord(z.enum(SKIP_REASONS), z.int().min(1))
      .optional()
      .describe(
        "Values in agents' formats that are no samples, such as texts: how many, by reason. Absent without any.",
      ),
    receipts: z.array(z.string()).openapi({
      description: 'For `after` of GET /analyze: one for each partition that got samples, ascending.',
      examples: [['3:1700000000000-0']],
    }),
    durability: z
      .enum(DURABILITY_LEVELS)
      .describe(
        'What the stored samples survive: nothing (memory), a restart of Redis (local), a power failure (disk), the loss of ' +
          'a node (replicated).',
      ),
  })
  .openapi('IngestResult')

/** Only a schema that is created after zod-openapi was loaded has `openapi`, hence the clones. */
const item = [
  sampleSchema.clone().openapi('Sample'),
  deviceSchema.clone().openapi('DeviceReport'),
  loadReportSchema.clone().openapi('LoadReport'),
] as const

/** What agents send, by their own formats. */
const agentItem = z
  .union([
    telegrafSchema.clone().openapi('TelegrafMetric'),
    telegrafBatchSchema.clone().openapi('TelegrafMetrics'),
    collectdSchema.clone().openapi('CollectdValues'),
    vectorSchema.clone().openapi('VectorMetric'),
    fluentBitSchema.clone().openapi('FluentBitRecord'),
    homeAssistantSchema.clone().openapi('HomeAssistantState'),
    nodeRedSchema.clone().openapi('NodeRedMessage'),
  ])
  .openapi('AgentItem')

const ONE_OF = { unionPreferredType: 'oneOf' } as const

const JSON_EXAMPLES = {
  sample: { value: { key: 'edge-17/rps', value: 420, timestamp: 1_700_000_000 } },
  samples: {
    value: [
      { key: 'edge-17/rps', value: 420 },
      { key: 'edge-17/cpu', value: 12.5 },
    ],
  },
  device: { value: { device: 'edge-17', timestamp: '2023-11-14T22:13:20Z', metrics: { rps: 420, cpu: 12.5 } } },
  telegraf: {
    summary: 'A batch of Telegraf (outputs.http, data_format json)',
    value: { metrics: [{ name: 'cpu', tags: { host: 'a' }, fields: { usage_idle: 93.5 }, timestamp: 1_700_000_000 }] },
  },
  loadReport: { summary: 'The legacy load-report body', value: { timestamp: 1_700_000_000, cpu: 12.5, rps: 420 } },
}

const NDJSON = {
  schema: z.string().describe('One of the objects per line.'),
  examples: { lines: { value: '{"key":"edge-17/rps","value":420}\n{"key":"edge-17/cpu","value":12.5}\n' } },
}

const ACCEPTED = json(
  'At least one sample is stored, or the request had none. `rejected` lists the invalid ones.',
  ingestResultSchema,
  {
    accepted: { accepted: 2, rejected: [], receipts: ['3:1700000000000-0', '7:1700000000000-0'], durability: 'local' },
  },
)

/** Both headers are documented here and checked by the handler. */
function headersSchema({ IDEMPOTENCY_TTL_MS }: GatewayConfig) {
  return z.object({
    'Idempotency-Key': z
      .string()
      .optional()
      .openapi({
        minLength: 1,
        description:
          'Makes a retry safe after a lost response: the retry gets the original response and nothing is stored twice. A ' +
          'string of 1 to 255 printable ASCII characters, quoted or not, that no other request uses; it is remembered for ' +
          `${IDEMPOTENCY_TTL_MS} ms after its last use. Reusing it with another body is 422.`,
        examples: ['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
      }),
    traceparent: z
      .string()
      .optional()
      .openapi({
        description:
          'A W3C trace context. It accompanies the samples to the log, the metrics and, if tracing is on, the spans of the ' +
          'analyzer. A malformed one is ignored.',
        examples: ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
      }),
  })
}

function ingestRoute(config: GatewayConfig) {
  const items = z.array(z.union([...item, agentItem]).openapi({}, ONE_OF)).max(config.SAMPLES_MAX)
  return createRoute({
    method: 'post',
    path: '/ingest',
    access: 'ingest',
    ownKeys: true,
    operationId: 'ingest',
    summary: 'Store samples for analysis',
    description:
      `At most ${config.SAMPLES_MAX} samples in at most ${config.BODY_BYTES_MAX} bytes. Each sample is validated by itself: ` +
      'valid ones are stored, invalid ones are listed. Of duplicate members of an object the last one counts. A key may ' +
      'occur several times; its samples keep their order. A body without a Content-Type, or with one that says nothing ' +
      '(application/x-www-form-urlencoded, text/plain, application/octet-stream), is read as JSON. Of a damaged body ' +
      'what is intact is stored, and `rejected` names the rest with line and column. Metrics of agents are read in their own ' +
      'formats: their numbers and booleans are samples, whose keys INFLUX_KEY makes; `skipped` counts other values.',
    request: {
      headers: headersSchema(config),
      body: {
        required: true,
        content: {
          'application/json': {
            schema: z.union([...item, agentItem, items]).openapi({}, ONE_OF),
            examples: JSON_EXAMPLES,
          },
          'application/x-ndjson': NDJSON,
        },
      },
    },
    responses: {
      202: ACCEPTED,
      400: problem(
        'The body is empty, has no JSON object or no valid sample, or is compressed and damaged; or the Idempotency-Key is ' +
          'malformed.',
        'body-empty',
        'body-incomplete',
        'body-malformed',
        'samples-invalid',
        'idempotency-key-invalid',
      ),
      403: problem(
        'The API key may not ingest, or not these keys; or a limit of keys is reached, and nothing else could be stored.',
        'keys-limit-reached',
        'scope-missing',
        'key-forbidden',
      ),
      413: problem(
        'Too many bytes, also after decompression, or too many chunks or samples.',
        'body-too-large',
        'body-fragmented',
        'samples-too-many',
      ),
      415: problem(
        'A type that cannot hold samples, or a coding (see Accept-Encoding) or charset that is not supported.',
        'media-type-unsupported',
      ),
      422: problem('The Idempotency-Key was used with another body.', 'idempotency-key-reused'),
      500: PROBLEMS[500],
      503: outage(
        'Samples were not stored. `accepted` and `receipts` are those of the samples that were.',
        'samples-not-stored',
        'store-unavailable',
        'overloaded',
      ),
    },
  })
}

/** `POST /ingest`, for the requests that the fast path (fast-path.ts) leaves to the app. */
export function ingestRoutes(config: GatewayConfig, ingest: Ingest): Router {
  const router = createRouter('Samples')
  serve(router, ingestRoute(config), async c => send(c, await ingest(exchangeOf(c), JSON_PROTOCOL)))
  return router
}
