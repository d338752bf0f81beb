import type { VerdictSettings } from '../../verdict/analysis.ts'
import type { AlertPolicy } from '../alerts/alert.ts'
import type { SilencePolicy } from '../alerts/silence.ts'
import type { Judgement } from '../detectors/detector.ts'
import { createDetector, type DetectorName } from '../detectors/registry.ts'
import type { HygienePolicy } from '../hygiene.ts'
import type { OrderPolicy } from '../order.ts'
import { type Budget, BudgetThresholds, type Direction } from './budget.ts'

/** As much of a judgement as a verdict is made of. */
export type JudgedValue = Pick<Judgement, 'score' | 'low' | 'high'>

/** How a key is judged and what becomes of it: a rule with all its defaults filled in. */
export interface Policy {
  /** Null where no rule matches. */
  readonly rule: string | null
  /** Of the rules when this one was last changed; 0 where no rule matches. */
  readonly version: number
  readonly detector: DetectorName
  /** Samples in a full window. */
  readonly window: number
  /** Samples that a key must have had before its first score; undefined leaves it to the detector. */
  readonly samplesMin: number | undefined
  /** A sample with a score beyond this is an anomaly; under a budget what holds until the first score. */
  readonly threshold: number
  /** Where the threshold follows from a false-alarm budget. */
  readonly budget: BudgetThresholds | null
  readonly direction: Direction
  /** A value less far away than this is no anomaly. */
  readonly deviationMin: number
  /** Nor is one less far away than this share of what was expected. */
  readonly deviationMinRelative: number
  readonly hygiene: HygienePolicy
  readonly alert: AlertPolicy
  /** Null where a key may stop sending. */
  readonly silence: SilencePolicy | null
  readonly order: OrderPolicy
}

/** The alert layer's defaults in multiples of the threshold: with the default one of 2 they are |z| > 3, > 6 and < 1.5. */
export const ALERT_DEFAULTS: AlertPolicy = {
  open: 1.5,
  samples: 2,
  of: 2,
  sides: 'same',
  instant: 3,
  sustained: 3.25,
  close: 0.75,
  closeAfter: 5,
  holdMs: 0,
  resolveAfterMs: 600_000,
  severity: 'warning',
}

/** Of detectors whose threshold is a line that noise hardly ever crosses: what is beyond it speaks for an alert. */
export const QUIET_ALERT_DEFAULTS: AlertPolicy = { ...ALERT_DEFAULTS, open: 1 }

/** Under a budget each flagged sample opens an alert: how many there are is what the budget says. */
export const BUDGET_ALERT_DEFAULTS: AlertPolicy = {
  ...ALERT_DEFAULTS,
  open: 1,
  samples: 1,
  of: 1,
  instant: 1,
  sustained: Number.POSITIVE_INFINITY,
}

/** What a policy is made of; what is not given, or undefined, has its default. */
export type PolicyParts = { readonly [Part in keyof Omit<Policy, 'budget'>]?: Policy[Part] | undefined } & {
  readonly budget?: Budget | undefined
}

/** Fills in the defaults; those of the window and of the z-score are the deployment's. */
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
    deviationMin: parts.deviationMin ?? 0,
    deviationMinRelative: parts.deviationMinRelative ?? 0,
    hygiene: parts.hygiene ?? { isHeld: false, levelShiftAfter: 0 },
    alert: parts.alert ?? alertDefaults(detector, budget !== undefined),
    silence: parts.silence ?? null,
    order: parts.order ?? { refusesLate: false, dropsDuplicates: false },
  }
}

/** The alert policy of who says nothing about it. */
export function alertDefaults(detector: DetectorName, hasBudget: boolean): AlertPolicy {
  if (hasBudget) return BUDGET_ALERT_DEFAULTS
  return detector === 'zscore' ? ALERT_DEFAULTS : QUIET_ALERT_DEFAULTS
}

/** The threshold for a window of so many samples, which came so many milliseconds apart on average. */
export function thresholdOf(policy: Policy, samples: number, intervalMs: number): number {
  // One sample has no deviation, so nothing is scored yet.
  if (policy.budget === null || samples < 2) return policy.threshold
  return policy.budget.thresholdFor(samples, intervalMs)
}

/**
 * The score with its side as its sign: above 0 the value is too high, below 0 too low. 0 where the policy does not care for the
 * side or the distance; NaN while the detector has seen too little.
 */
export function signedScore(policy: Policy, judgement: JudgedValue, value: number): number {
  const { score, low, high } = judgement
  if (Number.isNaN(score)) return score
  const isUp = value > high
  // A detector may object to something else than the value, how it varies for one: that has no side and no distance.
  if (!isUp && !(value < low)) return asksForSide(policy) ? 0 : score
  if (policy.direction !== 'both' && (policy.direction === 'up') !== isUp) return 0
  const edge = isUp ? high : low
  const distance = Math.abs(value - edge)
  if (distance < policy.deviationMin || distance < policy.deviationMinRelative * Math.abs(edge)) return 0
  return isUp ? score : -score
}

function asksForSide({ direction, deviationMin, deviationMinRelative }: Policy): boolean {
  return direction !== 'both' || deviationMin > 0 || deviationMinRelative > 0
}
