import { z } from '@hono/zod-openapi'
import { type Fault, problemType } from './problem.ts'

/** Members that many responses have. */
export const keyMember = z.string().openapi({ examples: ['edge-17/rps'] })
export const timeMember = z.number().describe('Unix milliseconds.')
export const durationMember = z.string().openapi({ examples: ['10m'] })
export const cursorMember = z.string().nullable().describe('Cursor of the next page; null on the last page.')

export const rejectedSchema = z.strictObject({
  index: z.int().describe('Index in the array, or line number (from 0, counting blank lines); 0 for a single object.'),
  reason: z.string().openapi({ examples: ['sample 3: value must be a finite number'] }),
})

export const problemSchema = z
  .looseObject({
    type: z.string().openapi({ examples: [problemType('samples-invalid')] }),
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
  .openapi('Problem', { description: 'An RFC 9457 problem: why a request failed. `type` identifies the reason.' })

/** Documents a member that `untilMember` reads. */
export const UNTIL_FIELD = {
  type: 'string',
  description: 'A time with its time zone, or a duration from now, at most 30d.',
}

/** Documents a JSON response. */
export function json<T extends z.ZodType>(description: string, schema: T, examples: Record<string, unknown> = {}) {
  const values = Object.entries(examples).map(([name, value]) => [name, { value }])
  const documented = values.length === 0 ? {} : { examples: Object.fromEntries(values) }
  return { description, content: { 'application/json': { schema, ...documented } } }
}

/** Documents a JSON request body. The handler reads it, see `serve`. */
export function jsonBody<T extends z.ZodType>(schema: T, example: unknown) {
  return { required: true, content: { 'application/json': { schema, examples: { example: { value: example } } } } }
}

/** Documents a problem response and the problem types that it can have. */
export function problem(description: string, ...kinds: Fault['kind'][]) {
  const type = { enum: kinds.map(problemType) }
  const schema = { allOf: [{ $ref: '#/components/schemas/Problem' }, { properties: { type } }] }
  return { description, content: { 'application/problem+json': { schema } } }
}

/** The ways to send an API key. Each operation lists the scope that it requires. */
export const CREDENTIALS = {
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key: `Authorization: Bearer tmk_...`, or `Token`.' },
  basic: { type: 'http', scheme: 'basic', description: 'An API key as the password; any user name.' },
  header: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key.' },
} as const

export const UNAUTHENTICATED = {
  ...problem('There is no API key, or it is not valid (any more).', 'unauthenticated'),
  headers: { 'WWW-Authenticate': { description: 'How to send an API key.', schema: { type: 'string' as const } } },
}

export const FORBIDDEN = problem(
  'The API key lacks the scope of the route, or is bound to a prefix that the key does not have; or a page of another ' +
    'site sent the request.',
  'scope-missing',
  'key-forbidden',
  'origin-not-allowed',
  'origin-required',
  'host-not-allowed',
)

/** The refusals of a route that is open to every caller. */
export const OTHER_SITE = problem('A page of another site sent it.', 'origin-not-allowed', 'host-not-allowed')

/** The refusal of a change, also of one that has no body. */
export const NOT_JSON = problem('A body that is not application/json.', 'media-type-unsupported')

export const RETRY_AFTER = {
  'Retry-After': {
    description: 'Seconds after which a retry is worthwhile.',
    schema: { type: 'integer' as const, minimum: 1 },
  },
}

/** The problem of every route whose requests are counted against the limit of their client. */
export const RATE_LIMITED = {
  ...problem('The API key, or the address without one, sends more than its limit allows.', 'rate-limited'),
  headers: {
    ...RETRY_AFTER,
    'RateLimit-Policy': {
      description: 'The limit that was exceeded: its burst `q`, the seconds `w` in which that refills, its unit `qu`.',
      schema: { type: 'string' as const, examples: ['"requests";q=100;w=1'] },
    },
    RateLimit: {
      description: 'What is left of it now, `r`, and the seconds `t` after which a retry is worthwhile.',
      schema: { type: 'string' as const, examples: ['"requests";r=0;t=1'] },
    },
  },
}

/** Documents a 503, after which the same request can be retried. */
export function outage(description: string, ...kinds: Fault['kind'][]) {
  return { ...problem(description, ...kinds), headers: RETRY_AFTER }
}

/** The problems of every route that uses the store. */
export const COMMON_PROBLEMS = {
  500: problem('The gateway failed; its log has the cause.', 'internal'),
  503: outage('The store is unavailable.', 'store-unavailable'),
}

/** The problems of every route that uses the store and has parameters. */
export const PROBLEMS = {
  400: problem('A parameter is invalid; `errors` lists each.', 'parameters-invalid'),
  ...COMMON_PROBLEMS,
}

/** The problems of every route whose pages are read under a concurrency limit. */
export const PAGE_PROBLEMS = {
  ...PROBLEMS,
  503: outage('The store is unavailable, or too many pages are being read.', 'store-unavailable', 'overloaded'),
}

/** The problems of every route that reads a JSON body. */
export const BODY_PROBLEMS = {
  ...PROBLEMS,
  400: problem(
    'A parameter is invalid, or the body is empty, incomplete or not JSON.',
    'parameters-invalid',
    'body-empty',
    'body-incomplete',
    'body-malformed',
  ),
  413: problem('The body has more than 64 KiB, or too many chunks.', 'body-too-large', 'body-fragmented'),
  415: problem('Not JSON, a compressed body, or a charset other than UTF-8.', 'media-type-unsupported'),
  422: problem('Fields are invalid; `errors` lists each.', 'fields-invalid'),
  503: outage('The store is unavailable, or the gateway is at one of its limits.', 'store-unavailable', 'overloaded'),
}
