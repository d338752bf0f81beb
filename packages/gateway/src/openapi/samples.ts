import { DURABILITY_LEVELS } from '@tidemark/shared/store/ports/store'
import { z } from 'zod'
import type { GatewayConfig } from '../config.ts'
import { deviceSchema } from '../ingest/formats/device.ts'
import { loadReportSchema } from '../ingest/formats/load-report.ts'
import { sampleSchema } from '../ingest/formats/sample-object.ts'
import { type Json, outage, problem, ref, rejectedSchema } from './parts.ts'

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

export const SAMPLES_COMPONENTS = {
  Sample: sampleSchema,
  DeviceReport: deviceSchema,
  LoadReport: loadReportSchema,
  IngestResult: ingestResultSchema,
} as const

export function samplesPaths(config: GatewayConfig): Json {
  return { '/ingest': { post: describeIngest(config) } }
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
