import { keyFault } from '@tidemark/shared/sample/sample'
import type { Context } from 'hono'
import { z } from 'zod'
import { RequestFault } from './problem.ts'

/** Reads a request's query by a strict schema: a misspelt parameter must not silently change what is asked. */
export function readQuery<T extends z.ZodRawShape>(c: Context, schema: z.ZodObject<T>): z.output<z.ZodObject<T>> {
  const result = schema.safeParse(c.req.query())
  if (result.success) return result.data
  throw new RequestFault({
    kind: 'parameters-invalid',
    errors: result.error.issues.flatMap(issue =>
      issue.code === 'unrecognized_keys'
        ? issue.keys
            .slice(0, 3)
            .map(parameter => ({ parameter: parameter.slice(0, 64), detail: 'is not a parameter here' }))
        : [{ parameter: issue.path.join('.'), detail: issue.message }],
    ),
  })
}

/** A key in a query, by the rules that samples' keys keep. */
export function keyParameter(bytesMax: number) {
  return z.string('is missing').superRefine((key, context) => {
    const fault = keyFault(key, bytesMax)
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
  })
}

export function integerParameter({ min, max }: { min: number; max: number }) {
  const rule = `must be an integer from ${min} to ${max}`
  return z
    .string()
    .regex(/^\d{1,15}$/, rule)
    .transform(Number)
    .pipe(z.number().min(min, rule).max(max, rule))
}
