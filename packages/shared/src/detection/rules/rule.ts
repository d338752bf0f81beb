import { z } from 'zod'
import { describeIssue, type FieldFault } from '../../runtime/issues.ts'
import { VERDICT_DEFAULTS } from '../../verdict/analysis.ts'
import type { AlertPolicy } from '../alerts/alert.ts'
import {
  alert,
  budget,
  DURATION_RULE,
  detector,
  duration,
  flag,
  id,
  instant,
  integer,
  number,
  oneOf,
  pattern,
  text,
} from './fields.ts'
import { alertDefaults } from './policy.ts'

/** Samples in a window. */
export const WINDOW_MIN = 10
export const WINDOW_MAX = 500

/** Rules are wrong. The message names each fault on a line of its own: rule, field and what holds for it. */
export class RuleError extends Error {
  readonly faults: readonly string[]
  readonly fields: readonly FieldFault[]

  /** `name` says what has these fields. */
  constructor(name: string, fields: readonly FieldFault[]) {
    const faults = fields.map(({ field, detail }) => `${name}: ${field === '' ? '' : `${field}: `}${detail}`)
    super(`the rules are wrong:\n${faults.map(fault => `  ${fault}`).join('\n')}`)
    this.name = 'RuleError'
    this.faults = faults
    this.fields = fields
  }
}

/** What of an alert policy was given, with the defaults for the rest. */
function fillAlert(given: z.output<typeof alert> = {}, defaults: AlertPolicy): AlertPolicy {
  return {
    open: given.open ?? defaults.open,
    samples: given.samples ?? defaults.samples,
    of: given.of ?? given.samples ?? defaults.of,
    sides: given.sides ?? defaults.sides,
    instant: given.instant ?? defaults.instant,
    sustained: given.sustained ?? defaults.sustained,
    close: given.close ?? defaults.close,
    closeAfter: given.close_after ?? defaults.closeAfter,
    holdMs: given.hold ?? defaults.holdMs,
    resolveAfterMs: given.resolve_after ?? defaults.resolveAfterMs,
    severity: given.severity ?? defaults.severity,
  }
}

export const mute = z.strictObject({ until: instant, who: text, why: text })

const ruleFields = z.strictObject({
  id,
  pattern,
  detector: detector.optional(),
  threshold: number(0.001, 10_000).optional(),
  budget: budget.optional(),
  window: integer(WINDOW_MIN, WINDOW_MAX).optional(),
  samples_min: integer(2, WINDOW_MAX).optional(),
  direction: oneOf(['up', 'down', 'both']).optional(),
  deviation_min: number(0, 1e100).optional(),
  deviation_min_relative: number(0, 1000).optional(),
  influence: oneOf(['full', 'held']).optional(),
  level_shift_after: integer(2, 1000).optional(),
  alert: alert.optional(),
  silent: z
    .union([z.literal('learned'), duration], {
      error: `must be "learned", or ${DURATION_RULE.slice('must be '.length)}`,
    })
    .optional(),
  late: oneOf(['mark', 'refuse']).optional(),
  duplicates: oneOf(['keep', 'drop']).optional(),
  mute: mute.optional(),
  shadow: flag.optional(),
})

/** The alert policy that a rule amounts to. */
export function alertOf({
  alert,
  budget,
  detector = 'zscore',
}: Pick<z.output<typeof ruleFields>, 'alert' | 'budget' | 'detector'>): AlertPolicy {
  return fillAlert(alert, alertDefaults(detector, budget !== undefined))
}

const ruleShape = ruleFields.superRefine((rule, context) => {
  const fault = (field: string, message: string): void => {
    context.addIssue({ code: 'custom', path: [field], message })
  }
  if (rule.budget !== undefined && rule.threshold !== undefined)
    fault('budget', 'cannot stand beside threshold: give one of them')
  if (rule.budget !== undefined && (rule.detector ?? 'zscore') !== 'zscore') {
    fault(
      'budget',
      `needs the detector zscore: how often ${rule.detector} flags normal samples is not known beforehand`,
    )
  }
  const { open, close, instant, samples, of } = alertOf(rule)
  if (of < samples) fault('alert.of', `is ${of}, and must not be less than samples, which is ${samples}`)
  if (close > open) fault('alert.close', `is ${close}, and must not be more than open, which is ${open}`)
  if (instant < open) fault('alert.instant', `is ${instant}, and must not be less than open, which is ${open}`)
  const window = rule.window ?? VERDICT_DEFAULTS.window
  if (rule.samples_min !== undefined && rule.samples_min > window) {
    fault('samples_min', `must not be more than window, which is ${window}`)
  }
  if (rule.influence === 'held' && rule.level_shift_after === undefined) {
    fault(
      'level_shift_after',
      'must be given with the influence held, or a key that changes its level stays anomalous for ever',
    )
  }
})

/** A rule as an operator writes it. What is left out has the default that docs/rules.md names. */
export type RuleInput = z.input<typeof ruleShape>

/** A rule as it was read: times in milliseconds. */
export type Rule = z.output<typeof ruleShape>

/** Parses a rule. Throws a RuleError that names every fault. */
export function readRule(input: unknown): Rule {
  return read(ruleShape, input, nameOf(input, 'rule'))
}

/** Parses `input`, which errors call `name`. Throws a RuleError that names every fault. */
export function read<T extends z.ZodType>(schema: T, input: unknown, name: string): z.output<T> {
  const result = schema.safeParse(input, { reportInput: false })
  if (result.success) return result.data
  throw new RuleError(name, result.error.issues.flatMap(describeIssue))
}

/** Returns what errors call `input`: its kind, and its id if it has one. */
export function nameOf(input: unknown, kind: string): string {
  const given = typeof input === 'object' && input !== null && 'id' in input ? input.id : undefined
  return typeof given === 'string' ? `${kind} ${JSON.stringify(given.slice(0, 64))}` : kind
}
