import { duration, instant } from '@tidemark/shared/detection/rules/fields'
import { describeIssue } from '@tidemark/shared/parsing/issues'
import type { Context } from 'hono'
import { z } from 'zod'
import { bodySourceOf, createBodyReader, jsonType } from './body.ts'
import { exchangeOf } from './pipeline.ts'
import { RequestFault } from './problem.ts'
import { formatPosition, positionsIn } from './text-position.ts'

/** Bodies from operators are short. They have a budget of their own, beside that of the samples. */
const BODY_BYTES_MAX = 64 * 1024
const BODIES_BYTES_MAX = 16 * BODY_BYTES_MAX

/** Reads the body of an operator's request: one JSON object, with a strict schema. */
export type FieldsReader = <T extends z.ZodType>(c: Context, schema: T) => Promise<z.output<T>>

export function createFieldsReader(): FieldsReader {
  const readBody = createBodyReader({ bytesMax: BODY_BYTES_MAX, bytesInFlightMax: BODIES_BYTES_MAX })
  return async (c, schema) => {
    const { text, format } = await readBody(bodySourceOf(c), exchangeOf(c).client.bodies, jsonType, body => body)
    if (format !== 'json') {
      throw new RequestFault({ kind: 'media-type-unsupported', reason: 'the body must be JSON (application/json)' })
    }
    const content = parseJson(text)
    if (content === undefined) throw new RequestFault({ kind: 'body-malformed', reason: jsonFault(text) })
    const result = schema.safeParse(content, { reportInput: false })
    if (result.success) return result.data
    throw new RequestFault({ kind: 'fields-invalid', errors: result.error.issues.flatMap(describeIssue) })
  }
}

/** Returns the value, or undefined if the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Says where a text that is not JSON is wrong, if the parser knows it, without repeating it. */
function jsonFault(text: string): string {
  try {
    JSON.parse(text)
  } catch (error) {
    const { message } = error as SyntaxError
    const [, offset] = /at position (\d+)/.exec(message) ?? []
    if (offset !== undefined)
      return `the body is not valid JSON at ${formatPosition(positionsIn(text)(Number(offset)))}`
    if (message.startsWith('Unexpected end')) return 'the body is not valid JSON: it is cut off'
  }
  return 'the body is not valid JSON'
}

/** Returns the schema of the end of a period, as Unix milliseconds. */
export function untilMember(now: number) {
  const error =
    'must be a time with its zone, like 2026-01-31T18:00:00Z, or a duration from now on like "2h", at most 30d'
  return z
    .union([instant, duration.transform(ms => now + ms)], { error })
    .refine(until => until > now, { error: 'must be in the future' })
}
