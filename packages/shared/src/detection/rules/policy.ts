import type { VerdictSettings } from '../../verdict/analysis.ts'
import type { AlertPolicy } from '../alerts/alert.ts'
import { alertDefaults, type GuardKind, guardOf } from '../alerts/defaults.ts'
import type { SilencePolicy } from '../alerts/silence.ts'
import type { Judgement } from '../detectors/detector.ts'
import { createDetector, type DetectorName } from '../detectors/registry.ts'
import type { HygienePolicy } from '../hygiene.ts'
import type { OrderPolicy } from '../order.ts'
import { type Budget, BudgetThresholds, type Direction } from './budget.ts'

/** The values that a key may have, whatever is usual. An end that is not set is infinite. */
export interface ExpectedRange {
  readonly min: number
  readonly max: number
}

/** Returns 1 for a value above a range, -1 for one below, otherwise 0. */
export function sideOf({ min, max }: ExpectedRange, value: number): -1 | 0 | 1 {
  return value > max ? 1 : value < min ? -1 : 0
}

type JudgedValue = Pick<Judgement, 'score' | 'low' | 'high'>

/** How a key's samples are scored and alerts are opened: a rule with all defaults filled in. */
export interface Policy {
  /** Null where no rule matches. */
  readonly rule: string | null
  /** The version of the rules when this one was last changed; 0 where no rule matches. */
  readonly version: number
  readonly detector: DetectorName
  readonly window: number
  /** Samples of a key before its first score; undefined for the detector's default. */
  readonly samplesMin: number | undefined
  /** A score beyond this is an anomaly. Under a budget it applies until the first score. */
  readonly threshold: number
  /** Null unless the threshold follows from a false-alarm budget. */
  readonly budget: BudgetThresholds | null
  readonly direction: Direction
  /** A value closer to the expected ones than this is not an anomaly; null: not set. */
  readonly deviationMin: number | null
  /** Nor is one closer than this share of the expected value. */
  readonly deviationMinRelative: number
  readonly hygiene: HygienePolicy
  readonly alert: AlertPolicy
  /** What decides when an alert opens; null: the members of `alert`. */
  readonly guard: GuardKind
  /** Null if a key may stop sending. */
  readonly silence: SilencePolicy | null
  readonly order: OrderPolicy
  /** Values that stand for no measurement, such as a sensor's error values; null for none. */
  readonly ignored: ReadonlySet<number> | null
  /** The values are those of a counter: its rate per second is scored. */
  readonly isCounter: boolean
  /** What is outside is an anomaly by any score; of a counter, it is the rate. Null: any value. */
  readonly range: ExpectedRange | null
  /** Of the values, as people read it. */
  readonly unit: string | null
}

/** The parts of a policy; missing or undefined ones have their default. */
export type PolicyParts = { readonly [Part in keyof Omit<Policy, 'budget'>]?: Policy[Part] | undefined } & {
  readonly budget?: Budget | undefined
}

/** Fills in the defaults. Those of the window and of the z-score are the deployment's settings. */
export function createPolicy(parts: PolicyParts, settings: VerdictSettings): Policy {
  const { detector = 'zscore', direction = 'both', window = settings.window, budget } = parts
  const defaultThreshold = detector === 'zscore' ? settings.threshold : createDetector(detector).threshold
  const readsWindow = detector === 'zscore' || detector === 'mad'
  const defaultSamplesMin = readsWindow ? Math.min(settings.windowMin, window) : undefined
  return {
    rule: parts.rule ?? null,
    version: parts.version ?? 0,
    detector,
    window,
    samplesMin: parts.samplesMin ?? defaultSamplesMin,
    threshold: parts.threshold ?? defaultThreshold,
    budget: budget === undefined ? null : new BudgetThresholds(budget, direction),
    direction,
    deviationMin: parts.deviationMin ?? null,
    deviationMinRelative: parts.deviationMinRelative ?? 0,
    hygiene: parts.hygiene ?? { isHeld: false, levelShiftAfter: 0 },
    alert: parts.alert ?? alertDefaults(detector, budget !== undefined),
    guard: parts.guard ?? (parts.alert === undefined ? guardOf(detector, budget !== undefined) : null),
    silence: parts.silence ?? null,
    order: parts.order ?? { refusesLate: false, dropsDuplicates: false },
    ignored: parts.ignored ?? null,
    isCounter: parts.isCounter ?? false,
    range: parts.range ?? null,
    unit: parts.unit ?? null,
  }
}

export function thresholdOf(policy: Policy, samples: number, intervalMs: number): number {
  // A single sample has no deviation, so nothing is scored yet.
  if (policy.budget === null || samples < 2) return policy.threshold
  return policy.budget.thresholdFor(samples, intervalMs)
}

/** Returns the score, negative if too low, 0 if that side or distance is ignored; NaN: warming. */
export function signedScore(policy: Policy, judgement: JudgedValue, value: number): number {
  const { score, low, high } = judgement
  const { direction, deviationMin, deviationMinRelative } = policy
  if (Number.isNaN(score)) return score
  const isUp = value > high
  // What is not the value, such as how it varies, may be scored without a side and a distance.
  const distanceMin = deviationMin ?? 0
  if (!isUp && !(value < low)) return direction !== 'both' || distanceMin > 0 || deviationMinRelative > 0 ? 0 : score
  if (direction !== 'both' && (direction === 'up') !== isUp) return 0
  const edge = isUp ? high : low
  const distance = Math.abs(value - edge)
  if (distance < distanceMin || distance < deviationMinRelative * Math.abs(edge)) return 0
  return isUp ? score : -score
}
