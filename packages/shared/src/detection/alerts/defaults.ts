import type { DetectorName } from '../detectors/registry.ts'
import type { AlertPolicy } from './alert.ts'

/** In multiples of the threshold. With the default threshold 2: |z| > 3, > 6 and < 1.5. */
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

/**
 * For detectors with a threshold that noise rarely crosses: each flagged sample opens an alert.
 * They flag what is new, and most flag it once, so a second flagged sample may never come.
 */
export const QUIET_ALERT_DEFAULTS: AlertPolicy = { ...ALERT_DEFAULTS, open: 1, samples: 1, of: 1, instant: 1 }

/** Under a budget too: the budget limits their number. */
const BUDGET_ALERT_DEFAULTS: AlertPolicy = { ...QUIET_ALERT_DEFAULTS, sustained: Number.POSITIVE_INFINITY }

/** Returns the alert policy of a rule that sets none of its members. */
export function alertDefaults(detector: DetectorName, hasBudget: boolean): AlertPolicy {
  if (hasBudget) return BUDGET_ALERT_DEFAULTS
  return detector === 'zscore' ? ALERT_DEFAULTS : QUIET_ALERT_DEFAULTS
}

/** What decides when alerts open: the members of the alert policy, or the guard. */
export type GuardKind = 'memory' | 'detector' | null

/**
 * Returns the guard under a rule that sets no member of `alert`. Most detectors with a memory of
 * their own are guarded by what is new to it; for z-scores the guard has one.
 */
export function guardOf(detector: DetectorName, hasBudget: boolean): GuardKind {
  if (hasBudget) return null
  if (detector === 'zscore') return 'memory'
  return detector === 'novelty' || detector === 'habit' || detector === 'step' ? 'detector' : null
}
