import { z } from 'zod'
import { problemType } from '../http/problem.ts'

export type Json = Record<string, unknown>

/** Answers' shapes are written as schemas here, where only the documentation and the tests need them. */
export const keyMember = z.string().meta({ examples: ['edge-17/rps'] })
export const timeMember = z.number().meta({ description: 'Unix milliseconds.' })
export const durationMember = z.string().meta({ examples: ['10m'] })
export const cursorMember = z.string().nullable().meta({ description: 'Of the next page; null on the last one.' })

export const rejectedSchema = z.strictObject({
  index: z
    .int()
    .meta({ description: 'Place in the array, or the line (from 0, blank lines counted); 0 of one object.' }),
  reason: z.string().meta({ examples: ['sample 3: value must be a finite number'] }),
})

export const problemSchema = z
  .looseObject({
    type: z.string().meta({ examples: [problemType('samples-invalid')] }),
    title: z.string(),
    status: z.int().min(0),
    detail: z.string().optional(),
    instance: z.string().optional(),
    errors: z
      .array(
        z.looseObject({
          detail: z.string(),
          index: z.int().min(0).optional(),
          parameter: z.string().optional(),
          field: z.string().optional(),
        }),
      )
      .optional(),
    accepted: z.int().min(0).optional(),
    rejected: z.array(rejectedSchema).optional(),
    receipts: z.array(z.string()).optional(),
    backlog: z.int().min(0).optional(),
    version: z.int().min(0).optional(),
  })
  .meta({ description: 'RFC 9457. What a request met; `type` names it.' })

/** A schema among the components. */
export function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

export function parameter(name: string, schema: Json, description: string): Json {
  return { name, in: 'query', schema, description }
}

export function problem(description: string): Json {
  return { description, content: { 'application/problem+json': { schema: ref('Problem') } } }
}

export function outage(description: string): Json {
  const retryAfter = { description: 'Seconds until it is worth trying again.', schema: { type: 'integer', minimum: 1 } }
  return { ...problem(description), headers: { 'Retry-After': retryAfter } }
}

export function pathParameter(name: string, description: string): Json {
  return { name, in: 'path', required: true, schema: { type: 'string' }, description }
}

/** An answer that is JSON. */
export function answer(description: string, schema: Json): Json {
  return { description, content: { 'application/json': { schema } } }
}
