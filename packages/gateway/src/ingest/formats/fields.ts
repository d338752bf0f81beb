import { z } from 'zod'
import { type Batch, type Place, quote, type Rule } from './batch.ts'
import { foreignHint } from './foreign.ts'

/** Unknown members that a reason names; an object can have 100,000. */
const NAMED_MEMBERS_MAX = 3

/** Returns the message of a schema for a value that is missing or of another type. */
export function must(rule: string): { error: z.core.$ZodErrorMap } {
  return { error: issue => (issue.input === undefined ? 'is missing' : `must be ${rule}`) }
}

/** JSON has no NaN, but 1e999 is valid JSON and parses to Infinity. z.number() accepts neither. */
export const valueField = z
  .number({ error: issue => (issue.input === undefined ? 'is missing' : numberProblem(issue.input)) })
  .meta({
    description: 'A finite number, not a string; its magnitude is at most 1e100 by default.',
    examples: [420],
  })

export const keyField = z.string(must('a string')).meta({
  description: '1 to 200 bytes of UTF-8, without control characters and lone surrogates.',
  examples: ['edge-17/rps'],
})

export const timestampField = z
  .union([z.number(), z.string(), z.null()], 'must be a Unix time or an ISO 8601 string')
  .optional()
  .meta({
    description:
      'Time of the measurement: Unix time in seconds, milliseconds, microseconds or nanoseconds (recognised by its ' +
      'magnitude), or an ISO 8601 string. Default, also of null: now.',
    examples: [1_700_000_000, '2023-11-14T22:13:20Z'],
  })

/** A number that was sent as text, which may have a decimal comma or separators of thousands. */
const NUMERAL = /^\s*[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?\s*$/

/** Says that a value is no finite number and, where it is the text of one, how to send it. */
export function numberProblem(given: unknown): string {
  const rule = 'must be a finite number'
  if (typeof given !== 'string' || !NUMERAL.test(given)) return rule
  return `${rule}: send ${quote(given)} without quotes${given.includes(',') ? ' and with a decimal point' : ''}`
}

const RULES = new Map<PropertyKey | undefined, Rule>([
  ['key', 'key'],
  ['device', 'key'],
  ['value', 'value'],
  ['cpu', 'value'],
  ['rps', 'value'],
  ['timestamp', 'timestamp'],
])

/** Returns the rule that a member of an item breaks if it is invalid. */
export function ruleOf(member: PropertyKey | undefined): Rule {
  return RULES.get(member) ?? 'shape'
}

/** Rejects an item that does not match its schema. */
export function rejectShape(batch: Batch, place: Place, { item, error }: { item: unknown; error: z.ZodError }): void {
  const [issue] = error.issues
  if (issue === undefined) return
  const hint = foreignHint(item)
  if (hint === undefined) batch.reject(place, ruleOf(issue.path[0]), problemOf(issue))
  else batch.reject(place, 'shape', hint)
}

function problemOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const named = issue.keys.slice(0, NAMED_MEMBERS_MAX).map(quote).join(', ')
    return `unknown member ${named}${issue.keys.length > NAMED_MEMBERS_MAX ? ', ...' : ''}`
  }
  if (issue.path.length === 0) return issue.message
  return `${issue.path.join('.')} ${issue.message}`
}
