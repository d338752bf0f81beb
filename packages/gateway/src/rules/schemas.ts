import { z } from '@hono/zod-openapi'
import { SEVERITIES } from '@tidemark/shared/detection/alerts/alert'
import { DETECTOR_NAMES } from '@tidemark/shared/detection/detectors/registry'
import { RULE_CHANGE_KINDS } from '@tidemark/shared/detection/rules/document'
import { cursorMember, durationMember, keyMember, timeMember } from '../http/documentation.ts'
import { analysisSchema } from '../verdicts/schemas.ts'

const noteMembers = { who: z.string(), why: z.string() }
const untilMember = z.string().openapi({
  description: 'ISO 8601, with its time zone.',
  examples: ['2026-01-31T18:00:00Z'],
})
const idMember = z.string().openapi({ examples: ['edge-cpu'] })
const versionMember = z.int().min(0).describe('Of all rules together; each change increments it.')

export const writtenRuleSchema = z
  .looseObject({ id: idMember, pattern: z.string().openapi({ examples: ['edge-*/cpu'] }) })
  .openapi('WrittenRule', { description: 'A rule as it was written; docs/rules.md lists all members.' })

const countsSchema = z
  .strictObject({
    judged: z.int().min(0).describe('Samples with a score.'),
    flagged: z.int().min(0),
    expected: z
      .number()
      .nullable()
      .describe('Samples of normal noise that would have been flagged; null for detectors other than zscore.'),
    opened: z.int().min(0).describe('Alerts.'),
  })
  .nullable()
  .describe('Since the rule was last changed; null while nothing has been counted.')

export const MARKED = {
  opened: z.int().min(0).describe('Alerts.'),
  useful: z.int().min(0).describe('Those that operators marked as useful,'),
  noise: z.int().min(0).describe('and as noise.'),
}

export const markedMembers = {
  ...MARKED,
  useful_share: z.number().min(0).max(1).nullable().describe('Of those that were marked; null if none was.'),
}

const feedbackSchema = z
  .strictObject(markedMembers)
  .optional()
  .describe(
    'Of the alerts of the last 30 days, whatever version of the rule they opened under. Absent without marks, and ' +
      'for an API key that is bound to a key prefix.',
  )

const ruleMembers = {
  rule: writtenRuleSchema,
  version: versionMember.describe('The version of all rules with which this one was last changed.'),
  changed: z.strictObject({ ...noteMembers, at: timeMember }),
  counts: countsSchema,
  feedback: feedbackSchema,
}

export const ruleSchema = z.strictObject({ ...ruleMembers, rules_version: versionMember }).openapi('Rule')

const muteSchema = z.strictObject({ id: idMember, pattern: z.string(), until: untilMember, ...noteMembers })
const stormSchema = z.strictObject({
  percent: z.number().describe('Of all keys.'),
  within: durationMember,
  keys_min: z.int(),
})

export const rulesSchema = z
  .strictObject({
    version: versionMember,
    rules: z.array(z.strictObject(ruleMembers)),
    default: z
      .strictObject({ counts: countsSchema, feedback: feedbackSchema })
      .describe('Of keys that no rule matches.'),
    mutes: z.array(muteSchema),
    storm: stormSchema,
  })
  .openapi('Rules')

export const mutedSchema = z.strictObject({ until: timeMember, ...noteMembers }).nullable()

export const policyMembers = {
  detector: z.enum(DETECTOR_NAMES),
  threshold: z.number().nullable().describe('Null with a budget, from which it follows.'),
  budget: z.string().nullable(),
  window: z.int(),
  samples_min: z.int().nullable().describe('Null: the detector decides.'),
  direction: z.enum(['up', 'down', 'both']),
  deviation_min: z.number(),
  deviation_min_relative: z.number(),
  influence: z.enum(['full', 'held']),
  level_shift_after: z.int().nullable().describe('Null: never.'),
  guard: z
    .boolean()
    .describe('Whether alerts open on what is new for a key: then the members of `alert` only say when they end.'),
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
  silent: z.string().nullable().describe('`learned` or a duration; null: silence raises no alert.'),
  late: z.enum(['mark', 'refuse']),
  duplicates: z.enum(['keep', 'drop']),
  min: z.number().optional().describe('A value below it is an anomaly and opens an alert; of a counter, a rate.'),
  max: z.number().optional().describe('The same for a value above it.'),
  unit: z.string().optional().describe('Of the values; rates are per second of it.'),
  ignore: z.array(z.number()).optional().describe('Values that are not analysed.'),
  counter: z.literal(true).optional().describe('The rate per second is scored.'),
}

/** A suggestion: rules are never changed by themselves. */
const hintSchema = z
  .strictObject({
    kind: z.literal('counter'),
    reason: z.string().openapi({ examples: ['49 of 49 steps in its window rise, and none falls'] }),
    rule: writtenRuleSchema.describe('What to send as `rule` to `PUT /rules/{id}`, with its id, to follow the hint.'),
  })
  .nullable()
  .describe('What its window suggests: `counter` for a steadily rising key without a rule for it. Null for nothing.')

export const explanationSchema = z
  .strictObject({
    key: keyMember,
    version: versionMember,
    rule: idMember.nullable().describe('The rule in force for the key; null for the default.'),
    reason: z.string().openapi({ examples: ['edge-*/cpu matches; no other rule does'] }),
    shadow: idMember.nullable().describe('The shadow rule that is evaluated as well.'),
    others: z
      .array(z.strictObject({ rule: idMember, pattern: z.string(), shadow: z.boolean() }))
      .describe('Other rules that match, the most specific first.'),
    muted: mutedSchema,
    policy: z.strictObject(policyMembers).describe("The key's policy, including all defaults."),
    hint: hintSchema,
  })
  .openapi('RuleExplanation')

export const changesSchema = z
  .strictObject({
    changes: z.array(
      z.strictObject({
        version: versionMember.describe('The version of the rules that the change created.'),
        kind: z.enum(RULE_CHANGE_KINDS),
        id: idMember.nullable().describe('Of the rule or mute; null for the storm policy.'),
        content: z.looseObject({}).nullable().describe('As it was written; null for a deletion.'),
        ...noteMembers,
        at: timeMember,
      }),
    ),
    cursor: cursorMember,
  })
  .openapi('RuleChanges')

export const reportSchema = z
  .strictObject({
    ...ruleMembers,
    shadow: z.boolean().describe('Whether it is a shadow rule.'),
    would_have_flagged: z
      .array(analysisSchema)
      .nullable()
      .describe('Newest first, each by the rule as it was then; null unless it is a shadow rule.'),
  })
  .openapi('RuleReport')

const testedMembers = {
  scored: z.int().min(0).describe('Samples with a score: those before only taught.'),
  flagged: z.int().min(0),
  opened: z.int().min(0).describe('Alerts.'),
}

const testedKeySchema = z.strictObject({
  rule: idMember.nullable().describe('The rule that scored the key; null for the default policy.'),
  ...testedMembers,
  alerts: z
    .array(
      z.strictObject({
        kind: z.enum(['anomaly', 'silent']),
        opened_at: timeMember,
        resolved_at: timeMember.nullable().describe('Null if it would still fire.'),
        value: z.number().nullable().describe('Of the sample that opened it; null for a silence.'),
        score: z.number().nullable(),
      }),
    )
    .describe('The newest, oldest first.'),
})

const testedSamplesSchema = z.strictObject({
  low: z.array(z.number().nullable()).describe('The band at each sample; null without one, and of a counter.'),
  high: z.array(z.number().nullable()),
  flagged: z.array(z.boolean()),
  opened: z.array(z.boolean()).describe('Whether the sample opened an alert.'),
})

export const previewSchema = z
  .strictObject({
    rules_version: versionMember.describe('Of the rules in force, for If-Match.'),
    rule: writtenRuleSchema,
    policy: z.strictObject(policyMembers).describe('What the rule sets, with all defaults.'),
    history: z.strictObject({
      keys: z.int().min(0).describe('Keys that were scored.'),
      keys_found: z.int().min(0).describe('Keys that the rule concerns, in the samples that were looked through.'),
      samples: z.int().min(0).describe('Samples that were scored.'),
      from: timeMember.nullable(),
      to: timeMember.nullable(),
      cut: z.boolean().describe('Whether older samples are kept that were not looked at.'),
    }),
    in_force: z.strictObject(testedMembers).describe('By the rules in force.'),
    preview: z.strictObject(testedMembers).describe('If this rule were in force too.'),
    keys: z.array(
      z.strictObject({
        key: keyMember,
        samples: z.int().min(0),
        from: timeMember,
        to: timeMember,
        in_force: testedKeySchema,
        preview: testedKeySchema,
      }),
    ),
    series: z
      .strictObject({
        timestamps: z.array(timeMember),
        values: z.array(z.number()),
        in_force: testedSamplesSchema,
        preview: testedSamplesSchema,
      })
      .nullable()
      .describe('With `key`: its newest samples, and both verdicts on each.'),
  })
  .openapi('RulePreview')

export const muteResponseSchema = z.strictObject({ mute: muteSchema, version: versionMember }).openapi('Mute')
export const stormResponseSchema = z.strictObject({ storm: stormSchema, version: versionMember }).openapi('Storm')
export const deletedSchema = z.strictObject({ deleted: z.string(), version: versionMember }).openapi('RuleDeleted')
