import type { Scope } from '@tidemark/shared/access/scope'
import type { FieldFault } from '@tidemark/shared/parsing/issues'
import type { StoreError } from '@tidemark/shared/store/ports/errors'
import type { Context } from 'hono'
import type { ContentfulStatusCode, StatusCode } from 'hono/utils/http-status'
import type { RequestHeaders } from './request-headers.ts'
import { outageRetryAfterS, retryAfterHeader, SOON_S } from './retry-after.ts'

/** Errors that a response lists of a body's fields: a client can invent any number of fields. */
const FIELD_ERRORS_MAX = 100
const FIELD_LENGTH_MAX = 100

/** A client must close one of its feeds, so that a retry at once is of no use. */
const FEEDS_RETRY_AFTER_S = 5

export interface ParameterError {
  readonly parameter: string
  readonly detail: string
}

/** Members of a problem beyond those that RFC 9457 defines. */
type Members = Readonly<Record<string, unknown>>

type Headers = Readonly<Record<string, string>>

/** A problem of RFC 9457. Its `type` and `instance` follow from the fault and the request. */
function problem(
  status: ContentfulStatusCode,
  title: string,
  detail: string,
  members: Members = {},
  headers?: Headers,
) {
  return { status, title, detail, members, headers }
}

type Problem = ReturnType<typeof problem>

/** A problem that passes, so that the same request can be retried. */
function outage(retryAfterS: number, title: string, detail: string, members?: Members): Problem {
  return problem(503, title, detail, members, retryAfterHeader(retryAfterS))
}

/** A problem of the client's own rate, not of ours: 429, never 503. */
function tooFast(retryAfterS: number, detail: string, members: Members, headers: Headers): Problem {
  return problem(429, 'Rate limit exceeded', detail, members, { ...retryAfterHeader(retryAfterS), ...headers })
}

/** The faults that are always the same. */
const FIXED = {
  'request-malformed': problem(
    400,
    'Malformed request',
    'The request target is not valid. It must be a path, such as /ingest, or a URL.',
  ),
  'body-empty': problem(
    400,
    'Empty body',
    'The body is empty. If one was sent, its Content-Length is missing or 0. /openapi.json describes what it must contain.',
  ),
  'body-incomplete': problem(400, 'Incomplete body', 'The connection ended before the end of the body. Send it again.'),
  'idempotency-key-invalid': problem(
    400,
    'Invalid Idempotency-Key',
    'Idempotency-Key must be one string of 1 to 255 printable ASCII characters, with or without quotes.',
  ),
  'idempotency-key-reused': problem(
    422,
    'Idempotency-Key reused',
    'This Idempotency-Key was used with a different body before. Use a new key for each request.',
  ),
  'rule-unknown': problem(404, 'No such rule', 'No rule has this id.'),
  'mute-unknown': problem(404, 'No such mute', 'No mute has this id. It may have expired or been deleted.'),
  'alert-unknown': problem(404, 'No such alert', 'No alert has this id. It may be too old to be kept.'),
  'alert-resolved': problem(409, 'Alert resolved', 'This alert is resolved, so it cannot be acknowledged or snoozed.'),
  'key-unknown': problem(404, 'Unknown key', 'No sample of this key has been analysed.'),
  'receipt-without-key': problem(
    404,
    'No such sample',
    'The entry that this receipt names contains no sample of this key.',
  ),
  'dead-unknown': problem(
    404,
    'No such dead letter',
    'No dead letter has this id. It may have been redriven or discarded.',
  ),
  'verdicts-gone': problem(
    404,
    'Verdicts not kept',
    'The verdicts on the entry of this receipt are no longer kept. Request a key to get its newest analysis.',
  ),
  'api-key-unknown': problem(404, 'No such API key', 'No API key has this id. It may have been revoked.'),
  'api-key-in-file': problem(
    409,
    'API key in the file',
    'This API key comes from API_KEYS_FILE. Change or remove it there.',
  ),
  'api-keys-too-many': problem(409, 'Too many API keys', 'As many API keys exist as are allowed. Revoke unused ones.'),
  'authentication-off': problem(
    409,
    'No authentication',
    'The gateway serves without authentication, so there is nothing to sign in to. Create an API key first.',
  ),
  'host-not-allowed': problem(
    403,
    'Host not allowed',
    'Without authentication the Host must be localhost, an IP address or one of ALLOWED_HOSTS. Any other name may be ' +
      'one that a web page has pointed here (DNS rebinding). Use http://127.0.0.1, or add the name to ALLOWED_HOSTS.',
  ),
  'origin-not-allowed': problem(
    403,
    'Origin not allowed',
    'A page of another origin may not change anything here. Origin must have the scheme, host and port of the request. ' +
      'If a proxy changes those, set PUBLIC_URL to where browsers reach it; for pages of other sites set CORS_ORIGINS.',
  ),
  'origin-required': problem(
    403,
    'Origin required',
    'With a session a change must come from a page of the gateway: send Origin with its scheme, host and port. ' +
      'CORS_ORIGINS is for API keys only. Without a browser, send an API key instead of the cookie.',
  ),
  internal: problem(500, 'Internal error', 'The gateway could not handle the request. Its log has the cause.'),
}

/**
 * Every way in which a request can fail. 4xx means that the same request will never succeed, so
 * clients discard the data. Our own faults and whatever is temporary are 5xx; each 503 has a
 * Retry-After in seconds. So has 429, the one 4xx that passes: the client exceeds its own limit.
 */
export type Fault = FixedFault | VariableFault

type FixedFault = { readonly kind: keyof typeof FIXED }

type VariableFault =
  /** `meant`: the methods and template of a route with a similar path. */
  | { readonly kind: 'route-unknown'; readonly meant?: string | undefined }
  /** `offersBasic`: to a client that sends its password only if it is asked to, as collectd. */
  | { readonly kind: 'unauthenticated'; readonly offersBasic?: boolean }
  | { readonly kind: 'method-not-allowed'; readonly allow: string }
  | { readonly kind: 'scope-missing'; readonly scope: Scope }
  /** `members`: the result of an ingest request, nothing of which may be written. */
  | { readonly kind: 'key-forbidden'; readonly keyPrefix: string; readonly members?: Members }
  | { readonly kind: 'body-malformed'; readonly reason: string }
  | { readonly kind: 'body-too-large'; readonly bytesMax: number; readonly isDecompressed?: boolean }
  | { readonly kind: 'body-fragmented'; readonly chunksMax: number }
  | { readonly kind: 'samples-too-many'; readonly samplesMax: number }
  /** `acceptEncoding` is given where it is the coding that is not supported (RFC 9110, 12.5.3). */
  | { readonly kind: 'media-type-unsupported'; readonly reason: string; readonly acceptEncoding?: string }
  /** `errors` are the first ones; `members` has the complete result. */
  | {
      readonly kind: 'samples-invalid'
      readonly errors: readonly { readonly index: number; readonly detail: string }[]
      readonly members: Members
    }
  /** Nothing could be used, and some of it is of new keys beyond a limit. */
  | {
      readonly kind: 'keys-limit-reached'
      readonly errors: readonly { readonly index: number; readonly detail: string }[]
      readonly members: Members
    }
  | { readonly kind: 'parameters-invalid'; readonly errors: readonly ParameterError[] }
  /** A body is JSON but breaks its schema. */
  | { readonly kind: 'fields-invalid'; readonly errors: readonly FieldFault[] }
  /** The rules in force are not of the version that the request names. */
  | { readonly kind: 'version-changed'; readonly version: number }
  | { readonly kind: 'dead-unreadable'; readonly reason: string }
  | { readonly kind: 'not-analysed-yet'; readonly backlog: number }
  | {
      readonly kind: 'samples-not-stored'
      readonly stored: number
      readonly members: Members
      readonly retryAfterS: number
    }
  /** The client is faster than it may be. `headers` are those of the limit. */
  | {
      readonly kind: 'rate-limited'
      readonly reason: string
      readonly retryAfterS: number
      readonly members: Members
      readonly headers: Headers
    }
  /** A client has as many live feeds as it may. */
  | { readonly kind: 'feeds-too-many'; readonly max: number }
  /** Without a cause: the store is not open yet. */
  | { readonly kind: 'store-unavailable'; readonly cause?: StoreError }
  /** A limit is reached; `retryAfterS` is left out where it passes within a second. */
  | { readonly kind: 'overloaded'; readonly reason: string; readonly retryAfterS?: number }

/** Thrown where a request cannot continue. The request concerns turn it into a response. */
export class RequestFault extends Error {
  readonly fault: Fault

  constructor(fault: Fault, options?: ErrorOptions) {
    super(fault.kind, options)
    this.name = 'RequestFault'
    this.fault = fault
  }
}

/** A response that is independent of how it is sent. */
export interface PlainResponse {
  readonly status: StatusCode
  readonly headers: Headers
  /** Empty for none. */
  readonly body: string | Uint8Array<ArrayBuffer>
}

/**
 * Returns the response to a fault of a request of `path`: problems, or a protocol's own errors,
 * which may depend on the type of the request.
 */
export type FaultFormat = (fault: Fault, path: string, headers: RequestHeaders) => PlainResponse

/** Returns the response to a fault of a request of `path`, as application/problem+json. */
export function problemResponse(fault: Fault, path?: string): PlainResponse {
  const { status, title, detail, members, headers } = describeFault(fault)
  const body = { type: problemType(fault.kind), title, status, detail, instance: path, ...members }
  return { status, headers: { 'Content-Type': 'application/problem+json', ...headers }, body: JSON.stringify(body) }
}

/** Returns what every format says of a fault. */
export function describeFault(fault: Fault): Problem {
  return isFixed(fault) ? FIXED[fault.kind] : variableProblem(fault)
}

function isFixed(fault: Fault): fault is FixedFault {
  return fault.kind in FIXED
}

function variableProblem<K extends VariableFault['kind']>(fault: Extract<VariableFault, { kind: K }>): Problem {
  return VARIABLE[fault.kind as K](fault)
}

export function respondWith(c: Context, fault: Fault): Response {
  return send(c, problemResponse(fault, c.req.path))
}

export function send(c: Context, { status, headers, body }: PlainResponse): Response {
  return body.length === 0 ? c.body(null, status, headers) : c.body(body, status as ContentfulStatusCode, headers)
}

/** Returns the `type` of a problem (RFC 9457). */
export function problemType(kind: string): string {
  return `urn:tidemark:problem:${kind}`
}

const VARIABLE: {
  readonly [K in VariableFault['kind']]: (fault: Extract<VariableFault, { readonly kind: K }>) => Problem
} = {
  'route-unknown': ({ meant }) => {
    const hint = meant === undefined ? '' : ` Did you mean ${meant}? Paths are case-sensitive and have no prefix.`
    return problem(404, 'No such route', `No route has this path.${hint} /openapi.json lists all routes.`)
  },
  unauthenticated: ({ offersBasic }) =>
    problem(
      401,
      'Not authenticated',
      'This route needs a valid API key: send one, as Authorization: Bearer KEY, as the password of Basic, or as X-API-Key.',
      {},
      { 'WWW-Authenticate': `Bearer realm="tidemark"${offersBasic === true ? ', Basic realm="tidemark"' : ''}` },
    ),
  'method-not-allowed': ({ allow }) =>
    problem(405, 'Method not allowed', `This path supports ${allow}.`, {}, { Allow: allow }),
  'scope-missing': ({ scope }) =>
    problem(403, 'Scope missing', `This API key does not have the scope ${scope}, which the route requires.`, {
      scope,
    }),
  'key-forbidden': ({ keyPrefix, members }) =>
    problem(
      403,
      'Outside the key prefix',
      `This API key is bound to keys that begin with ${JSON.stringify(keyPrefix)}, and the request concerns others.`,
      members,
    ),
  'body-malformed': ({ reason }) => problem(400, 'Malformed body', sentence(reason)),
  'body-too-large': ({ bytesMax, isDecompressed = false }) => {
    const limit = `${bytesMax} bytes${isDecompressed ? ' after decompression' : ''} (BODY_BYTES_MAX)`
    return problem(413, 'Body too large', `The limit is ${limit}. Split the samples into several requests.`)
  },
  'body-fragmented': ({ chunksMax }) =>
    problem(
      413,
      'Body too fragmented',
      `The body arrives in more than ${chunksMax} chunks of a few bytes. Collect it, and send larger chunks.`,
    ),
  'samples-too-many': ({ samplesMax }) =>
    problem(413, 'Too many samples', `The limit is ${samplesMax} samples a request. Split them into several requests.`),
  'media-type-unsupported': ({ reason, acceptEncoding }) => {
    const headers = acceptEncoding === undefined ? undefined : { 'Accept-Encoding': acceptEncoding }
    return problem(415, 'Unsupported media type', sentence(reason), {}, headers)
  },
  'samples-invalid': ({ errors, members }) => {
    const detail = `No sample was accepted. ${sentence(errors[0]?.detail ?? 'there was none')}`
    return problem(400, 'No valid sample', detail, { errors, ...members })
  },
  'keys-limit-reached': ({ errors, members }) => {
    const detail = `No sample was accepted. ${sentence(errors[0]?.detail ?? '')}`
    return problem(403, 'Limit of keys reached', detail, { errors, ...members })
  },
  'parameters-invalid': ({ errors }) => {
    const detail = sentence(errors.map(({ parameter, detail }) => `${parameter} ${detail}`).join('; '))
    return problem(400, 'Invalid query parameters', detail, { errors })
  },
  'fields-invalid': ({ errors }) => fieldsInvalid(errors),
  'version-changed': ({ version }) => {
    const detail = `The rules are now at version ${version}. Read them again before you change them.`
    return problem(412, 'The rules have changed', detail, { version })
  },
  'dead-unreadable': ({ reason }) =>
    problem(409, 'Cannot be redriven', `This dead letter cannot be redriven: ${reason}. It can only be discarded.`),
  'not-analysed-yet': ({ backlog }) =>
    outage(SOON_S, 'Not analysed yet', 'The sample was not analysed within the wait. Repeat the request.', { backlog }),
  'samples-not-stored': ({ stored, members, retryAfterS }) => {
    const detail = `${stored} samples were stored. Retry the remaining valid ones; \`rejected\` lists the reasons.`
    return outage(retryAfterS, 'Samples not stored', detail, members)
  },
  'rate-limited': ({ reason, retryAfterS, members, headers }) =>
    tooFast(
      retryAfterS,
      `${sentence(reason)} Retry the request after ${Math.max(1, Math.ceil(retryAfterS))} s.`,
      members,
      headers,
    ),
  'feeds-too-many': ({ max }) => {
    const detail = `This client has ${max} live feeds at this gateway (FEEDS_PER_CLIENT_MAX). Close one, then retry.`
    return problem(429, 'Too many live feeds', detail, {}, retryAfterHeader(FEEDS_RETRY_AFTER_S))
  },
  'store-unavailable': ({ cause }) => {
    const why = cause?.kind === 'fatal' ? 'rejects what the gateway sends; its log has the cause' : 'does not respond'
    return outage(outageRetryAfterS(), 'Store unavailable', `The store ${why}. Retry the request.`)
  },
  overloaded: ({ reason, retryAfterS = SOON_S }) => outage(retryAfterS, 'Overloaded', sentence(reason)),
}

function fieldsInvalid(all: readonly FieldFault[]): Problem {
  const errors = all
    .slice(0, FIELD_ERRORS_MAX)
    .map(({ field, detail }) => ({ field: field.slice(0, FIELD_LENGTH_MAX), detail }))
  const first = errors.slice(0, 3).map(({ field, detail }) => (field === '' ? detail : `${field}: ${detail}`))
  const more = all.length - first.length
  const detail = sentence(`${first.join('; ')}${more > 0 ? `; and ${more} more` : ''}`)
  return problem(422, 'Invalid fields', detail, { errors })
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.?]$/.test(text) ? '' : '.'}`
}
