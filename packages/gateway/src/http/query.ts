import { z } from '@hono/zod-openapi'
import { keyFault } from '@tidemark/shared/sample/sample'
import { parseTimestamp } from '@tidemark/shared/sample/timestamp'
import { type ParameterError, RequestFault } from './problem.ts'

/** A client can invent any number of parameters; so many of them are named, each up to a length. */
const NAMED_MAX = 3
const NAME_LENGTH_MAX = 64

/**
 * Throws a RequestFault for a parameter that is given twice, of which either may be meant, and for
 * one with an invalid escape, which would be read as another text.
 */
export function checkQuery(query: string): void {
  if (query === '') return
  const names = new Set<string>()
  const errors = new Map<string, string>()
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = unescaped(equals < 0 ? pair : pair.slice(0, equals))
    const parameter = (name ?? pair).slice(0, NAME_LENGTH_MAX)
    if (name === undefined || unescaped(pair.slice(equals + 1)) === undefined) {
      errors.set(parameter, 'has an invalid escape: write % as %25, and other characters as %XX of their UTF-8 bytes')
    } else if (names.has(name)) errors.set(parameter, 'must be given only once')
    else names.add(name)
  }
  if (errors.size === 0) return
  const named = [...errors].slice(0, NAMED_MAX).map(([parameter, detail]) => ({ parameter, detail }))
  throw new RequestFault({ kind: 'parameters-invalid', errors: named })
}

/** Returns undefined for an invalid escape. */
function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

/** Returns a query's errors. Schemas are strict: a misspelled parameter must not be ignored. */
export function parameterErrors(issues: readonly z.core.$ZodIssue[]): ParameterError[] {
  return issues.flatMap(issue => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys
        .slice(0, NAMED_MAX)
        .map(name => ({ parameter: name.slice(0, NAME_LENGTH_MAX), detail: 'is not a parameter here' }))
    }
    return [{ parameter: issue.path.join('.'), detail: issue.message }]
  })
}

/** A key, by the rules for the keys of samples. */
export function keyParameter(bytesMax: number) {
  return z
    .string('is missing')
    .superRefine((key, context) => {
      const fault = keyFault(key, bytesMax)
      if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
    })
    .openapi({
      description: `1 to ${bytesMax} bytes of UTF-8 without control characters, percent-encoded.`,
      examples: ['edge-17/rps'],
    })
}

/** The beginning of keys; '' for all of them. */
export const prefixParameter = z.string().max(1024, 'must be at most 1024 characters').default('')

/** A time in any form that the timestamp of a sample may have, as Unix milliseconds. */
export function timeParameter(description: string) {
  return z
    .string()
    .transform((text, { addIssue }) => {
      const ms = parseTimestamp(text)
      if (typeof ms === 'number') return ms
      addIssue({ code: 'custom', message: ms })
      return z.NEVER
    })
    .optional()
    .openapi({ type: 'string', description: `${description} A Unix time or an ISO 8601 time.` })
}

interface OptionalInteger {
  readonly min: number
  readonly max: number
  readonly fallback: number
}

/** An integer that is `fallback` where the request does not say. */
export function optionalInteger({ min, max, fallback }: OptionalInteger) {
  const rule = `must be an integer from ${min} to ${max}`
  return (
    z
      .string()
      .regex(/^\d{1,15}$/, rule)
      .transform(Number)
      .pipe(z.number().min(min, rule).max(max, rule))
      .default(fallback)
      // The default of a transformed parameter is documented only where its metadata has it.
      .openapi({ type: 'integer', minimum: min, maximum: max, default: fallback })
  )
}

/** A parameter in the path. The handler decides what an id that cannot exist means. */
export function idParameter(description: string, example: string) {
  return z.object({ id: z.string().openapi({ description, examples: [example] }) })
}

/** For routes without query parameters: any parameter is a mistake. */
export const noQuery = z.strictObject({})
