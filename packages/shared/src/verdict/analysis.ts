import { z } from 'zod'
import { parseJson } from '../parsing/issues.ts'
import { type EntryId, formatReceipt } from '../sample/receipt.ts'
import { isBeyond, isFlat, zScore } from './score.ts'

/** What a verdict depends on besides the window. The same for the whole deployment. */
export interface VerdictSettings {
  readonly window: number
  readonly threshold: number
  /** With fewer samples in the window there is no verdict: the key is warming. */
  readonly windowMin: number
}

/** With 10 samples 10 % of normal values would be flagged, with 30 6 %: hence `windowMin`. */
export const VERDICT_DEFAULTS: VerdictSettings = { window: 50, threshold: 2, windowMin: 30 }

/** Why a sample is not analysed: it is late or a duplicate, or its value is one that is ignored. */
export const EXCLUSIONS = ['refused', 'ignored'] as const
export type Exclusion = (typeof EXCLUSIONS)[number]

export const STATES = ['warming', 'flat', 'ok', 'anomalous', ...EXCLUSIONS] as const
export type State = (typeof STATES)[number]

/** Where a value lies that is outside the range of its rule. */
export const SIDES = ['above', 'below'] as const
export type Side = (typeof SIDES)[number]

/**
 * The verdict on one sample. Members are null while unknown: mean and deviation of an empty window,
 * z and the band while warming. Mean, deviation and z are always those of the window; threshold,
 * band, anomaly and state are those of the detector in force.
 */
const analysisSchema = z.object({
  key: z.string(),
  value: z.number(),
  timestamp: z.number(),
  mean: z.number().nullable(),
  deviation: z.number().nullable(),
  z: z.number().nullable(),
  threshold: z.number(),
  low: z.number().nullable(),
  high: z.number().nullable(),
  anomaly: z.boolean(),
  state: z.enum(STATES),
  /** Samples of this key ever analysed, including this one. */
  count: z.number(),
  /** Samples in the window before this one. */
  window: z.number(),
  id: z.string(),
  /** Unix milliseconds. The only member that does not follow from the accepted samples. */
  analyzed_at: z.number(),
  /** If a rule matches: it, its detector and the detector's score, negative if too low. */
  rule: z.string().exactOptional(),
  detector: z.string().exactOptional(),
  score: z.number().nullable().exactOptional(),
  /** Of a counter: what was scored, per second; null while unknown. Mean and deviation are too. */
  rate: z.number().nullable().exactOptional(),
  /** The value, of a counter the rate, is outside the rule's range: an anomaly by any score. */
  range: z.enum(SIDES).exactOptional(),
  /** Of the values, if the rule names it. Rates are per second of it. */
  unit: z.string().exactOptional(),
  /** The sample was measured before one that arrived earlier. */
  late: z.literal(true).exactOptional(),
  /** The sample equals an earlier one in timestamp and value. */
  duplicate: z.literal(true).exactOptional(),
})
export type Analysis = Readonly<z.infer<typeof analysisSchema>>

export function parseAnalysis(text: string): Analysis | undefined {
  return parseJson(analysisSchema, text)
}

/** How a sample's timestamp relates to the key's other ones. A duplicate is not also late. */
export const SAMPLE_ORDERS = ['in_order', 'late', 'duplicate'] as const
export type SampleOrder = (typeof SAMPLE_ORDERS)[number]

/** The numbers computed for one sample; the analysis is derived from them. */
export interface Finding {
  readonly key: string
  readonly value: number
  readonly timestamp: number
  /** Mean and population deviation of the window before the sample; any number if that is empty. */
  readonly mean: number
  readonly deviation: number
  /** What the mean lost to rounding; 0 if that changes no digit of z that matters. */
  readonly meanRest: number
  readonly count: number
  readonly window: number
  /** Null for an in-order sample under the default policy: the numbers above are all. */
  readonly judged: RuleFinding | null
}

export interface RuleFinding {
  /** Null for the default policy. */
  readonly rule: string | null
  readonly detector: string
  /** NaN while warming, as are low and high. */
  readonly score: number
  readonly threshold: number
  readonly low: number
  readonly high: number
  readonly order: SampleOrder
  /** Null if it was analysed. */
  readonly excluded: Exclusion | null
  /** Of a counter, which is scored instead of the value; NaN while unknown. Null for a value. */
  readonly rate: number | null
  /** Null if the value is in the range of the rule, or the rule has none. */
  readonly outside: Side | null
  readonly unit: string | null
}

/** Where and when a finding was made, and by which settings. */
export interface FindingContext {
  readonly partition: number
  readonly id: EntryId
  readonly analyzedAt: number
  readonly threshold: number
  readonly windowMin: number
}

type Verdict = Pick<Analysis, 'z' | 'threshold' | 'low' | 'high' | 'anomaly' | 'state'>

export function verdictOf(
  { value, mean, deviation, meanRest, window, judged }: Finding,
  { threshold, windowMin }: Pick<FindingContext, 'threshold' | 'windowMin'>,
): Verdict {
  if (judged !== null)
    return judgedVerdict(judged, { value, mean, deviation, meanRest, hasWindow: window >= windowMin })
  if (window < windowMin) return { z: null, threshold, low: null, high: null, anomaly: false, state: 'warming' }
  const z = zScore(value, mean, deviation, meanRest)
  const anomaly = isBeyond(z, threshold)
  const state = anomaly ? 'anomalous' : isFlat(mean, deviation) ? 'flat' : 'ok'
  return { z, threshold, low: mean - threshold * deviation, high: mean + threshold * deviation, anomaly, state }
}

/** `hasWindow`: whether the window has enough samples for z by the deployment's settings. */
function judgedVerdict(
  { rule, detector, score, threshold, low, high, excluded, rate, outside }: RuleFinding,
  {
    value,
    mean,
    deviation,
    meanRest,
    hasWindow,
  }: Pick<Finding, 'value' | 'mean' | 'deviation' | 'meanRest'> & { hasWindow: boolean },
): Verdict {
  if (excluded !== null) return { z: null, threshold, low: null, high: null, anomaly: false, state: excluded }
  const scored = rate ?? value
  const isWarming = Number.isNaN(score)
  const hasZ = rule !== null && detector === 'zscore' ? !isWarming : hasWindow
  const z = hasZ && !Number.isNaN(scored) ? zScore(scored, mean, deviation, meanRest) : null
  const isOutside = outside !== null
  if (isWarming) {
    return { z, threshold, low: null, high: null, anomaly: isOutside, state: isOutside ? 'anomalous' : 'warming' }
  }
  const anomaly = isOutside || isBeyond(score, threshold)
  const state = anomaly ? 'anomalous' : z === 0 && isFlat(mean, deviation) ? 'flat' : 'ok'
  // With an extreme spread the band has no finite end.
  return { z, threshold, low: finiteOrNull(low), high: finiteOrNull(high), anomaly, state }
}

export function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

/** Returns the analysis of a finding. It can be recomputed anywhere from the arguments. */
export function toAnalysis(finding: Finding, context: FindingContext): Analysis {
  const { key, value, timestamp, mean, deviation, count, window, judged } = finding
  return {
    key,
    value,
    timestamp,
    mean: window > 0 ? mean : null,
    deviation: window > 0 ? deviation : null,
    ...verdictOf(finding, context),
    count,
    window,
    id: formatReceipt({ partition: context.partition, id: context.id }),
    analyzed_at: context.analyzedAt,
    ...(judged === null ? {} : judgedMembers(judged)),
  }
}

function judgedMembers({ rule, detector, score, order, rate, outside, unit }: RuleFinding): Partial<Analysis> {
  return {
    ...(rule === null ? {} : { rule, detector, score: finiteOrNull(score) }),
    ...(rate === null ? {} : { rate: finiteOrNull(rate) }),
    ...(outside === null ? {} : { range: outside }),
    ...(unit === null ? {} : { unit }),
    ...(order === 'in_order' ? {} : { [order]: true }),
  }
}
