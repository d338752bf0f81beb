import { z } from 'zod'
import type { GatewayConfig } from '../config.ts'
import { WAIT_DEFAULT_MS } from '../verdicts/analyze.ts'
import { LIMIT_DEFAULT, LIMIT_MAX, STATES } from '../verdicts/page.ts'
import { type Json, keyMember, outage, parameter, problem, ref, timeMember } from './parts.ts'

const nullableNumber = z.number().nullable()

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
    state: z.enum([...STATES, 'refused']).meta({
      description:
        '`refused`: the rule of its key does not let late or repeated samples be analysed, and this was one.',
    }),
    count: z.int().min(0).meta({ description: 'Samples of this key ever analysed, this one included.' }),
    window: z.int().min(0).meta({ description: 'Samples that the verdict rests on.' }),
    id: z.string().meta({ description: "The receipt of the sample's entry.", examples: ['3:1700000000000-0'] }),
    analyzed_at: timeMember,
    rule: z.string().optional().meta({ description: 'In force for the key; absent where no rule matches.' }),
    detector: z.string().optional().meta({ description: 'Of the rule: threshold, band, anomaly and state are its.' }),
    score: nullableNumber.optional().meta({ description: "The detector's, above 0 when the value is too high." }),
    late: z.literal(true).optional().meta({ description: 'It was measured before a sample that came earlier.' }),
    duplicate: z.literal(true).optional().meta({ description: 'It came before.' }),
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

export const historySchema = z.strictObject({
  key: keyMember,
  count: z.int().min(0).meta({ description: 'Samples of this key ever analysed.' }),
  values: z.array(z.number()).meta({ description: 'The window, oldest first.' }),
  timestamps: z.array(z.number()).meta({ description: 'Unix milliseconds, one for each value.' }),
})

export const VERDICTS_COMPONENTS = {
  Analysis: analysisSchema,
  LoadAnalysis: loadAnalysisSchema,
  AnalysesPage: pageSchema,
  EntryAnalyses: entryAnalysesSchema,
  History: historySchema,
} as const

export function verdictsPaths(config: GatewayConfig): Json {
  return { '/analyze': { get: describeAnalyze(config) }, '/history': { get: describeHistory() } }
}

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
