import { hash } from 'node:crypto'
import type { Judgement } from '../detectors/detector.ts'
import type { Policy } from '../rules/policy.ts'
import type { AlertEvent, AlertPolicy, OpenedBy, ResolveReason, Severity } from './alert.ts'
import type { SilenceEvent } from './silence.ts'
import type { StormEvent } from './storm.ts'

/** What an anomaly alert rests on: the sample that opened it, and what was expected instead. */
export interface AnomalyEvidence {
  readonly detector: string
  readonly value: number
  /** Above 0 when the value is too high, below 0 when too low. */
  readonly score: number
  /** What was enough: a sample beyond `line`, so many of so many, or a sum beyond it. */
  readonly by: OpenedBy
  readonly line: number
  readonly samples: number
  readonly of: number
  /** Values from low to high were expected, give or take spread; for most detectors low and high are one value. */
  readonly low: number
  readonly high: number
  readonly spread: number
  /** Samples in the window. */
  readonly window: number
}

/** The furthest that a key went while its alert was firing. */
export interface Peak {
  readonly score: number
  readonly value: number
  /** Samples while it was firing. */
  readonly samples: number
}

export type AlertCause =
  | { readonly kind: 'anomaly'; readonly evidence: AnomalyEvidence }
  | { readonly kind: 'silent'; readonly last_at: number; readonly expected_ms: number }
  | { readonly kind: 'level_shift'; readonly value: number; readonly samples: number }
  | {
      readonly kind: 'storm'
      /** The first of them, and how many there are. */
      readonly keys: readonly string[]
      readonly key_count: number
      readonly keys_total: number
    }

/** Who did something about an alert, and why. */
export interface Note {
  readonly who: string
  readonly why: string
  /** Unix milliseconds. */
  readonly at: number
}

export interface NoteUntil extends Note {
  readonly until: number
}

export const SUPPRESSORS = ['mute', 'snooze', 'storm'] as const
export type Suppressor = (typeof SUPPRESSORS)[number]

/** What an alert began with. Written once, by the commit that opened it. Times are Unix milliseconds. */
export interface AlertOpening {
  readonly id: string
  /** Null for the whole fleet. */
  readonly key: string | null
  readonly rule: string | null
  readonly severity: Severity
  readonly opened_at: number
  readonly cause: AlertCause
}

/** What it ended with. Written by the commit that resolved it. */
export interface AlertEnd {
  readonly resolved_at: number
  readonly resolve_reason: ResolveReason | 'heard' | 'few_keys'
  /** Of an anomaly. */
  readonly peak: Peak | null
}

/** What operators did about it. */
export interface OperatorState {
  readonly acknowledged: Note | null
  readonly snoozed: NoteUntil | null
}

/** What receivers were told of it. */
export interface NotificationState {
  /** How often they were told that it fires, and when last; and whether they were told that it is over. */
  readonly told: number
  readonly told_at: number
  readonly told_resolved: boolean
  /** What keeps them from being told at present, and how often each has. */
  readonly suppressed_by: Suppressor | null
  readonly suppressed: Readonly<Record<Suppressor, number>>
}

/** An alert as it is shown: its four parts, each of which has one writer. */
export interface AlertRecord extends AlertOpening, OperatorState, NotificationState {
  readonly state: 'firing' | 'resolved'
  readonly resolved_at: number | null
  readonly resolve_reason: AlertEnd['resolve_reason'] | null
  readonly peak: Peak | null
}

export interface AlertParts {
  readonly opening: AlertOpening
  readonly end: AlertEnd | null
  readonly operator: OperatorState | null
  readonly notification: NotificationState | null
}

export const NO_OPERATOR_STATE: OperatorState = { acknowledged: null, snoozed: null }

export const NOT_NOTIFIED: NotificationState = {
  ...{ told: 0, told_at: 0, told_resolved: false, suppressed_by: null },
  suppressed: { mute: 0, snooze: 0, storm: 0 },
}

export function assembleAlert({ opening, end, operator, notification }: AlertParts): AlertRecord {
  return {
    ...opening,
    state: end === null ? 'firing' : 'resolved',
    ...(end ?? { resolved_at: null, resolve_reason: null, peak: null }),
    ...(operator ?? NO_OPERATOR_STATE),
    ...(notification ?? NOT_NOTIFIED),
  }
}

/** The same for the same opening, whoever works it out: so an alert is opened once, however often its entry is worked on. */
export function alertId(opening: {
  readonly partition: number
  readonly kind: AlertCause['kind']
  readonly key: string
  readonly count: number
  readonly time: number
}): string {
  const { partition, kind, key, count, time } = opening
  return `${partition}-${hash('sha256', JSON.stringify([kind, key, count, time])).slice(0, 24)}`
}

export interface AlertPlace {
  readonly partition: number
  readonly key: string
  readonly policy: Policy
}

const LINES = { instant: 'instant', samples: 'open', sustained: 'sustained' } as const satisfies Record<
  OpenedBy,
  keyof AlertPolicy
>

/** What an anomaly's alert begins with. */
export function anomalyOpening(
  event: Extract<AlertEvent, { kind: 'opened' }>,
  {
    partition,
    key,
    policy,
    judgement,
    window,
  }: AlertPlace & { readonly judgement: Pick<Judgement, 'low' | 'high' | 'spread'>; readonly window: number },
): AlertOpening {
  const { alert, detector, rule } = policy
  const evidence: AnomalyEvidence = {
    detector,
    value: event.value,
    score: event.score,
    by: event.by,
    line: alert[LINES[event.by]] * event.threshold,
    samples: alert.samples,
    of: alert.of,
    low: judgement.low,
    high: judgement.high,
    spread: judgement.spread,
    window,
  }
  const id = alertId({ partition, kind: 'anomaly', key, count: event.count, time: event.time })
  return { id, key, rule, severity: alert.severity, opened_at: event.time, cause: { kind: 'anomaly', evidence } }
}

/** The id of the alert that a `resolved` event is about. */
export function resolvedId(
  event: Extract<AlertEvent, { kind: 'resolved' }>,
  { partition, key }: Pick<AlertPlace, 'partition' | 'key'>,
): string {
  return alertId({ partition, kind: 'anomaly', key, count: event.openedCount, time: event.openedAt })
}

/** What an anomaly's alert ends with. */
export function anomalyEnd(event: Extract<AlertEvent, { kind: 'resolved' }>): AlertEnd {
  const { reason, time, peak, peakValue, samples } = event
  return { resolved_at: time, resolve_reason: reason, peak: { score: peak, value: peakValue, samples } }
}

/** What the alert of a key that went silent begins with. */
export function silentOpening(event: Extract<SilenceEvent, { kind: 'silent' }>, place: AlertPlace): AlertOpening {
  const { key, policy } = place
  const cause = { kind: 'silent', last_at: event.lastAt, expected_ms: event.expectedMs } as const
  const { rule, alert } = policy
  return { id: silentId(event, place), key, rule, severity: alert.severity, opened_at: event.time, cause }
}

/** The id of the alert that an event of silence is about, be it its opening or its end. */
export function silentId(event: SilenceEvent, { partition, key }: Pick<AlertPlace, 'partition' | 'key'>): string {
  return alertId({ partition, kind: 'silent', key, count: event.lastCount, time: event.lastAt })
}

/** A silent key was heard again. */
export function heardEnd(event: Extract<SilenceEvent, { kind: 'heard' }>): AlertEnd {
  return { resolved_at: event.time, resolve_reason: 'heard', peak: null }
}

/** A level that was accepted as new: over as soon as it is noticed, kept because somebody may ask why the band moved. */
export function levelShift(
  { partition, key, policy }: AlertPlace,
  shift: { readonly value: number; readonly count: number; readonly time: number },
): { readonly opening: AlertOpening; readonly end: AlertEnd } {
  const { value, count, time } = shift
  const id = alertId({ partition, kind: 'level_shift', key, count, time })
  const cause = { kind: 'level_shift', value, samples: policy.hygiene.levelShiftAfter } as const
  return {
    opening: { id, key, rule: policy.rule, severity: 'info', opened_at: time, cause },
    end: { resolved_at: time, resolve_reason: 'level_shift', peak: null },
  }
}

/** What a storm's alert begins with; written anew when more keys join it. */
export function stormOpening(event: StormEvent): AlertOpening {
  const cause = { kind: 'storm', keys: event.keys, key_count: event.keyCount, keys_total: event.keysTotal } as const
  const id = `${FLEET}-${event.openedAt}`
  return { id, key: null, rule: null, severity: 'critical', opened_at: event.openedAt, cause }
}

export function stormEnd(event: StormEvent): AlertEnd {
  return { resolved_at: event.time, resolve_reason: 'few_keys', peak: null }
}

/** The first part of an alert's id, where it is of the whole fleet; otherwise it is a partition. */
const FLEET = 'fleet'

/** Where alerts of the whole fleet are kept. */
export const FLEET_PARTITION = 0

/** The partition that keeps an alert; undefined for what is no alert's id. */
export function partitionOfAlert(id: string): number | undefined {
  const [, place] = /^(\d{1,4}|fleet)-[0-9a-f]{1,24}$/.exec(id) ?? []
  if (place === undefined) return undefined
  return place === FLEET ? FLEET_PARTITION : Number(place)
}
