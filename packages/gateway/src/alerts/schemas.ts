import { z } from '@hono/zod-openapi'
import { RESOLVE_REASONS, SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { SUPPRESSORS } from '@tidemark/shared/detection/alerts/record'
import { OPENED_BY } from '@tidemark/shared/detection/alerts/state'
import type { AlertPage } from '@tidemark/shared/store/ports/alerts'
import { cursorMember, keyMember, timeMember } from '../http/documentation.ts'
import { MARKED, markedMembers, mutedSchema, policyMembers } from '../rules/schemas.ts'

export const ALERT_STATES = ['firing', 'resolved'] as const satisfies readonly AlertPage['state'][]

const causeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('anomaly'),
    evidence: z.strictObject({
      detector: z.string(),
      value: z.number(),
      score: z.number().describe('Positive if the value is too high.'),
      by: z.enum(OPENED_BY).describe('The condition that was met.'),
      line: z.number(),
      samples: z.int(),
      of: z.int(),
      low: z.number(),
      high: z.number(),
      spread: z.number(),
      window: z.int().describe('Samples in the window at that time.'),
      per_second: z.literal(true).optional().describe('The numbers are rates of a counter.'),
      news: z
        .literal(true)
        .optional()
        .describe('No rule says when alerts open: the value, or one of the `of` samples before, was new to the key.'),
      range: z
        .strictObject({ min: z.number().optional(), max: z.number().optional() })
        .optional()
        .describe('The range of the rule. The value left it at `line`; `score` is at least the threshold.'),
      unit: z.string().optional().describe('Of the values; rates are per second of it.'),
      known: z
        .strictObject({
          samples: z.int().describe('How many.'),
          low: z.number(),
          high: z.number(),
          below: z.number().optional(),
          above: z.number().optional(),
        })
        .optional()
        .describe("The key's newest samples before the deviation; `below` and `above` are the nearest to the value."),
      widths: z.number().optional().describe('How far the value is from all known ones, in widths of their range.'),
      recent: z
        .strictObject({ samples: z.int(), mean: z.number() })
        .optional()
        .describe('Of the newest samples, whose deviations added up.'),
      budget: z.string().optional().describe('The false-alarm budget that `line` follows from.'),
    }),
  }),
  z.strictObject({ kind: z.literal('silent'), last_at: timeMember, expected_ms: z.number() }),
  z.strictObject({
    kind: z.literal('level_shift'),
    value: z.number(),
    samples: z.int(),
    mean: z.number().optional().describe('Of the window before.'),
    deviation: z.number().optional(),
    per_second: z.literal(true).optional(),
    unit: z.string().optional(),
  }),
  z.strictObject({
    kind: z.literal('storm'),
    keys: z.array(z.string()).describe('The first 1,000.'),
    key_count: z.int(),
    keys_total: z.int(),
  }),
])

const noteMembers = { who: z.string(), why: z.string(), at: timeMember }

const alertMembers = {
  id: z.string().openapi({ examples: ['3-5f2c1f0a9be2d6c07a51b3e4'] }),
  key: keyMember.nullable().describe('Null for an alert of the whole fleet.'),
  rule: z.string().nullable().describe('In force when the alert opened; null for the default.'),
  severity: z.enum(SEVERITIES),
  opened_at: timeMember,
  cause: causeSchema,
  state: z.enum(ALERT_STATES),
  resolved_at: timeMember.nullable(),
  resolve_reason: z.enum([...RESOLVE_REASONS, 'heard', 'few_keys']).nullable(),
  peak: z
    .strictObject({ score: z.number(), value: z.number(), samples: z.int() })
    .nullable()
    .describe('Of a resolved anomaly: the furthest score and value while it fired, and the number of samples.'),
  expired: z.literal(true).optional().describe('Of a storm that ended because it lasted too long.'),
  deleted: z.literal(true).optional().describe('It was resolved because its key was deleted.'),
  acknowledged: z.strictObject(noteMembers).nullable(),
  snoozed: z.strictObject({ ...noteMembers, until: timeMember }).nullable(),
  similar: z
    .strictObject(MARKED)
    .optional()
    .describe('Alerts of this kind that opened on the key in the 30 days before, and how they were marked by then.'),
  feedback: z
    .strictObject({ useful: z.boolean(), who: z.string().nullable(), why: z.string().nullable(), at: timeMember })
    .optional()
    .describe('Whether an operator finds it useful, or noise; absent until then.'),
  told: z.int().min(0).describe('Notifications decided on while firing; `receivers` says who took them.'),
  told_at: z.number().describe('When the last one was decided on, in Unix milliseconds; 0 for never.'),
  told_resolved: z.boolean().describe('Whether receivers are notified that it resolved.'),
  receivers: z
    .array(
      z.strictObject({
        receiver: z.string().openapi({ examples: ['webhook-5f2c1f0a9be2'] }),
        told: z.int().min(0).describe('Number of the newest notification while firing that it took; 0 for none.'),
        told_at: z.number().describe('When it took that, in Unix milliseconds; 0 for never.'),
        told_resolved: z.boolean().describe('Whether it took the notification that the alert resolved.'),
        failing_since: z.number().describe('Since when it is retried because the receiver refuses it; 0 for not.'),
      }),
    )
    .optional()
    .describe(
      'What each receiver took. Absent before the first notification; a receiver that took nothing is missing.',
    ),
  suppressed_by: z.enum(SUPPRESSORS).nullable().describe('What currently suppresses its notifications.'),
  suppressed: z
    .strictObject({ mute: z.int(), snooze: z.int(), storm: z.int() })
    .describe('Notifications suppressed by each.'),
  told_keys: z.int().optional().describe('Of a storm: its keys in the last notification that it fires.'),
  explanation: z
    .string()
    .describe('For people: what is unusual, compared with what, since when and how sure; then the state of the alert.'),
}

export const alertSchema = z.strictObject(alertMembers).openapi('Alert')

export const alertsPageSchema = z
  .strictObject({
    alerts: z.array(alertSchema),
    counts: z
      .strictObject({ firing: z.int().min(0), resolved: z.int().min(0) })
      .nullable()
      .describe(
        'Of all alerts, regardless of filters. Only the newest resolved alerts are kept. Null for an API key that is ' +
          'bound to a key prefix.',
      ),
    cursor: cursorMember.describe(
      'Cursor of the next page; null on the last page. With filters, an empty page can have a next page.',
    ),
  })
  .openapi('AlertsPage')

export const feedbackCountsSchema = z
  .strictObject({
    by: z.enum(['rule', 'prefix']),
    days: z.int().describe('The alerts that opened in so many days (UTC) are counted.'),
    total: z.strictObject(markedMembers),
    groups: z.array(
      z.strictObject({
        name: z.string().nullable().describe('The rule, null for the default policy; or the key prefix.'),
        ...markedMembers,
      }),
    ),
    partial: z.boolean().describe('Whether more keys have alerts than one request reads: then some are not counted.'),
  })
  .openapi('Feedback')

export const alertWithSamplesSchema = z
  .strictObject({
    ...alertMembers,
    samples: z
      .strictObject({
        values: z.array(z.number()).describe("The key's current window, oldest first."),
        timestamps: z.array(z.number()).describe('Unix milliseconds, one for each value.'),
        rates: z.array(z.number().nullable()).optional().describe('Of a counter: the rate per second at each count.'),
        before: z.int().min(0).describe('Samples measured before the alert opened, by timestamp.'),
        after: z.int().min(0),
        note: z.string().describe('The same as a sentence.'),
      })
      .nullable()
      .describe('Null if the alert has no key, or the key no window.'),
    policy: z
      .strictObject({ rule: z.string().nullable(), ...policyMembers })
      .nullable()
      .describe("The key's current policy; another rule may have been in force when the alert opened."),
    muted: mutedSchema,
  })
  .openapi('AlertWithSamples')
