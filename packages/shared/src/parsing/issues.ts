import type { z } from 'zod'

/** What is wrong with one field of an input; the field is '' for the input as a whole. */
export interface FieldFault {
  readonly field: string
  /** The end of a sentence that begins with the field's name. */
  readonly detail: string
}

/** Describes an issue by its schema's message, that of an object by its code, not by zod's text. */
export function describeIssue(issue: z.core.$ZodIssue): FieldFault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({ field: [...issue.path, key].join('.'), detail: 'unknown member' }))
  }
  const isObject = issue.code === 'invalid_type' && issue.expected === 'object'
  return [{ field: issue.path.join('.'), detail: isObject ? 'must be a JSON object' : issue.message }]
}

/** Parses JSON by `schema`. Returns undefined for text that is not JSON or does not conform. */
export function parseJson<T extends z.ZodType>(schema: T, text: string): z.output<T> | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
