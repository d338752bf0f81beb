import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { RULE_CHANGE_KINDS } from '@tidemark/shared/store/ports/rules'
import { z } from 'zod'
import { CHANGES_LIMIT_DEFAULT, CHANGES_LIMIT_MAX } from '../rules/changes.ts'
import { REPORT_LIMIT_DEFAULT, REPORT_LIMIT_MAX } from '../rules/report.ts'
import {
  answer,
  cursorMember,
  durationMember,
  type Json,
  keyMember,
  outage,
  parameter,
  pathParameter,
  problem,
  ref,
  timeMember,
} from './parts.ts'
import { analysisSchema } from './verdicts.ts'

const noteMembers = { who: z.string(), why: z.string() }
const untilMember = z.string().meta({ description: 'ISO 8601, with its zone.', examples: ['2026-01-31T18:00:00Z'] })
const idMember = z.string().meta({ examples: ['edge-cpu'] })
const versionMember = z.int().min(0).meta({ description: 'Of all rules together: 1 more with each change.' })

const writtenRuleSchema = z
  .looseObject({ id: idMember, pattern: z.string().meta({ examples: ['edge-*/cpu'] }) })
  .meta({ description: 'A rule as it was written; docs/rules.md has all members.' })

const countsSchema = z
  .strictObject({
    judged: z.int().min(0).meta({ description: 'Samples with a score.' }),
    flagged: z.int().min(0),
    expected: z.number().nullable().meta({
      description: 'How many of normal noise would have been flagged; null for other detectors than the zscore.',
    }),
    opened: z.int().min(0).meta({ description: 'Alerts.' }),
  })
  .nullable()
  .meta({ description: 'Since the rule was last changed; null while nothing was counted.' })

const ruleMembers = {
  rule: writtenRuleSchema,
  version: versionMember.meta({ description: 'Of all rules together, when this one was last changed.' }),
  changed: z.strictObject({ ...noteMembers, at: timeMember }),
  counts: countsSchema,
}

export const ruleSchema = z.strictObject({ ...ruleMembers, rules_version: versionMember })

const muteSchema = z.strictObject({ id: idMember, pattern: z.string(), until: untilMember, ...noteMembers })
const stormSchema = z.strictObject({
  percent: z.number().meta({ description: 'Of all keys.' }),
  within: durationMember,
  keys_min: z.int(),
})

export const rulesSchema = z.strictObject({
  version: versionMember,
  rules: z.array(z.strictObject(ruleMembers)),
  default: z.strictObject({ counts: countsSchema }).meta({ description: 'Of keys that no rule matches.' }),
  mutes: z.array(muteSchema),
  storm: stormSchema,
})

export const mutedSchema = z.strictObject({ until: timeMember, ...noteMembers }).nullable()

export const policyMembers = {
  detector: z.enum(DETECTOR_NAMES),
  threshold: z.number().nullable().meta({ description: 'Null under a budget: it follows from that.' }),
  budget: z.string().nullable(),
  window: z.int(),
  samples_min: z.int().nullable().meta({ description: 'Null leaves it to the detector.' }),
  direction: z.enum(['up', 'down', 'both']),
  deviation_min: z.number(),
  deviation_min_relative: z.number(),
  influence: z.enum(['full', 'held']),
  level_shift_after: z.int().nullable().meta({ description: 'Null: never.' }),
  alert: z.strictObject({
    open: z.number(),
    samples: z.int(),
    of: z.int(),
    sides: z.enum(['same', 'any']),
    instant: z.number(),
    sustained: z.union([z.number(), z.literal('off')]),
    close: z.number(),
    close_after: z.int(),
    hold: durationMember,
    resolve_after: durationMember,
    severity: z.enum(SEVERITIES),
  }),
  silent: z.string().nullable().meta({ description: '`learned`, or a time; null: not watched.' }),
  late: z.enum(['mark', 'refuse']),
  duplicates: z.enum(['keep', 'drop']),
}

export const explanationSchema = z.strictObject({
  key: keyMember,
  version: versionMember,
  rule: idMember.nullable().meta({ description: 'In force for the key; null for the default.' }),
  reason: z.string().meta({ examples: ['edge-*/cpu matches, and no other rule does'] }),
  shadow: idMember.nullable().meta({ description: 'Tried out beside it.' }),
  others: z
    .array(z.strictObject({ rule: idMember, pattern: z.string(), shadow: z.boolean() }))
    .meta({ description: 'Other rules that match, the most specific first.' }),
  muted: mutedSchema,
  policy: z.strictObject(policyMembers).meta({ description: 'What holds for the key, with all defaults.' }),
})

export const changesSchema = z.strictObject({
  changes: z.array(
    z.strictObject({
      version: versionMember.meta({ description: 'Of the rules that it made.' }),
      kind: z.enum(RULE_CHANGE_KINDS),
      id: idMember.nullable(),
      content: z
        .looseObject({})
        .nullable()
        .meta({ description: 'As it was written; null where something was deleted.' }),
      ...noteMembers,
      at: timeMember,
    }),
  ),
  cursor: cursorMember,
})

export const reportSchema = z.strictObject({
  ...ruleMembers,
  shadow: z.boolean().meta({ description: 'It is tried out beside the rule in force.' }),
  would_have_flagged: z
    .array(analysisSchema)
    .nullable()
    .meta({ description: 'Newest first, as the rule was at the time; null of a rule that is not tried out.' }),
})

export const muteAnswerSchema = z.strictObject({ mute: muteSchema, version: versionMember })
export const stormAnswerSchema = z.strictObject({ storm: stormSchema, version: versionMember })
export const deletedSchema = z.strictObject({ deleted: z.string(), version: versionMember })

export const RULES_COMPONENTS = {
  WrittenRule: writtenRuleSchema,
  Rule: ruleSchema,
  Rules: rulesSchema,
  RuleExplanation: explanationSchema,
  RuleChanges: changesSchema,
  RuleReport: reportSchema,
  Mute: muteAnswerSchema,
  Storm: stormAnswerSchema,
  RuleDeleted: deletedSchema,
} as const

const NOTE = { who: 'mira', why: 'only high values matter' }
const RULE = { id: 'edge-cpu', pattern: 'edge-*/cpu', direction: 'up', deviation_min: 5 }

const IF_MATCH = {
  name: 'If-Match',
  in: 'header',
  description: 'The version of the rules that is to be changed. When another one is in force by now the answer is 412.',
  schema: { type: 'string' },
  examples: { version: { value: '"12"' } },
}

export function rulesPaths(): Json {
  return {
    '/rules': {
      get: {
        ...{
          operationId: 'rules',
          tags: ['Rules'],
          summary: 'All rules, mutes and the storm policy, with what was counted',
        },
        responses: { 200: answer('The rules.', ref('Rules')), ...readFaults() },
      },
    },
    '/rules/explain': { get: describeExplain() },
    '/rules/changes': { get: describeChanges() },
    '/rules/{id}': { get: describeRule(), put: describePutRule(), delete: describeDelete('Rule', 'a rule') },
    '/rules/{id}/report': { get: describeReport() },
    '/mutes/{id}': { put: describePutMute(), delete: describeDelete('Mute', 'a mute') },
    '/storm': { put: describePutStorm() },
  }
}

function describeRule(): Json {
  return {
    ...{ operationId: 'rule', tags: ['Rules'], summary: 'One rule', parameters: [ruleId()] },
    responses: { 200: answer('The rule.', ref('Rule')), 404: problem('There is no such rule.'), ...readFaults() },
  }
}

function describePutRule(): Json {
  const value = {
    rule: { pattern: RULE.pattern, direction: RULE.direction, deviation_min: RULE.deviation_min },
    ...NOTE,
  }
  return {
    ...{ operationId: 'putRule', tags: ['Rules'], summary: 'Adds a rule, or replaces it' },
    description:
      'It is in force everywhere within 2 s. `rule` has all members but the id; what is left out has its default. ' +
      'The ids `explain` and `changes` are taken by routes.',
    parameters: [ruleId(), IF_MATCH],
    requestBody: body({ rule: { type: 'object' } }, value),
    responses: {
      200: answer('Replaced.', ref('Rule')),
      201: answer('Added.', ref('Rule')),
      ...changeFaults(),
      ...bodyFaults(),
    },
  }
}

function describePutMute(): Json {
  const value = { pattern: 'edge-*', until: '2h', who: 'mira', why: 'new firmware' }
  const members = {
    pattern: { type: 'string' },
    until: { type: 'string', description: 'A time with its zone, or how long from now on, at most 30d.' },
  }
  return {
    ...{ operationId: 'putMute', tags: ['Rules'], summary: 'Mutes the keys of a pattern for a while' },
    description: 'Alerts go on and are listed, and nobody is told of them. Those that still fire then are told of.',
    parameters: [pathParameter('id', 'Of the mute: letters, digits, dots, dashes, underscores.'), IF_MATCH],
    requestBody: body(members, value),
    responses: {
      200: answer('Replaced.', ref('Mute')),
      201: answer('Added.', ref('Mute')),
      ...changeFaults(),
      ...bodyFaults(),
    },
  }
}

function describePutStorm(): Json {
  const value = { storm: { percent: 20, within: '1m', keys_min: 10 }, who: 'mira', why: 'the default was right' }
  return {
    ...{ operationId: 'putStorm', tags: ['Rules'], summary: 'Says from how many keys on alerts are one of the fleet' },
    parameters: [IF_MATCH],
    requestBody: body({ storm: { type: 'object' } }, value),
    responses: { 200: answer('In force.', ref('Storm')), ...changeFaults(), ...bodyFaults() },
  }
}

function describeDelete(name: 'Rule' | 'Mute', what: string): Json {
  return {
    ...{ operationId: `delete${name}`, tags: ['Rules'], summary: `Deletes ${what}` },
    parameters: [
      pathParameter('id', `Of ${what}.`),
      { ...parameter('who', { type: 'string' }, 'Who deletes it.'), required: true },
      { ...parameter('why', { type: 'string' }, 'Why.'), required: true },
      IF_MATCH,
    ],
    responses: {
      200: answer('Deleted.', ref('RuleDeleted')),
      404: problem(`There is no such ${name.toLowerCase()}.`),
      ...changeFaults(),
    },
  }
}

function describeExplain(): Json {
  return {
    ...{ operationId: 'explainRules', tags: ['Rules'], summary: 'Which rule is in force for a key, and why' },
    parameters: [{ ...parameter('key', { type: 'string' }, 'The key, percent-encoded.'), required: true }],
    responses: { 200: answer('The explanation.', ref('RuleExplanation')), ...readFaults() },
  }
}

function describeChanges(): Json {
  return {
    ...{ operationId: 'ruleChanges', tags: ['Rules'], summary: 'Who changed what and why, newest first' },
    description: 'Of rules, mutes and the storm policy. Only the newest 1,000 are kept.',
    parameters: [
      parameter('cursor', { type: 'string' }, 'Of the page before.'),
      parameter(
        'limit',
        { type: 'integer', minimum: 1, maximum: CHANGES_LIMIT_MAX, default: CHANGES_LIMIT_DEFAULT },
        'Changes in a page.',
      ),
    ],
    responses: { 200: answer('A page.', ref('RuleChanges')), ...readFaults() },
  }
}

function describeReport(): Json {
  return {
    ...{ operationId: 'ruleReport', tags: ['Rules'], summary: 'How a rule does, or would do' },
    description:
      'What it counted and, of a rule that is tried out (`shadow`), the newest samples it would have flagged.',
    parameters: [
      ruleId(),
      parameter(
        'limit',
        { type: 'integer', minimum: 1, maximum: REPORT_LIMIT_MAX, default: REPORT_LIMIT_DEFAULT },
        'Samples at most.',
      ),
    ],
    responses: {
      200: answer('The report.', ref('RuleReport')),
      404: problem('There is no such rule.'),
      ...readFaults(),
    },
  }
}

const ruleId = (): Json => pathParameter('id', 'Of the rule.')

/** A JSON object that says who asks for this and why. */
export function body(members: Json, value: Json): Json {
  const note = { who: { type: 'string', minLength: 1 }, why: { type: 'string', minLength: 1 } }
  const properties = { ...members, ...note }
  const schema = { type: 'object', properties, required: Object.keys(properties), additionalProperties: false }
  return { required: true, content: { 'application/json': { schema, examples: { example: { value } } } } }
}

export function readFaults(): Json {
  return {
    400: problem('A parameter breaks a rule.'),
    405: problem('Another method than those here.'),
    503: outage('The store does not answer.'),
  }
}

export function bodyFaults(): Json {
  return {
    413: problem('More than 64 KiB.'),
    415: problem('No JSON, a compressed body, or a charset other than UTF-8.'),
    422: problem('Fields are wrong: `errors` has all of them.'),
  }
}

function changeFaults(): Json {
  return { ...readFaults(), 412: problem('The rules are at another `version` by now than If-Match says.') }
}
