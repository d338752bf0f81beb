import { z } from 'zod'
import { RESOLVE_REASONS, SEVERITIES } from './alert.ts'
import { OPENED_BY } from './state.ts'

/*
 * The parts of an alert as Redis holds them: JSON, each part with one writer. They are read by
 * these schemas; members that a newer version added are ignored. All times are Unix milliseconds.
 */

/** An end that is missing is not limited. */
const rangeSchema = z.object({ min: z.number().exactOptional(), max: z.number().exactOptional() })

const knownSchema = z.object({
  samples: z.number(),
  low: z.number(),
  high: z.number(),
  below: z.number().exactOptional(),
  above: z.number().exactOptional(),
})

/** What an anomaly alert is based on: the sample that opened it, and the expected values. */
const storedEvidenceSchema = z.object({
  detector: z.string(),
  value: z.number(),
  /** Positive when the value is too high, negative when it is too low. */
  score: z.number(),
  /** What opened it: a sample beyond `line`, `samples` of `of` samples, a sum, or the range. */
  by: z.enum(OPENED_BY),
  line: z.number(),
  samples: z.number(),
  of: z.number(),
  /** The expected values, plus or minus spread. Most detectors expect one value: low is high. */
  low: z.number(),
  high: z.number(),
  spread: z.number(),
  window: z.number(),
  /** The numbers are rates of a counter. */
  per_second: z.literal(true).exactOptional(),
  /** The guard opened it: the value, or one of the `of` samples before, was new to the key. */
  news: z.literal(true).exactOptional(),
  /** The range of the rule, which the value left; `line` is the end that it left. */
  range: rangeSchema.exactOptional(),
  unit: z.string().exactOptional(),
  /** As `Comparison` says. */
  known: knownSchema.exactOptional(),
  widths: z.number().exactOptional(),
  recent: z.object({ samples: z.number(), mean: z.number() }).exactOptional(),
  /** The false-alarm budget that `line` follows from. */
  budget: z.string().exactOptional(),
})
/** Earlier versions refuse an alert that was opened `by` what they do not know. */
const evidenceSchema = storedEvidenceSchema.transform(({ by, ...rest }) => ({
  ...rest,
  by: rest.range === undefined ? by : ('range' as const),
}))
export type AnomalyEvidence = Readonly<z.infer<typeof evidenceSchema>>

const STRINGS = z.array(z.string()).readonly()
const causeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('anomaly'), evidence: evidenceSchema }),
  z.object({ kind: z.literal('silent'), last_at: z.number(), expected_ms: z.number() }),
  z.object({
    kind: z.literal('level_shift'),
    value: z.number(),
    samples: z.number(),
    /** Of the window before. */
    mean: z.number().exactOptional(),
    deviation: z.number().exactOptional(),
    /** The value is a rate of a counter. */
    per_second: z.literal(true).exactOptional(),
    unit: z.string().exactOptional(),
  }),
  /** `keys` are the storm's first ones; `key_count` counts all. */
  z.object({ kind: z.literal('storm'), keys: STRINGS, key_count: z.number(), keys_total: z.number() }),
])
export type AlertCause = Readonly<z.infer<typeof causeSchema>>

/** How an alert began. Written once, by the commit that opened it. */
const openingSchema = z.object({
  id: z.string(),
  /** Null for the whole fleet. */
  key: z.string().nullable(),
  rule: z.string().nullable(),
  severity: z.enum(SEVERITIES),
  opened_at: z.number(),
  cause: causeSchema,
})
export type AlertOpening = Readonly<z.infer<typeof openingSchema>>

/** How it ended. Written by the commit that resolved it. */
const endSchema = z.object({
  resolved_at: z.number(),
  resolve_reason: z.enum([...RESOLVE_REASONS, 'heard', 'few_keys']),
  /** Of an anomaly: the furthest score and value while firing, and the number of samples. */
  peak: z.object({ score: z.number(), value: z.number(), samples: z.number() }).nullable(),
  /** Of a storm that lasted as long as a storm may, whatever the reason says. */
  expired: z.literal(true).exactOptional(),
  /** The key was deleted, whatever the reason says: earlier versions know no such reason. */
  deleted: z.literal(true).exactOptional(),
})
export type AlertEnd = Readonly<z.infer<typeof endSchema>>

const noteSchema = z.object({ who: z.string(), why: z.string(), at: z.number() })
export type Note = Readonly<z.infer<typeof noteSchema>>

const noteUntilSchema = noteSchema.extend({ until: z.number() })
export type NoteUntil = Readonly<z.infer<typeof noteUntilSchema>>

/** What an operator thinks of an alert: whether it was useful, or noise. */
const feedbackSchema = z.object({
  useful: z.boolean(),
  /** Null for a caller without an API key that did not say so. */
  who: z.string().nullable(),
  why: z.string().nullable(),
  at: z.number(),
})
export type Feedback = Readonly<z.infer<typeof feedbackSchema>>

/** Alerts of the kind that the key had in the 30 days before, and how they were marked by then. */
const similarSchema = z.object({ opened: z.number(), useful: z.number(), noise: z.number() })
export type SimilarAlerts = Readonly<z.infer<typeof similarSchema>>

/** What operators did about it. The two notes are stored apart. */
export interface OperatorState {
  readonly acknowledged: Note | null
  readonly snoozed: NoteUntil | null
}

export const SUPPRESSORS = ['mute', 'snooze', 'storm'] as const
export type Suppressor = (typeof SUPPRESSORS)[number]

const notificationSchema = z.object({
  /** Notifications that it fires, the time of the last one, and whether its end was notified. */
  told: z.number(),
  told_at: z.number(),
  told_resolved: z.boolean(),
  /** What suppresses its notification now, and how often each suppressor has. */
  suppressed_by: z.enum(SUPPRESSORS).nullable(),
  suppressed: z.object({ mute: z.number(), snooze: z.number(), storm: z.number() }),
  /** Of a storm: its keys in the last notification that it fires. */
  told_keys: z.number().exactOptional(),
})
export type NotificationState = Readonly<z.infer<typeof notificationSchema>>

/** What one receiver took of an alert's notifications. */
const receiverStateSchema = z.object({
  /** The number of the newest notification that it fires, and when it was taken; 0 for none. */
  told: z.number(),
  told_at: z.number(),
  told_resolved: z.boolean(),
  /** Since when the receiver refuses this alert, which is retried on its own; 0 for not. */
  failing_since: z.number(),
})
export type ReceiverState = Readonly<z.infer<typeof receiverStateSchema>>

/** By the receiver's name: receivers differ in what they took, and analyzers in their receivers. */
const receiverStatesSchema = z.record(z.string(), receiverStateSchema)
export type ReceiverStates = Readonly<z.infer<typeof receiverStatesSchema>>

export const NOTHING_TAKEN: ReceiverState = { told: 0, told_at: 0, told_resolved: false, failing_since: 0 }

export interface AlertRecord extends AlertOpening, OperatorState, NotificationState {
  readonly state: 'firing' | 'resolved'
  readonly resolved_at: number | null
  readonly resolve_reason: AlertEnd['resolve_reason'] | null
  readonly peak: AlertEnd['peak']
  readonly receivers?: ReceiverStates
  /** Absent where an earlier version opened the alert. */
  readonly similar?: SimilarAlerts
  /** Absent until an operator marks it. */
  readonly feedback?: Feedback
  readonly expired?: true
  readonly deleted?: true
}

export interface AlertParts {
  readonly opening: AlertOpening
  readonly end: AlertEnd | null
  readonly operator: OperatorState | null
  readonly notification: NotificationState | null
  /** Absent until the first notification, and where an earlier version sent it. */
  readonly receivers?: ReceiverStates
  readonly similar?: SimilarAlerts
  readonly feedback?: Feedback
}

/** The stored texts of an alert's parts; empty if never written, the text `null` if removed. */
export type StoredAlert = Readonly<
  Record<'opening' | 'end' | 'acknowledged' | 'snoozed' | 'notification', string | null | undefined>
> & { readonly [Part in 'receivers' | 'similar' | 'feedback']?: string | null | undefined }

/** Returns the stored text of an opening, which `parseAlert` parses. */
export function formatOpening(opening: AlertOpening): string {
  const { cause } = opening
  if (cause.kind !== 'anomaly' || cause.evidence.by !== 'range') return JSON.stringify(opening)
  return JSON.stringify({ ...opening, cause: { ...cause, evidence: { ...cause.evidence, by: 'instant' } } })
}

/** Parses an alert's parts. Returns null without an opening; throws on a garbled part. */
export function parseAlert(stored: StoredAlert): AlertParts | null {
  const opening = parsePart(openingSchema, stored.opening)
  if (opening === null) return null
  const acknowledged = parsePart(noteSchema, stored.acknowledged)
  const snoozed = parsePart(noteUntilSchema, stored.snoozed)
  const receivers = parsePart(receiverStatesSchema, stored.receivers)
  const similar = parsePart(similarSchema, stored.similar)
  const feedback = parsePart(feedbackSchema, stored.feedback)
  return {
    opening,
    end: parsePart(endSchema, stored.end),
    operator: acknowledged === null && snoozed === null ? null : { acknowledged, snoozed },
    notification: parsePart(notificationSchema, stored.notification),
    ...(receivers === null ? {} : { receivers }),
    ...(similar === null ? {} : { similar }),
    ...(feedback === null ? {} : { feedback }),
  }
}

function parsePart<T extends z.ZodType>(schema: T, text: string | null | undefined): z.output<T> | null {
  const value: unknown = text ? JSON.parse(text) : null
  return value === null ? null : schema.parse(value)
}

export const NO_OPERATOR_STATE: OperatorState = { acknowledged: null, snoozed: null }

export const NOT_NOTIFIED: NotificationState = {
  told: 0,
  told_at: 0,
  told_resolved: false,
  suppressed_by: null,
  suppressed: { mute: 0, snooze: 0, storm: 0 },
}

export function assembleAlert(parts: AlertParts): AlertRecord {
  const { opening, end, operator, notification, ...optional } = parts
  return {
    ...opening,
    state: end === null ? 'firing' : 'resolved',
    ...(end ?? { resolved_at: null, resolve_reason: null, peak: null }),
    ...(operator ?? NO_OPERATOR_STATE),
    ...(notification ?? NOT_NOTIFIED),
    ...optional,
  }
}

/** The first part of the id of an alert of the whole fleet; in other ids it is the partition. */
export const FLEET = 'fleet'

export const FLEET_PARTITION = 0

/** Returns the partition that stores an alert; undefined for a text that is not an alert's id. */
export function partitionOfAlert(id: string): number | undefined {
  const [, place] = /^(\d{1,4}|fleet)-[0-9a-f]{1,24}$/.exec(id) ?? []
  if (place === undefined) return undefined
  return place === FLEET ? FLEET_PARTITION : Number(place)
}
