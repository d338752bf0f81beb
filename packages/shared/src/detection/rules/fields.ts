import { z } from 'zod'
import { OF_MAX, SEVERITIES } from '../alerts/alert.ts'
import { DETECTOR_NAMES, isDetectorName } from '../detectors/registry.ts'
import { BUDGET_RULE, parseBudget } from './budget.ts'
import { compileGlob, GlobError } from './glob.ts'

const TEXT_MAX = 500
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const DURATION_MAX_MS = 30 * 86_400_000

/** Schemas of a rule's fields. A message completes a sentence beginning with the field's name. */
export const number = (min: number, max: number) => {
  const error = `must be a number from ${min} to ${max}`
  return z.number({ error }).min(min, { error }).max(max, { error })
}

export const integer = (min: number, max: number) => {
  const error = `must be an integer from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

export const oneOf = <const T extends readonly [string, ...string[]]>(names: T) =>
  z.enum(names, { error: `must be one of ${names.join(', ')}` })

export const flag = z.boolean({ error: 'must be true or false' })

export const text = z
  .string({ error: 'must be a text' })
  .min(1, { error: 'must not be empty' })
  .max(TEXT_MAX, { error: `must be at most ${TEXT_MAX} characters long` })

export const id = z.string({ error: 'must be a text' }).regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  error: 'must be 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit',
})

export const pattern = z.string({ error: 'must be a text' }).superRefine((value, context) => {
  try {
    compileGlob(value)
  } catch (error) {
    if (!(error instanceof GlobError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
  }
})

/** A text that `parse` converts; undefined is a fault. */
const converted = <T>(error: string, parse: (text: string) => T | undefined) =>
  z.string({ error }).transform((value, context) => {
    const result = parse(value)
    if (result !== undefined) return result
    context.addIssue({ code: 'custom', message: error })
    return z.NEVER
  })

/** A duration such as `90s` or `1.5h`, parsed as milliseconds. */
export const DURATION_RULE = 'must be a duration like "30s" or "90m": one number and unit (ms, s, m, h, d), at most 30d'
export const duration = converted(DURATION_RULE, text => {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? []
  const ms = Number(amount) * (DURATION_UNITS[unit] ?? Number.NaN)
  return ms <= DURATION_MAX_MS ? ms : undefined
})

/** An end of the range that values may have. Ingest refuses what is not finite. */
const END_RULE = 'must be a finite number'
export const rangeEnd = z.number({ error: END_RULE })

const UNIT_MAX = 16
const UNIT_RULE = `must be a text of 1 to ${UNIT_MAX} characters, such as "ms", without line breaks or spaces at its ends`

/** It is part of sentences, so it has one line. Characters are code points. */
export const unit = z
  .string({ error: UNIT_RULE })
  .refine(
    text => text.trim() === text && text !== '' && [...text].length <= UNIT_MAX && !/[\p{C}\p{Zl}\p{Zp}]/u.test(text),
    {
      error: UNIT_RULE,
    },
  )

const IGNORED_MAX = 100
const IGNORED_RULE = `must be a list of 1 to ${IGNORED_MAX} numbers, such as [-127, 85]`

/** Values that are no measurements. */
export const ignored = z
  .array(z.number({ error: IGNORED_RULE }), { error: IGNORED_RULE })
  .min(1, { error: IGNORED_RULE })
  .max(IGNORED_MAX, { error: IGNORED_RULE })

export const instant = z.iso
  .datetime({ offset: true, error: 'must be a time with its zone, like 2026-01-31T18:00:00Z' })
  .transform(value => Date.parse(value))

export const budget = converted(BUDGET_RULE, parseBudget)

export const detector = converted(`must be one of ${DETECTOR_NAMES.join(', ')}`, name =>
  isDetectorName(name) ? name : undefined,
)

const SUSTAINED_RULE = 'must be a number from 0.5 to 100, or "off"'
const sustained = z
  .union([z.number().min(0.5).max(100), z.literal('off')], { error: SUSTAINED_RULE })
  .transform(value => (value === 'off' ? Number.POSITIVE_INFINITY : value))

export const alert = z
  .strictObject({
    open: number(0.1, 10),
    samples: integer(1, OF_MAX),
    of: integer(1, OF_MAX),
    sides: oneOf(['same', 'any']),
    instant: number(0.1, 10),
    sustained,
    close: number(0.1, 10),
    close_after: integer(1, 1000),
    hold: duration,
    resolve_after: duration,
    severity: oneOf(SEVERITIES),
  })
  .partial()
