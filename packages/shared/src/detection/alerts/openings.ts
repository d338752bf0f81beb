import { hash } from 'node:crypto'
import type { Judgement } from '../detectors/detector.ts'
import type { AlertEvent, AlertPolicy } from './alert.ts'
import type { GuardKind } from './defaults.ts'
import { CONFIRMED_WITHIN } from './guard.ts'
import { type AlertCause, type AlertEnd, type AlertOpening, FLEET } from './record.ts'
import type { SilenceEvent } from './silence.ts'
import type { StormEvent } from './storm.ts'

export interface AlertPlace {
  readonly partition: number
  readonly key: string
  readonly policy: {
    readonly rule: string | null
    readonly detector: string
    readonly alert: AlertPolicy
    readonly hygiene: { readonly levelShiftAfter: number }
    readonly isCounter?: boolean
    readonly range?: { readonly min: number; readonly max: number } | null
    readonly unit?: string | null
    readonly budget?: { readonly text: string } | null
    readonly guard?: GuardKind
  }
}

type PlacedKey = Pick<AlertPlace, 'partition' | 'key'>
type AnomalyOpened = Extract<AlertEvent, { kind: 'opened' }>
type AnomalyResolved = Extract<AlertEvent, { kind: 'resolved' }>

/** Returns an alert's id. It depends on the opening alone: a repeated analysis opens it once. */
export function alertId(
  opening: PlacedKey & { readonly kind: AlertCause['kind']; readonly count: number; readonly time: number },
): string {
  const { partition, kind, key, count, time } = opening
  return `${partition}-${hash('sha256', JSON.stringify([kind, key, count, time])).slice(0, 24)}`
}

/** The setting whose line a score crossed. */
const LINES = { instant: 'instant', samples: 'open', sustained: 'sustained', range: 'open' } as const

export function anomalyOpening(
  event: AnomalyOpened,
  place: AlertPlace & { readonly judgement: Pick<Judgement, 'low' | 'high' | 'spread'>; readonly window: number },
): AlertOpening {
  const { key, policy, judgement, window } = place
  const { alert, detector, rule } = policy
  const { value, score, by, time } = event
  const { severity } = alert
  const condition = conditionOf(event, policy)
  // Nothing is expected of a key that is warming, except by its range.
  const isWarming = Number.isNaN(judgement.low)
  const { low, high, spread } = isWarming ? { low: condition.line, high: condition.line, spread: 0 } : judgement
  const numbers = { detector, value, score, by, ...condition, low, high, spread, window }
  const evidence = { ...numbers, ...measureOf(policy), ...event.comparison }
  const id = anomalyId(place, event.count, time)
  return { id, key, rule, severity, opened_at: time, cause: { kind: 'anomaly', evidence } }
}

/** Returns what the values are: rates or not, and their unit. */
function measureOf({ isCounter, unit = null }: AlertPlace['policy']) {
  return { ...(isCounter === true && { per_second: true as const }), ...(unit !== null && { unit }) }
}

/** Returns the condition that was met. The guard regards each sample beyond the threshold. */
function conditionOf(
  { by, threshold, score }: AnomalyOpened,
  { alert, guard = null, range = null, budget = null }: AlertPlace['policy'],
) {
  const { samples, of } = alert
  if (by === 'range' && range !== null) {
    const { min, max } = range
    const ends = { ...(Number.isFinite(min) && { min }), ...(Number.isFinite(max) && { max }) }
    return { line: score > 0 ? max : min, samples: 1, of: 1, range: ends }
  }
  if (guard === null || by === 'sustained') {
    return { line: alert[LINES[by]] * threshold, samples, of, ...(budget !== null && { budget: budget.text }) }
  }
  const news = { line: threshold, news: true as const }
  return by === 'instant' ? { ...news, samples: 1, of: 1 } : { ...news, samples: 2, of: CONFIRMED_WITHIN + 1 }
}

export function resolvedId(event: AnomalyResolved, place: PlacedKey): string {
  return anomalyId(place, event.openedCount, event.openedAt)
}

function anomalyId({ partition, key }: PlacedKey, count: number, time: number): string {
  return alertId({ partition, kind: 'anomaly', key, count, time })
}

export function anomalyEnd({ reason, time, peak, peakValue, samples }: AnomalyResolved): AlertEnd {
  return { resolved_at: time, resolve_reason: reason, peak: { score: peak, value: peakValue, samples } }
}

export function silentOpening(event: Extract<SilenceEvent, { kind: 'silent' }>, place: AlertPlace): AlertOpening {
  const { key, policy } = place
  const cause = { kind: 'silent', last_at: event.lastAt, expected_ms: event.expectedMs } as const
  const { rule, alert } = policy
  return { id: silentId(event, place), key, rule, severity: alert.severity, opened_at: event.time, cause }
}

export function silentId(event: SilenceEvent, { partition, key }: PlacedKey): string {
  return alertId({ partition, kind: 'silent', key, count: event.lastCount, time: event.lastAt })
}

export function heardEnd(event: Extract<SilenceEvent, { kind: 'heard' }>): AlertEnd {
  return { resolved_at: event.time, resolve_reason: 'heard', peak: null }
}

export interface ShiftedLevel {
  readonly value: number
  readonly count: number
  readonly time: number
  /** Of the window before. */
  readonly before?: { readonly mean: number; readonly deviation: number }
}

/** Returns the alert on a level shift: resolved at once, stored to explain why the band moved. */
export function levelShift(
  { partition, key, policy }: AlertPlace,
  { value, count, time, before }: ShiftedLevel,
): { readonly opening: AlertOpening; readonly end: AlertEnd } {
  const id = alertId({ partition, kind: 'level_shift', key, count, time })
  const samples = policy.hygiene.levelShiftAfter
  const cause = { kind: 'level_shift', value, samples, ...before, ...measureOf(policy) } as const
  return {
    opening: { id, key, rule: policy.rule, severity: 'info', opened_at: time, cause },
    end: { resolved_at: time, resolve_reason: 'level_shift', peak: null },
  }
}

/** Returns the opening of an alert storm. It is written again when more keys join the storm. */
export function stormOpening(event: StormEvent): AlertOpening {
  const cause = { kind: 'storm', keys: event.keys, key_count: event.keyCount, keys_total: event.keysTotal } as const
  const id = `${FLEET}-${event.openedAt}`
  return { id, key: null, rule: null, severity: 'critical', opened_at: event.openedAt, cause }
}

export function stormEnd(event: StormEvent): AlertEnd {
  const end = { resolved_at: event.time, resolve_reason: 'few_keys', peak: null } as const
  return event.isExpired === true ? { ...end, expired: true } : end
}
