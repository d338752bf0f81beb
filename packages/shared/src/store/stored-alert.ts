import { z } from 'zod'
import { SEVERITIES } from '../detection/alerts/alert.ts'
import { type AlertParts, SUPPRESSORS } from '../detection/alerts/record.ts'

/**
 * The stored JSON of an alert's parts. Members that are not named here are kept: another version of
 * Tidemark may have written them.
 */
const note = z.looseObject({ who: z.string(), why: z.string(), at: z.number() })

const cause = z.discriminatedUnion('kind', [
  z.looseObject({
    kind: z.literal('anomaly'),
    evidence: z.looseObject({
      detector: z.string(),
      value: z.number(),
      score: z.number(),
      by: z.enum(['instant', 'samples', 'sustained']),
      line: z.number(),
      samples: z.number(),
      of: z.number(),
      low: z.number(),
      high: z.number(),
      spread: z.number(),
      window: z.number(),
    }),
  }),
  z.looseObject({ kind: z.literal('silent'), last_at: z.number(), expected_ms: z.number() }),
  z.looseObject({ kind: z.literal('level_shift'), value: z.number(), samples: z.number() }),
  z.looseObject({
    kind: z.literal('storm'),
    keys: z.array(z.string()),
    key_count: z.number(),
    keys_total: z.number(),
  }),
])

const opening = z.looseObject({
  id: z.string(),
  key: z.string().nullable(),
  rule: z.string().nullable(),
  severity: z.enum(SEVERITIES),
  opened_at: z.number(),
  cause,
})

const end = z.looseObject({
  resolved_at: z.number(),
  resolve_reason: z.enum(['calm', 'no_samples', 'level_shift', 'heard', 'few_keys']),
  peak: z.looseObject({ score: z.number(), value: z.number(), samples: z.number() }).nullable(),
})

const notification = z.looseObject({
  told: z.number(),
  told_at: z.number(),
  told_resolved: z.boolean(),
  suppressed_by: z.enum(SUPPRESSORS).nullable(),
  suppressed: z.looseObject({ mute: z.number(), snooze: z.number(), storm: z.number() }),
})

const parts = z.object({
  opening,
  end: end.nullable(),
  acknowledged: note.nullable(),
  snoozed: note.extend({ until: z.number() }).nullable(),
  notification: notification.nullable(),
})

/** A stored part: empty, null and undefined all mean that there is none. */
type Stored = string | null | undefined

/**
 * Parses the stored parts of an alert: opening, end, acknowledgement, snooze and notification
 * state. Null without an opening; throws when a part is not what Tidemark writes.
 */
export function parseAlertParts([
  opening,
  end,
  acknowledged,
  snoozed,
  notification,
]: readonly Stored[]): AlertParts | null {
  if (!opening) return null
  const parsed = parts.parse({
    opening: parse(opening),
    end: parse(end),
    acknowledged: parse(acknowledged),
    snoozed: parse(snoozed),
    notification: parse(notification),
  })
  const operator =
    parsed.acknowledged === null && parsed.snoozed === null
      ? null
      : { acknowledged: parsed.acknowledged, snoozed: parsed.snoozed }
  return { opening: parsed.opening, end: parsed.end, operator, notification: parsed.notification }
}

function parse(text: Stored): unknown {
  return text ? JSON.parse(text) : null
}
