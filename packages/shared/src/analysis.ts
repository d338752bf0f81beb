import { type EntryId, formatReceipt } from './receipt.ts'

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

export type State = 'warming' | 'flat' | 'ok' | 'anomalous'

/** The verdict on one sample. Null while it is not known: mean and deviation of nothing, z and the band while warming. */
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

/** JSON.stringify(toAnalysis(finding, context)), at half its cost: an analyzer encodes one of each key that a batch touches. */
export function encodeAnalysis(finding: Finding, context: EncodingContext): string {
  const { value, mean, deviation, window } = finding
  const { threshold, windowMin } = context
  let measure = '"mean":null,"deviation":null'
  if (window > 0) measure = `"mean":${mean},"deviation":${deviation}`
  let verdict = `"z":null,"threshold":${threshold},"low":null,"high":null,"anomaly":false,"state":"warming"`
  if (window >= windowMin) {
    const z = zScore(value, mean, deviation)
    const anomaly = isBeyond(z, threshold)
    const state = anomaly ? 'anomalous' : isFlat(mean, deviation) ? 'flat' : 'ok'
    const low = mean - threshold * deviation
    const high = mean + threshold * deviation
    verdict = `"z":${z},"threshold":${threshold},"low":${low},"high":${high},"anomaly":${anomaly},"state":"${state}"`
  }
  return (
    `{"key":${JSON.stringify(finding.key)},"value":${value},"timestamp":${finding.timestamp},${measure},${verdict},` +
    `"count":${finding.count},"window":${window},"id":"${context.receipt}","analyzed_at":${context.analyzedAt}}`
  )
}

/** The whole analysis that a finding amounts to. A function of its arguments alone, so anybody can recompute it. */
export function toAnalysis(finding: Finding, context: FindingContext): Analysis {
  const { key, value, timestamp, mean, deviation, count, window } = finding
  const { threshold, windowMin } = context
  const isWarming = window < windowMin
  const z = isWarming ? null : zScore(value, mean, deviation)
  const anomaly = z !== null && isBeyond(z, threshold)
  return {
    key,
    value,
    timestamp,
    mean: window > 0 ? mean : null,
    deviation: window > 0 ? deviation : null,
    z,
    threshold,
    low: isWarming ? null : mean - threshold * deviation,
    high: isWarming ? null : mean + threshold * deviation,
    anomaly,
    state: z === null ? 'warming' : anomaly ? 'anomalous' : isFlat(mean, deviation) ? 'flat' : 'ok',
    count,
    window,
    id: formatReceipt({ partition: context.partition, id: context.id }),
    analyzed_at: context.analyzedAt,
  }
}
