import { z } from 'zod'
import { describeIssue, type FieldFault } from '../../parsing/issues.ts'
import { nearestName } from '../../parsing/nearest.ts'
import { VERDICT_DEFAULTS } from '../../verdict/analysis.ts'
import type { AlertPolicy } from '../alerts/alert.ts'
import { alertDefaults } from '../alerts/defaults.ts'
import {
  alert,
  budget,
  DURATION_RULE,
  detector,
  duration,
  flag,
  id,
  ignored,
  instant,
  integer,
  number,
  oneOf,
  pattern,
  rangeEnd,
  text,
  unit,
} from './fields.ts'

export const WINDOW_MIN = 10
export const WINDOW_MAX = 500

/** Thrown for invalid rules. The message has a line for each fault: rule, field and detail. */
export class RuleError extends Error {
  readonly faults: readonly string[]
  readonly fields: readonly FieldFault[]

  /** `name` is what the faults are reported of, such as `rule "cpu"`. */
  constructor(name: string, fields: readonly FieldFault[]) {
    const faults = fields.map(({ field, detail }) => `${name}: ${field === '' ? '' : `${field}: `}${detail}`)
    super(`invalid rules:\n${faults.map(fault => `  ${fault}`).join('\n')}`)
    this.name = 'RuleError'
    this.faults = faults
    this.fields = fields
  }
}

export const mute = z.strictObject({ until: instant, who: text, why: text })

const SILENT_RULE = `must be "learned", or ${DURATION_RULE.slice('must be '.length)}`

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
  silent: z.union([z.literal('learned'), duration], { error: SILENT_RULE }).optional(),
  late: oneOf(['mark', 'refuse']).optional(),
  duplicates: oneOf(['keep', 'drop']).optional(),
  min: rangeEnd.optional(),
  max: rangeEnd.optional(),
  unit: unit.optional(),
  ignore: ignored.optional(),
  counter: flag.optional(),
  mute: mute.optional(),
  shadow: flag.optional(),
})

/** Whether a rule has members of `alert`: then these decide when an alert opens, not the guard. */
export function setsAlert({ alert = {} }: Pick<z.output<typeof ruleFields>, 'alert'>): boolean {
  return Object.values(alert).some(value => value !== undefined)
}

/** Returns the alert policy of a rule, with the defaults of the parts that it does not give. */
export function alertOf(rule: Pick<z.output<typeof ruleFields>, 'alert' | 'budget' | 'detector'>): AlertPolicy {
  const given = rule.alert ?? {}
  const defaults = alertDefaults(rule.detector ?? 'zscore', rule.budget !== undefined)
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

const ruleShape = ruleFields.superRefine((rule, context) => {
  const fault = (field: string, message: string): void => {
    context.addIssue({ code: 'custom', path: [field], message })
  }
  if (rule.budget !== undefined && rule.threshold !== undefined)
    fault('budget', 'cannot be combined with threshold: give one of them')
  if (rule.budget !== undefined && (rule.detector ?? 'zscore') !== 'zscore') {
    fault('budget', `needs the detector zscore: the false-alarm rate of ${rule.detector} is not known in advance`)
  }
  const { open, close, instant, samples, of } = alertOf(rule)
  if (of < samples) fault('alert.of', `is ${of}, but must be at least samples, which is ${samples}`)
  if (close > open) fault('alert.close', `is ${close}, but must be at most open, which is ${open}`)
  if (instant < open) fault('alert.instant', `is ${instant}, but must be at least open, which is ${open}`)
  const window = rule.window ?? VERDICT_DEFAULTS.window
  if (rule.samples_min !== undefined && rule.samples_min > window) {
    fault('samples_min', `must be at most window, which is ${window}`)
  }
  if (rule.counter === true && rule.influence === 'held') {
    fault('influence', 'cannot be held with counter: a rate needs the count before it. Leave one of them out')
  }
  if (rule.min !== undefined && rule.max !== undefined && rule.min >= rule.max) {
    fault('min', `is ${rule.min}, but must be less than max, which is ${rule.max}`)
  }
  if (rule.counter === true && rule.max !== undefined && rule.max < 0) {
    fault('max', `is ${rule.max}, but the rate of a counter is never negative`)
  }
  if (rule.influence === 'held' && rule.level_shift_after === undefined) {
    fault(
      'level_shift_after',
      'is required with the influence held: otherwise a key whose level changes stays anomalous forever',
    )
  }
})

/** A rule as an operator writes it. Defaults of missing members are listed in docs/rules.md. */
export type RuleInput = z.input<typeof ruleShape>

export type Rule = z.output<typeof ruleShape>

export function readRule(input: unknown): Rule {
  return read(ruleShape, input, nameOf(input, 'rule'))
}

/** The shortest silence that can be noticed: timers are checked once a second. */
const SILENT_MIN_MS = 1000

/**
 * Reads a rule that is put now. It must also make sense, which is not asked of stored rules: those
 * of earlier versions stay in force.
 */
export function readNewRule(input: unknown): Rule {
  const rule = readRule(input)
  const fields: FieldFault[] = []
  if (typeof rule.silent === 'number' && rule.silent < SILENT_MIN_MS) {
    fields.push({ field: 'silent', detail: 'must be at least "1s": silence is checked once a second' })
  }
  if (/^\^.*\$$/su.test(rule.pattern)) {
    const detail =
      'looks like a regular expression, and is none: a pattern matches the whole key without ^ and $, and * stands for ' +
      'any characters. Write \\^ for a key that begins with ^'
    fields.push({ field: 'pattern', detail })
  }
  if (fields.length > 0) throw new RuleError(nameOf(input, 'rule'), fields)
  return rule
}

/** Parses `input`, which errors call `name`. Throws a RuleError that names every fault. */
export function read<T extends z.ZodType>(schema: T, input: unknown, name: string): z.output<T> {
  const result = schema.safeParse(input, { reportInput: false })
  if (result.success) return result.data
  throw new RuleError(
    name,
    result.error.issues.flatMap(issue => describeUnknown(schema, issue) ?? describeIssue(issue)),
  )
}

/** Describes members that do not exist with those that are meant; undefined for other issues. */
function describeUnknown(schema: unknown, issue: z.core.$ZodIssue): FieldFault[] | undefined {
  if (issue.code !== 'unrecognized_keys') return undefined
  const known = membersAt(schema, issue.path)
  return issue.keys.map(key => {
    const nearest = nearestName(key, known)
    const meant = nearest === undefined ? '' : `; did you mean ${nearest}?`
    return { field: [...issue.path, key].join('.'), detail: `unknown member${meant}` }
  })
}

/** Returns the members of the object at a path of a schema. */
function membersAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  let at = schema
  for (const name of ['', ...path]) {
    if (name !== '' && at instanceof z.ZodObject) at = at.shape[String(name)]
    while (at instanceof z.ZodOptional) at = at.unwrap()
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : []
}

/** Returns what errors call `input`: its kind, and its id if it has one. */
export function nameOf(input: unknown, kind: string): string {
  const given = typeof input === 'object' && input !== null && 'id' in input ? input.id : undefined
  return typeof given === 'string' ? `${kind} ${JSON.stringify(given.slice(0, 64))}` : kind
}
