import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { z } from 'zod'
import { ALERT_KINDS, ALERT_STATES, ALERTS_LIMIT_DEFAULT, ALERTS_LIMIT_MAX } from '../alerts/page.ts'
import {
  answer,
  cursorMember,
  type Json,
  keyMember,
  parameter,
  pathParameter,
  problem,
  ref,
  timeMember,
} from './parts.ts'
import { body, bodyFaults, mutedSchema, policyMembers, readFaults } from './rules.ts'

const causeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('anomaly'),
    evidence: z.strictObject({
      detector: z.string(),
      value: z.number(),
      score: z.number().meta({ description: 'Above 0 when the value is too high.' }),
      by: z.enum(['instant', 'samples', 'sustained']).meta({ description: 'What was enough.' }),
      line: z.number(),
      samples: z.int(),
      of: z.int(),
      low: z.number(),
      high: z.number(),
      spread: z.number(),
      window: z.int().meta({ description: 'Samples in the window then.' }),
    }),
  }),
  z.strictObject({ kind: z.literal('silent'), last_at: timeMember, expected_ms: z.number() }),
  z.strictObject({ kind: z.literal('level_shift'), value: z.number(), samples: z.int() }),
  z.strictObject({
    kind: z.literal('storm'),
    keys: z.array(z.string()).meta({ description: 'The first 1,000.' }),
    key_count: z.int(),
    keys_total: z.int(),
  }),
])

const noteMembers = { who: z.string(), why: z.string(), at: timeMember }
const suppressor = z.enum(['mute', 'snooze', 'storm'])

const alertMembers = {
  id: z.string().meta({ examples: ['3-5f2c1f0a9be2d6c07a51b3e4'] }),
  key: keyMember.nullable().meta({ description: 'Null for the whole fleet.' }),
  rule: z.string().nullable().meta({ description: 'In force when it opened; null for the default.' }),
  severity: z.enum(SEVERITIES),
  opened_at: timeMember,
  cause: causeSchema,
  state: z.enum(ALERT_STATES),
  resolved_at: timeMember.nullable(),
  resolve_reason: z.enum(['calm', 'no_samples', 'level_shift', 'heard', 'few_keys']).nullable(),
  peak: z
    .strictObject({ score: z.number(), value: z.number(), samples: z.int() })
    .nullable()
    .meta({ description: 'The furthest sample while it fired, and how many there were; of a resolved anomaly.' }),
  acknowledged: z.strictObject(noteMembers).nullable(),
  snoozed: z.strictObject({ ...noteMembers, until: timeMember }).nullable(),
  told: z.int().min(0).meta({ description: 'How often receivers were told that it fires.' }),
  told_at: z.number().meta({ description: 'When last, Unix milliseconds; 0 for never.' }),
  told_resolved: z.boolean(),
  suppressed_by: suppressor.nullable().meta({ description: 'What keeps receivers from being told at present.' }),
  suppressed: z
    .strictObject({ mute: z.int(), snooze: z.int(), storm: z.int() })
    .meta({ description: 'How often each has.' }),
  explanation: z.string().meta({ description: 'What it is about, for people.' }),
}

export const alertSchema = z.strictObject(alertMembers)

export const alertsPageSchema = z.strictObject({
  alerts: z.array(alertSchema),
  counts: z
    .strictObject({ firing: z.int().min(0), resolved: z.int().min(0) })
    .meta({ description: 'Of all alerts, whatever the filters. Only the newest resolved ones are kept.' }),
  cursor: cursorMember.meta({
    description: 'Of the next page; null on the last one. With filters a page can be empty and yet have a next one.',
  }),
})

export const alertWithSamplesSchema = z.strictObject({
  ...alertMembers,
  samples: z
    .strictObject({
      values: z.array(z.number()).meta({ description: "The key's window as it is now, oldest first." }),
      timestamps: z.array(z.number()).meta({ description: 'Unix milliseconds, one for each value.' }),
      before: z.int().min(0).meta({ description: 'Of them measured up to the opening, by their timestamps.' }),
      after: z.int().min(0),
      note: z.string().meta({ description: 'The same for people.' }),
    })
    .nullable()
    .meta({ description: 'Null where there is no key, or no window of it.' }),
  policy: z
    .strictObject({ rule: z.string().nullable(), ...policyMembers })
    .nullable()
    .meta({ description: 'What holds for the key now; it may have been another rule when the alert opened.' }),
  muted: mutedSchema,
})

export const ALERTS_COMPONENTS = {
  Alert: alertSchema,
  AlertsPage: alertsPageSchema,
  AlertWithSamples: alertWithSamplesSchema,
} as const

const ALERT_ID = pathParameter('id', 'As GET /alerts gives it.')

export function alertsPaths(): Json {
  return {
    '/alerts': { get: describeAlerts() },
    '/alerts/{id}': {
      get: {
        ...{
          operationId: 'alert',
          tags: ['Alerts'],
          summary: "An alert, its key's samples and what holds for the key",
        },
        parameters: [ALERT_ID],
        responses: {
          200: answer('The alert.', ref('AlertWithSamples')),
          404: problem('There is no such alert, or not any more.'),
          ...readFaults(),
        },
      },
    },
    '/alerts/{id}/acknowledge': {
      post: describeCare('acknowledgeAlert', 'Says that somebody takes care of it', {}, {}),
    },
    '/alerts/{id}/snooze': {
      post: describeCare(
        'snoozeAlert',
        'Puts it off: receivers are told again then, should it still fire',
        { until: { type: 'string', description: 'A time with its zone, or how long from now on, at most 30d.' } },
        { until: '2h' },
      ),
    },
  }
}

function describeAlerts(): Json {
  return {
    ...{
      operationId: 'alerts',
      tags: ['Alerts'],
      summary: 'Alerts of one state, newest first, and how many there are',
    },
    description: 'Firing ones by when they opened, resolved ones by when they were resolved.',
    parameters: [
      parameter('state', { type: 'string', enum: [...ALERT_STATES], default: 'firing' }, 'Whether they fire.'),
      parameter('prefix', { type: 'string' }, 'Of keys that begin so.'),
      parameter('rule', { type: 'string' }, 'Opened under this rule.'),
      parameter('severity', { type: 'string', enum: [...SEVERITIES] }, 'Of this severity.'),
      parameter('kind', { type: 'string', enum: [...ALERT_KINDS] }, 'What they are about.'),
      parameter('cursor', { type: 'string' }, 'Of the page before.'),
      parameter(
        'limit',
        { type: 'integer', minimum: 1, maximum: ALERTS_LIMIT_MAX, default: ALERTS_LIMIT_DEFAULT },
        'Alerts in a page.',
      ),
    ],
    responses: { 200: answer('A page.', ref('AlertsPage')), ...readFaults() },
  }
}

function describeCare(operationId: string, summary: string, members: Json, values: Json): Json {
  return {
    ...{ operationId, tags: ['Alerts'], summary, parameters: [ALERT_ID] },
    requestBody: body(members, { ...values, who: 'mira', why: 'the fan is being replaced' }),
    responses: {
      200: answer('Done.', ref('Alert')),
      404: problem('There is no such alert, or not any more.'),
      409: problem('It is resolved already.'),
      ...readFaults(),
      ...bodyFaults(),
    },
  }
}
