import type { SampleOrder } from '../detection/order.ts'
import { type EntryId, formatReceipt } from '../sample/receipt.ts'

/** z never goes beyond this, on either side: it is also the z of a value that leaves a flat window. */
export const Z_CAP = 1e6

/** On an exact tie rounding must not decide: z counts as beyond the threshold only by more than this share of it. */
const TIE_MARGIN = 1e-12

/** A deviation of a few units in the last place of the mean is rounding, not variation. */
const FLAT_ULPS = 4

/** What the verdict depends on besides the window. The same for the whole deployment. */
export interface VerdictSettings {
  /** Samples in a full window. */
  readonly window: number
  /** An anomaly is a |z| beyond this. */
  readonly threshold: number
  /** With fewer samples in the window there is no verdict: the key is warming. */
  readonly windowMin: number
}

/** As in the service that Tidemark replaces, but for `windowMin`: 10 samples would flag 10 % of normal values, 30 flag 6 %. */
export const VERDICT_DEFAULTS: VerdictSettings = { window: 50, threshold: 2, windowMin: 30 }

/** `refused`: the key's rule does not let late or repeated samples be analysed, and this was one. */
export type State = 'warming' | 'flat' | 'ok' | 'anomalous' | 'refused'

/**
 * The verdict on one sample. Null while it is not known: mean and deviation of nothing, z and the band while warming. Mean,
 * deviation and z are always those of the window; threshold, band, anomaly and state are of the detector in force.
 */
export interface Analysis {
  readonly key: string
  readonly value: number
  /** When the sample was measured: Unix milliseconds. */
  readonly timestamp: number
  readonly mean: number | null
  /** Population deviation of the window. */
  readonly deviation: number | null
  readonly z: number | null
  readonly threshold: number
  readonly low: number | null
  readonly high: number | null
  readonly anomaly: boolean
  readonly state: State
  /** Samples of this key ever analysed, this one included. */
  readonly count: number
  /** Samples that the verdict rests on. */
  readonly window: number
  /** The receipt of the sample's entry. */
  readonly id: string
  /** Unix milliseconds. The only member that does not follow from the accepted samples. */
  readonly analyzed_at: number
  /** The rule in force, its detector and that one's score, with its side as its sign; where a rule matches the key. */
  readonly rule?: string
  readonly detector?: string
  readonly score?: number | null
  /** Of a sample that was measured before one that came earlier, or came before. */
  readonly late?: true
  readonly duplicate?: true
}

/** What was found out about one sample; the rest of its analysis follows. */
export interface Finding {
  readonly key: string
  readonly value: number
  readonly timestamp: number
  /** Mean and population deviation of the window before the sample; anything when that is empty. */
  readonly mean: number
  readonly deviation: number
  readonly count: number
  readonly window: number
  /** What else is to be said; null for a sample in its order under the default policy: the rest follows from the above. */
  readonly judged: RuleFinding | null
}

/** What a sample's policy said of it. */
export interface RuleFinding {
  /** Null for the default policy. */
  readonly rule: string | null
  readonly detector: string
  /** As `Judged` has them: NaN while warming. */
  readonly score: number
  readonly threshold: number
  readonly low: number
  readonly high: number
  readonly order: SampleOrder
  readonly isRefused: boolean
}

/** Where a finding was made. */
export interface FindingContext {
  readonly partition: number
  readonly id: EntryId
  readonly analyzedAt: number
  readonly threshold: number
  readonly windowMin: number
}

export type EncodingContext = Omit<FindingContext, 'partition' | 'id'> & { readonly receipt: string }

/** Whether a window with this mean and deviation varies by no more than rounding. */
function isFlat(mean: number, deviation: number): boolean {
  return deviation <= Math.abs(mean) * Number.EPSILON * FLAT_ULPS
}

/**
 * z = (value - mean) / deviation, within +-Z_CAP. In a flat window the deviation is no measure: a value that stays within
 * rounding of the mean has z 0, any other has the cap.
 */
export function zScore(value: number, mean: number, deviation: number): number {
  const distance = value - mean
  if (isFlat(mean, deviation)) {
    if (Math.abs(distance) <= Math.abs(mean) * Number.EPSILON * FLAT_ULPS) return 0
    return distance > 0 ? Z_CAP : -Z_CAP
  }
  return Math.min(Z_CAP, Math.max(-Z_CAP, distance / deviation))
}

export function isBeyond(z: number, threshold: number): boolean {
  return Math.abs(z) > threshold * (1 + TIE_MARGIN)
}

/** What follows from a finding. */
interface Verdict {
  readonly z: number | null
  readonly threshold: number
  readonly low: number | null
  readonly high: number | null
  readonly anomaly: boolean
  readonly state: State
}

function verdictOf(
  { value, mean, deviation, window, judged }: Finding,
  context: Pick<FindingContext, 'threshold' | 'windowMin'>,
): Verdict {
  if (judged !== null) return judgedVerdict(judged, { value, mean, deviation, isKnown: window >= context.windowMin })
  const { threshold, windowMin } = context
  if (window < windowMin) return { z: null, threshold, low: null, high: null, anomaly: false, state: 'warming' }
  const z = zScore(value, mean, deviation)
  const anomaly = isBeyond(z, threshold)
  const state = anomaly ? 'anomalous' : isFlat(mean, deviation) ? 'flat' : 'ok'
  return { z, threshold, low: mean - threshold * deviation, high: mean + threshold * deviation, anomaly, state }
}

/** `isKnown`: whether the window is long enough for z by the deployment's settings. */
function judgedVerdict(
  { rule, detector, score, threshold, low, high, isRefused }: RuleFinding,
  { value, mean, deviation, isKnown }: { value: number; mean: number; deviation: number; isKnown: boolean },
): Verdict {
  if (isRefused) return { z: null, threshold, low: null, high: null, anomaly: false, state: 'refused' }
  const isWarming = Number.isNaN(score)
  const hasZ = rule !== null && detector === 'zscore' ? !isWarming : isKnown
  const z = hasZ ? zScore(value, mean, deviation) : null
  if (isWarming) return { z, threshold, low: null, high: null, anomaly: false, state: 'warming' }
  const anomaly = isBeyond(score, threshold)
  const state = anomaly ? 'anomalous' : z === 0 && isFlat(mean, deviation) ? 'flat' : 'ok'
  // A spread may be so wide that the band has no end.
  return { z, threshold, low: finiteOrNull(low), high: finiteOrNull(high), anomaly, state }
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

/** JSON.stringify(toAnalysis(finding, context)), at half its cost: an analyzer encodes one of each key that a batch touches. */
export function encodeAnalysis(finding: Finding, context: EncodingContext): string {
  const { window, judged } = finding
  const measure =
    window > 0 ? `"mean":${finding.mean},"deviation":${finding.deviation}` : '"mean":null,"deviation":null'
  const verdict = judged === null ? encodePlainVerdict(finding, context) : encodeVerdict(verdictOf(finding, context))
  const text =
    `{"key":${JSON.stringify(finding.key)},"value":${finding.value},"timestamp":${finding.timestamp},${measure},${verdict},` +
    `"count":${finding.count},"window":${window},"id":"${context.receipt}","analyzed_at":${context.analyzedAt}`
  return flat(judged === null ? `${text}}` : `${text}${encodeJudged(judged)}}`)
}

/** Of a sample that the default policy judged: encodeVerdict(verdictOf(...)) without the object. */
function encodePlainVerdict(
  { value, mean, deviation, window }: Finding,
  { threshold, windowMin }: EncodingContext,
): string {
  if (window < windowMin) {
    return `"z":null,"threshold":${threshold},"low":null,"high":null,"anomaly":false,"state":"warming"`
  }
  const z = zScore(value, mean, deviation)
  const isAnomaly = isBeyond(z, threshold)
  const low = mean - threshold * deviation
  const high = mean + threshold * deviation
  const end = isAnomaly
    ? '"anomaly":true,"state":"anomalous"'
    : isFlat(mean, deviation)
      ? '"anomaly":false,"state":"flat"'
      : '"anomaly":false,"state":"ok"'
  return `"z":${z},"threshold":${threshold},"low":${low},"high":${high},${end}`
}

/**
 * The same text as one piece. V8 keeps what a template puts together as a tree of its pieces until somebody reads it: four times
 * the memory, which the collector then copies about while a batch gathers thousands of them. Reading a character makes it one.
 */
function flat(text: string): string {
  return text.charCodeAt(0) === 0 ? '' : text
}

function encodeVerdict({ z, threshold, low, high, anomaly, state }: Verdict): string {
  return `"z":${z},"threshold":${threshold},"low":${low},"high":${high},"anomaly":${anomaly},"state":"${state}"`
}

function encodeJudged(judged: RuleFinding): string {
  const { rule, detector, score, order } = judged
  // A rule's name and a detector's need no escaping.
  const members = rule === null ? '' : `,"rule":"${rule}","detector":"${detector}","score":${finiteOrNull(score)}`
  return order === 'in_order' ? members : `${members},"${order}":true`
}

/** The whole analysis that a finding amounts to. A function of its arguments alone, so anybody can recompute it. */
export function toAnalysis(finding: Finding, context: FindingContext): Analysis {
  const { key, value, timestamp, mean, deviation, count, window, judged } = finding
  return {
    ...{ key, value, timestamp },
    mean: window > 0 ? mean : null,
    deviation: window > 0 ? deviation : null,
    ...verdictOf(finding, context),
    ...{ count, window },
    id: formatReceipt({ partition: context.partition, id: context.id }),
    analyzed_at: context.analyzedAt,
    ...(judged === null ? {} : judgedMembers(judged)),
  }
}

function judgedMembers({ rule, detector, score, order }: RuleFinding): Partial<Analysis> {
  return {
    ...(rule === null ? {} : { rule, detector, score: finiteOrNull(score) }),
    ...(order === 'late' ? { late: true } : order === 'duplicate' ? { duplicate: true } : {}),
  }
}
