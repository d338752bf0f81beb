import { hash } from 'node:crypto'
import type { AlertEvent, AlertPolicy, OpenedBy, ResolveReason, Severity } from './alerts.ts'
import type { Judgement } from './detector.ts'
import type { Policy } from './policy.ts'
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
  | { readonly kind: 'anomaly'; readonly evidence: AnomalyEvidence; readonly peak: Peak | null }
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

/** An alert as it is kept and shown. Times are Unix milliseconds. */
export interface AlertRecord {
  readonly id: string
  /** Null for the whole fleet. */
  readonly key: string | null
  readonly rule: string | null
  readonly severity: Severity
  readonly state: 'firing' | 'resolved'
  readonly opened_at: number
  readonly resolved_at: number | null
  readonly resolve_reason: ResolveReason | 'heard' | 'few_keys' | null
  readonly cause: AlertCause
  readonly acknowledged: Note | null
  readonly snoozed: NoteUntil | null
  /** Whether receivers have yet to be told that it fires. */
  readonly is_due: boolean
  /** How often they were told so, and whether they were told that it is over. */
  readonly told: number
  readonly told_resolved: boolean
  /** What keeps them from being told at present, and how often each has. */
  readonly suppressed_by: Suppressor | null
  readonly suppressed: Readonly<Record<Suppressor, number>>
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

/** The record of an alert that has just opened. */
export function openedRecord(
  event: Extract<AlertEvent, { kind: 'opened' }>,
  {
    partition,
    key,
    policy,
    judgement,
    window,
  }: AlertPlace & { readonly judgement: Pick<Judgement, 'low' | 'high' | 'spread'>; readonly window: number },
): AlertRecord {
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
  const cause = { kind: 'anomaly', evidence, peak: null } as const
  return firing({ id, key, rule, severity: alert.severity, opened_at: event.time, cause })
}

/** The id of the alert that a `resolved` event is about. */
export function resolvedId(
  event: Extract<AlertEvent, { kind: 'resolved' }>,
  { partition, key }: Pick<AlertPlace, 'partition' | 'key'>,
): string {
  return alertId({ partition, kind: 'anomaly', key, count: event.openedCount, time: event.openedAt })
}

/** An anomaly's record once it is over. */
export function resolvedRecord(record: AlertRecord, event: Extract<AlertEvent, { kind: 'resolved' }>): AlertRecord {
  const { reason, time, peak, peakValue, samples } = event
  const cause =
    record.cause.kind === 'anomaly'
      ? { ...record.cause, peak: { score: peak, value: peakValue, samples } }
      : record.cause
  return { ...resolved(record, time, reason), cause }
}

/** The record of a key that went silent. */
export function silentRecord(event: Extract<SilenceEvent, { kind: 'silent' }>, place: AlertPlace): AlertRecord {
  const { key, policy } = place
  const cause = { kind: 'silent', last_at: event.lastAt, expected_ms: event.expectedMs } as const
  const { rule, alert } = policy
  return firing({ id: silentId(event, place), key, rule, severity: alert.severity, opened_at: event.time, cause })
}

/** The id of the alert that an event of silence is about, be it its opening or its end. */
export function silentId(event: SilenceEvent, { partition, key }: Pick<AlertPlace, 'partition' | 'key'>): string {
  return alertId({ partition, kind: 'silent', key, count: event.lastCount, time: event.lastAt })
}

/** A silent key's record once it was heard again. */
export function heardRecord(record: AlertRecord, event: Extract<SilenceEvent, { kind: 'heard' }>): AlertRecord {
  return resolved(record, event.time, 'heard')
}

/** A level that was accepted as new: over as soon as it is noticed, kept because somebody may ask why the band moved. */
export function levelShiftRecord(
  { partition, key, policy }: AlertPlace,
  shift: { readonly value: number; readonly count: number; readonly time: number },
): AlertRecord {
  const { value, count, time } = shift
  const id = alertId({ partition, kind: 'level_shift', key, count, time })
  const cause = { kind: 'level_shift', value, samples: policy.hygiene.levelShiftAfter } as const
  const record = firing({ id, key, rule: policy.rule, severity: 'info', opened_at: time, cause })
  return resolved(record, time, 'level_shift')
}

/** The record of a storm, at its beginning, when more keys join it, and at its end. */
export function stormRecord(event: StormEvent, before: AlertRecord | null): AlertRecord {
  const cause = {
    kind: 'storm',
    keys: event.keys,
    key_count: event.keyCount,
    keys_total: event.keysTotal,
  } as const
  const id = `fleet-${event.openedAt}`
  const record = before ?? firing({ id, key: null, rule: null, severity: 'critical', opened_at: event.openedAt, cause })
  return { ...(event.kind === 'storm_over' ? resolved(record, event.time, 'few_keys') : record), cause }
}

function firing(begun: Pick<AlertRecord, 'id' | 'key' | 'rule' | 'severity' | 'opened_at' | 'cause'>): AlertRecord {
  return {
    ...begun,
    state: 'firing',
    resolved_at: null,
    resolve_reason: null,
    acknowledged: null,
    snoozed: null,
    is_due: true,
    told: 0,
    told_resolved: false,
    suppressed_by: null,
    suppressed: { mute: 0, snooze: 0, storm: 0 },
  }
}

function resolved(record: AlertRecord, time: number, reason: AlertRecord['resolve_reason']): AlertRecord {
  return { ...record, state: 'resolved', resolved_at: time, resolve_reason: reason }
}
