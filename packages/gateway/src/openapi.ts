import { DURABILITY_LEVELS } from '@tidemark/shared/store/ports'
import { z } from 'zod'
import { LIMIT_DEFAULT, LIMIT_MAX, STATES } from './analyses-page.ts'
import { WAIT_DEFAULT_MS } from './analyze.ts'
import type { GatewayConfig } from './config.ts'
import { DEAD_LIMIT_DEFAULT, DEAD_LIMIT_MAX } from './dead.ts'
import { deviceSchema } from './formats/device.ts'
import { loadReportSchema } from './formats/load-report.ts'
import { sampleSchema } from './formats/sample-object.ts'
import { problemType } from './problem.ts'

type Json = Record<string, unknown>

/** Answers' shapes are written as schemas here, where only the documentation and the tests need them. */
const nullableNumber = z.number().nullable()
const keyMember = z.string().meta({ examples: ['edge-17/rps'] })

export const analysisSchema = z
  .strictObject({
    key: keyMember,
    value: z.number(),
    timestamp: z.number().meta({ description: 'When the sample was measured, in Unix milliseconds.' }),
    mean: nullableNumber.meta({ description: 'Of the window; null while it is empty.' }),
    deviation: nullableNumber.meta({ description: 'Population deviation of the window; null while it is empty.' }),
    z: nullableNumber.meta({ description: '(value - mean) / deviation, from -1e6 to 1e6; null while warming.' }),
    threshold: z.number().meta({ description: 'The sample is an anomaly when |z| is beyond it.' }),
    low: nullableNumber.meta({ description: 'Lower end of the band; null while warming.' }),
    high: nullableNumber.meta({ description: 'Upper end of the band; null while warming.' }),
    anomaly: z.boolean(),
    state: z.enum(STATES),
    count: z.int().min(0).meta({ description: 'Samples of this key ever analysed, this one included.' }),
    window: z.int().min(0).meta({ description: 'Samples that the verdict rests on.' }),
    id: z.string().meta({ description: "The receipt of the sample's entry.", examples: ['3:1700000000000-0'] }),
    analyzed_at: z.number().meta({ description: 'Unix milliseconds.' }),
  })
  .meta({ description: 'The verdict on one sample.' })

export const loadAnalysisSchema = z
  .strictObject({
    timestamp: z.number().meta({ description: 'Unix seconds.' }),
    rps_avg: z.number(),
    rps_z: z.number(),
    anomaly: z.boolean(),
    window: z.int().min(0),
    count: z.int().min(0),
  })
  .meta({
    description: 'The newest analysis of `default/rps`, in the shape of the replaced service.',
  })

export const pageSchema = z.strictObject({
  analyses: z.array(analysisSchema),
  cursor: z
    .string()
    .nullable()
    .meta({ description: 'Of the next page; null on the last one. A page can be empty and yet have a next one.' }),
  analysis: loadAnalysisSchema.nullable(),
})

export const entryAnalysesSchema = z.strictObject({
  analyses: z.array(analysisSchema).meta({ description: 'Of all samples of the entry, in order.' }),
})

export const deadPageSchema = z.strictObject({
  dead: z.array(
    z.strictObject({
      id: z.string().meta({ description: 'The receipt of the entry.', examples: ['3:1700000000000-0'] }),
      reason: z.string().meta({ examples: ['its field "s" is not JSON'] }),
      samples: z
        .string()
        .meta({ description: 'What could be read of its samples: a flat JSON array, if all is well.' }),
      accepted_at: z.number().meta({ description: 'Unix milliseconds.' }),
    }),
  ),
  cursor: z.string().nullable().meta({ description: 'Of the next page; null on the last one.' }),
})

export const historySchema = z.strictObject({
  key: keyMember,
  count: z.int().min(0).meta({ description: 'Samples of this key ever analysed.' }),
  values: z.array(z.number()).meta({ description: 'The window, oldest first.' }),
  timestamps: z.array(z.number()).meta({ description: 'Unix milliseconds, one for each value.' }),
})

const rejectedSchema = z.strictObject({
  index: z
    .int()
    .meta({ description: 'Place in the array, or the line (from 0, blank lines counted); 0 of one object.' }),
  reason: z.string().meta({ examples: ['sample 3: value must be a finite number'] }),
})

export const ingestResultSchema = z.strictObject({
  accepted: z.int().min(0).meta({ description: 'Samples stored. Each will be analysed exactly once.' }),
  rejected: z.array(rejectedSchema).meta({ description: 'Samples that broke a rule; sending them again cannot help.' }),
  receipts: z.array(z.string()).meta({
    description: 'For `after` of GET /analyze: one of each touched partition, ascending.',
    examples: [['3:1700000000000-0']],
  }),
  durability: z.enum(DURABILITY_LEVELS).meta({
    description:
      'What the samples survive: nothing (memory), a restart of Redis (local), a loss of power (disk), the loss of a node (replicated).',
  }),
})

export const problemSchema = z
  .looseObject({
    type: z.string().meta({ examples: [problemType('samples-invalid')] }),
    title: z.string(),
    status: z.int().min(0),
    detail: z.string().optional(),
    instance: z.string().optional(),
    errors: z
      .array(z.looseObject({ detail: z.string(), index: z.int().min(0).optional(), parameter: z.string().optional() }))
      .optional(),
    accepted: z.int().min(0).optional(),
    rejected: z.array(rejectedSchema).optional(),
    receipts: z.array(z.string()).optional(),
    backlog: z.int().min(0).optional(),
  })
  .meta({ description: 'RFC 9457. What a request met; `type` names it.' })

const statusSchema = z.strictObject({ status: z.enum(['ok', 'unavailable']), reason: z.string().optional() })

const COMPONENTS = {
  Sample: sampleSchema,
  DeviceReport: deviceSchema,
  LoadReport: loadReportSchema,
  IngestResult: ingestResultSchema,
  Analysis: analysisSchema,
  LoadAnalysis: loadAnalysisSchema,
  AnalysesPage: pageSchema,
  EntryAnalyses: entryAnalysesSchema,
  DeadPage: deadPageSchema,
  History: historySchema,
  Status: statusSchema,
  Problem: problemSchema,
} as const

const ref = (name: keyof typeof COMPONENTS): Json => ({ $ref: `#/components/schemas/${name}` })

const ANALYSIS_EXAMPLE = {
  key: 'edge-17/rps',
  value: 420,
  timestamp: 1_700_000_000_000,
  mean: 400.5,
  deviation: 8.2,
  z: 2.378,
  threshold: 2,
  low: 384.1,
  high: 416.9,
  anomaly: true,
  state: 'anomalous',
  count: 1342,
  window: 50,
  id: '3:1700000000012-0',
  analyzed_at: 1_700_000_000_015,
}

/** The OpenAPI 3.1 document. Its schemas are those that judge the bodies, so the two cannot differ. */
export function createOpenApi(config: GatewayConfig): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Tidemark',
      version: '1',
      description:
        'Anomaly verdicts on streaming metrics. Errors are RFC 9457 problems. A 4xx says that the same request can never ' +
        'succeed; whatever passes by itself is 503 with a Retry-After in seconds.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [],
    paths: {
      '/ingest': { post: describeIngest(config) },
      '/analyze': { get: describeAnalyze(config) },
      '/history': { get: describeHistory() },
      '/dead': { get: describeDead() },
      '/dead/{id}/put-back': { post: describePutBack() },
      '/dead/{id}/discard': { post: describeDiscard() },
      '/health': {
        get: describeStatus('health', 'The same as /readyz, under the name that the replaced service used.'),
      },
      '/livez': { get: describeStatus('livez', 'Whether the process answers. It does not depend on the store.') },
      '/readyz': { get: describeStatus('readyz', 'Whether samples can be taken.') },
      '/metrics': {
        get: {
          operationId: 'metrics',
          tags: ['Operations'],
          summary: "The gateway's metrics, in the text format of Prometheus",
          responses: {
            200: { description: 'The metrics.', content: { 'text/plain': { schema: { type: 'string' } } } },
          },
        },
      },
      '/openapi.json': {
        get: {
          operationId: 'openapi',
          tags: ['Operations'],
          summary: 'This document',
          responses: {
            200: { description: 'The document.', content: { 'application/json': { schema: { type: 'object' } } } },
          },
        },
      },
      '/docs': {
        get: {
          operationId: 'docs',
          tags: ['Operations'],
          summary: 'This document as a page',
          responses: { 200: { description: 'The page.', content: { 'text/html': { schema: { type: 'string' } } } } },
        },
      },
    },
    components: { schemas: componentSchemas() },
  }
}

function componentSchemas(): Json {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(COMPONENTS)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, {
    io: 'input',
    unrepresentable: 'any',
    uri: id => `#/components/schemas/${id}`,
  })
  // The document says which dialect it is, and a schema's place is its identity.
  return Object.fromEntries(Object.entries(schemas).map(([id, { $schema, $id, ...schema }]) => [id, schema]))
}

function describeIngest(config: GatewayConfig): Json {
  const item = { oneOf: [ref('Sample'), ref('DeviceReport'), ref('LoadReport')] }
  const json = {
    schema: { oneOf: [...item.oneOf, { type: 'array', items: item, maxItems: config.SAMPLES_MAX }] },
    examples: {
      sample: { value: { key: 'edge-17/rps', value: 420, timestamp: 1_700_000_000 } },
      samples: {
        value: [
          { key: 'edge-17/rps', value: 420 },
          { key: 'edge-17/cpu', value: 12.5 },
        ],
      },
      device: { value: { device: 'edge-17', timestamp: '2023-11-14T22:13:20Z', metrics: { rps: 420, cpu: 12.5 } } },
      loadReport: {
        summary: 'The body of the replaced service',
        value: { timestamp: 1_700_000_000, cpu: 12.5, rps: 420 },
      },
    },
  }
  const lines = {
    schema: { type: 'string', description: 'One of the objects a line.' },
    examples: { lines: { value: '{"key":"edge-17/rps","value":420}\n{"key":"edge-17/cpu","value":12.5}\n' } },
  }
  return {
    operationId: 'ingest',
    tags: ['Samples'],
    summary: 'Take samples',
    description:
      `At most ${config.SAMPLES_MAX} samples in at most ${config.BODY_BYTES_MAX} bytes. Every sample is judged by itself: the ` +
      'good ones are accepted, the others listed. Of duplicate members of one object the last one counts; a key may come ' +
      'several times, and its samples keep their order. A body without a type, or with one that says nothing ' +
      '(application/x-www-form-urlencoded, text/plain, application/octet-stream), is read as JSON.',
    parameters: [
      {
        name: 'Idempotency-Key',
        in: 'header',
        description:
          'Makes it safe to send the same request again when its answer was lost: the first answer comes again, and nothing is ' +
          `stored twice. A string in quotes (or without) that no other request has, remembered for ${config.IDEMPOTENCY_TTL_MS} ` +
          'ms after its last use. With another body it is 422.',
        schema: { type: 'string', minLength: 1 },
        examples: { uuid: { value: '"8e03978e-40d5-43dd-bc93-6894a57f9324"' } },
      },
      {
        name: 'traceparent',
        in: 'header',
        description:
          'A trace context of the W3C: it goes with the samples to the log, the metrics and, where they are wanted, the spans of ' +
          'the analyzer. One that breaks the rules is ignored.',
        schema: { type: 'string' },
        examples: { sampled: { value: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' } },
      },
    ],
    requestBody: {
      required: true,
      content: { 'application/json': json, 'application/x-ndjson': lines },
    },
    responses: {
      202: {
        description: 'At least one sample is stored, or there was none. `rejected` names those that broke a rule.',
        content: {
          'application/json': {
            schema: ref('IngestResult'),
            examples: {
              accepted: {
                value: {
                  accepted: 2,
                  rejected: [],
                  receipts: ['3:1700000000000-0', '7:1700000000000-0'],
                  durability: 'local',
                },
              },
            },
          },
        },
      },
      400: problem('Empty, malformed, or without a single valid sample; or an Idempotency-Key that breaks the rules.'),
      405: problem('Only POST.'),
      413: problem('Too many bytes or samples.'),
      415: problem('A type that cannot hold samples, a compressed body, or a charset other than UTF-8.'),
      422: problem('The Idempotency-Key came with another body before.'),
      503: outage('Samples could not be stored: `accepted` and `receipts` tell of those that were.'),
    },
  }
}

function describeAnalyze(config: GatewayConfig): Json {
  return {
    operationId: 'analyze',
    tags: ['Verdicts'],
    summary: "A key's newest analysis, the verdict on one sample, or a page of keys",
    description:
      'With `key`: its newest analysis. With `key` and `after` (a receipt): the verdict on that very sample, as soon as it ' +
      'is there, or the newest analysis when the verdict is not kept any more. With `after` alone: the verdicts on all ' +
      'samples of the entry. Without both: a page of keys.',
    parameters: [
      parameter('key', { type: 'string' }, 'The key, percent-encoded.'),
      parameter('after', { type: 'string', pattern: '^\\d{1,4}:\\d{1,16}-\\d{1,16}$' }, 'A receipt.'),
      parameter(
        'wait',
        { type: 'integer', minimum: 0, maximum: config.ANALYZE_WAIT_MAX_MS, default: WAIT_DEFAULT_MS },
        'Milliseconds to wait for the verdict. Only with `after`.',
      ),
      parameter('prefix', { type: 'string' }, 'Keys that begin so. Not with `key`.'),
      parameter('state', { type: 'string', enum: [...STATES] }, 'Keys whose newest analysis is so. Not with `key`.'),
      parameter('cursor', { type: 'string' }, 'Of the page before.'),
      parameter(
        'limit',
        { type: 'integer', minimum: 1, maximum: LIMIT_MAX, default: LIMIT_DEFAULT },
        'Analyses in a page.',
      ),
    ],
    responses: {
      200: {
        description: 'An analysis, those of an entry, or a page of them.',
        content: {
          'application/json': {
            schema: { oneOf: [ref('Analysis'), ref('EntryAnalyses'), ref('AnalysesPage')] },
            examples: {
              key: { value: ANALYSIS_EXAMPLE },
              page: {
                value: {
                  analyses: [ANALYSIS_EXAMPLE],
                  cursor: null,
                  analysis: {
                    timestamp: 1_700_000_000,
                    rps_avg: 400.5,
                    rps_z: 2.378,
                    anomaly: true,
                    window: 50,
                    count: 1342,
                  },
                },
              },
            },
          },
        },
      },
      400: problem('A parameter breaks a rule.'),
      404: problem('No sample of the key was ever analysed, or the entry of the receipt has none of that key.'),
      405: problem('Only GET and HEAD.'),
      503: outage('The store does not answer, or the sample was not analysed within the wait.'),
    },
  }
}

function describeHistory(): Json {
  return {
    operationId: 'history',
    tags: ['Verdicts'],
    summary: "A key's window: the values that its next verdict rests on",
    parameters: [{ ...parameter('key', { type: 'string' }, 'The key, percent-encoded.'), required: true }],
    responses: {
      200: {
        description: 'The window.',
        content: {
          'application/json': {
            schema: ref('History'),
            examples: {
              window: {
                value: {
                  key: 'edge-17/rps',
                  count: 2,
                  values: [410, 420],
                  timestamps: [1_700_000_000_000, 1_700_000_001_000],
                },
              },
            },
          },
        },
      },
      400: problem('A parameter breaks a rule.'),
      404: problem('No sample of the key was ever analysed.'),
      405: problem('Only GET and HEAD.'),
      503: outage('The store does not answer.'),
    },
  }
}

function describeStatus(operationId: string, summary: string): Json {
  const content = { 'application/json': { schema: ref('Status') } }
  const responses: Json = { 200: { description: 'It does.', content } }
  if (operationId !== 'livez') responses[503] = { description: 'It does not; `reason` says why.', content }
  return { operationId, tags: ['Operations'], summary, responses }
}

function describeDead(): Json {
  return {
    operationId: 'dead',
    tags: ['Operations'],
    summary: 'Entries that could not be read, or that ended every analyzer that tried; newest first',
    parameters: [
      parameter('cursor', { type: 'string' }, 'Of the page before.'),
      parameter(
        'limit',
        { type: 'integer', minimum: 1, maximum: DEAD_LIMIT_MAX, default: DEAD_LIMIT_DEFAULT },
        'Entries in a page.',
      ),
    ],
    responses: {
      200: { description: 'A page.', content: { 'application/json': { schema: ref('DeadPage') } } },
      400: problem('A parameter breaks a rule.'),
      405: problem('Only GET and HEAD.'),
      503: outage('The store does not answer.'),
    },
  }
}

const DEAD_ID = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string' },
  description: 'As GET /dead gives it, for example `3:1700000000000-0`.',
}

function describePutBack(): Json {
  const accepted = { accepted: { type: 'integer' }, receipts: { type: 'array', items: { type: 'string' } } }
  return {
    operationId: 'putBackDead',
    tags: ['Operations'],
    summary: 'Accepts the samples of a dead entry anew',
    parameters: [DEAD_ID],
    responses: {
      202: {
        description: 'Accepted, under a new receipt.',
        content: { 'application/json': { schema: { type: 'object', properties: accepted } } },
      },
      404: problem('There is no dead entry of this id.'),
      405: problem('Only POST.'),
      409: problem('It cannot be read, so it can only be discarded.'),
      503: outage('It could not be stored.'),
    },
  }
}

function describeDiscard(): Json {
  return {
    operationId: 'discardDead',
    tags: ['Operations'],
    summary: 'Forgets a dead entry for good',
    parameters: [DEAD_ID],
    responses: {
      200: {
        description: 'Discarded.',
        content: {
          'application/json': { schema: { type: 'object', properties: { discarded: { type: 'string' } } } },
        },
      },
      404: problem('There is no dead entry of this id.'),
      405: problem('Only POST.'),
      503: outage('The store does not answer.'),
    },
  }
}

function parameter(name: string, schema: Json, description: string): Json {
  return { name, in: 'query', schema, description }
}

function problem(description: string): Json {
  return { description, content: { 'application/problem+json': { schema: ref('Problem') } } }
}

function outage(description: string): Json {
  const retryAfter = { description: 'Seconds until it is worth trying again.', schema: { type: 'integer', minimum: 1 } }
  return { ...problem(description), headers: { 'Retry-After': retryAfter } }
}
