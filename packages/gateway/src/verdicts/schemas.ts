import { z } from '@hono/zod-openapi'
import { SIDES, STATES } from '@tidemark/shared/verdict/analysis'
import { cursorMember, keyMember, timeMember } from '../http/documentation.ts'

const nullableNumber = z.number().nullable()

export const analysisSchema = z
  .strictObject({
    key: keyMember,
    value: z.number(),
    timestamp: z.number().describe('When the sample was measured, in Unix milliseconds.'),
    mean: nullableNumber.describe('Of the window; null while it is empty.'),
    deviation: nullableNumber.describe('Population deviation of the window; null while it is empty.'),
    z: nullableNumber.describe('(value - mean) / deviation, from -1e6 to 1e6; null while warming.'),
    threshold: z.number().describe('The sample is an anomaly if |z|, under a rule |score|, exceeds it.'),
    low: nullableNumber.describe('Lower end of the band; null while warming.'),
    high: nullableNumber.describe('Upper end of the band; null while warming.'),
    anomaly: z.boolean(),
    state: z
      .enum(STATES)
      .describe(
        'Not analysed by the rule of its key: `refused`, a late or duplicate sample; `ignored`, an ignored value.',
      ),
    count: z.int().min(0).describe('Samples of this key analysed so far, including this one.'),
    window: z.int().min(0).describe('Samples that the verdict is based on.'),
    id: z.string().openapi({ description: "The receipt of the sample's entry.", examples: ['3:1700000000000-0'] }),
    analyzed_at: timeMember,
    rule: z.string().optional().describe('The rule of the key; absent if no rule matches.'),
    detector: z.string().optional().describe("The rule's detector, which sets threshold, band, anomaly and state."),
    score: nullableNumber.optional().describe("The detector's score; positive if the value is too high."),
    rate: nullableNumber
      .optional()
      .describe('Of a counter: per second, as are mean, deviation and band; null while unknown.'),
    range: z
      .enum(SIDES)
      .optional()
      .describe(
        'The value, of a counter the rate, is above `max` or below `min` of the rule: an anomaly by any score.',
      ),
    unit: z.string().optional().describe('Of the values, if the rule names it; rates are per second of it.'),
    late: z.literal(true).optional().describe('Measured before a sample that arrived earlier.'),
    duplicate: z.literal(true).optional().describe('The sample arrived before.'),
  })
  .openapi('Analysis', { description: 'The verdict on one sample.' })

const loadAnalysisSchema = z
  .strictObject({
    timestamp: z.number().describe('Unix seconds.'),
    rps_avg: z.number(),
    rps_z: z.number(),
    anomaly: z.boolean(),
    window: z.int().min(0),
    count: z.int().min(0),
  })
  .openapi('LoadAnalysis', { description: 'The newest analysis of `default/rps`, in its legacy form.' })

export const pageSchema = z
  .strictObject({
    analyses: z.array(analysisSchema),
    cursor: z
      .string()
      .nullable()
      .describe('Cursor of the next page; null on the last page. An empty page can have a next page.'),
    // A union: the generator would make the component itself nullable.
    analysis: z.union([loadAnalysisSchema, z.null()]),
  })
  .openapi('AnalysesPage')

export const entryAnalysesSchema = z
  .strictObject({ analyses: z.array(analysisSchema).describe('Of all samples of the entry, in order.') })
  .openapi('EntryAnalyses')

export const anomaliesPageSchema = z
  .strictObject({
    anomalies: z.array(analysisSchema),
    cursor: cursorMember.describe(
      'Cursor of the next page; null on the last page. With filters, an empty page can have a next page.',
    ),
  })
  .openapi('AnomaliesPage')

export const historySchema = z
  .strictObject({
    key: keyMember,
    count: z.int().min(0).describe('Samples of this key analysed so far.'),
    values: z.array(z.number()).describe('The window, oldest first.'),
    timestamps: z.array(z.number()).describe('Unix milliseconds, one for each value.'),
    rates: z
      .array(nullableNumber)
      .optional()
      .describe('Of a counter: the rate per second from each count to the next, null while unknown; the first is.'),
    unit: z.string().optional().describe('Of the values, if the rule of the newest analysis names it.'),
    mean: z
      .array(nullableNumber)
      .describe('Of the window before each value, as its analysis has it; null if that is no longer kept.'),
    low: z.array(nullableNumber).describe('Lower end of the band at each value; null while warming too.'),
    high: z.array(nullableNumber).describe('Upper end of the band at each value.'),
    state: z.array(z.enum(STATES).nullable()).describe('The verdict on each value.'),
  })
  .openapi('History')

const bucketSchema = z
  .strictObject({
    start: timeMember,
    count: z.int().min(1).describe('Samples. Of a closed bucket exact up to 8,191.'),
    mean: nullableNumber.describe('Null if numbers are too large to be kept.'),
    deviation: nullableNumber.describe('Population standard deviation.'),
    min: nullableNumber,
    max: nullableNumber,
    anomalies: z.int().min(0).describe('Samples that were flagged. Of a closed bucket exact up to 255.'),
    open: z.boolean().describe('Whether it is the newest bucket: later samples may change it.'),
  })
  .openapi('Bucket')

export const aggregatesSchema = z
  .strictObject({
    key: keyMember,
    step_ms: z.int().min(1).describe('Length of each bucket.'),
    buckets: z.array(bucketSchema).describe('Oldest first. Intervals without a sample have none.'),
  })
  .openapi('Aggregates')
