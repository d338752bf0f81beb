import type { FieldFault } from '@tidemark/shared/detection/rules/rule'
import { type TraceContext, traceFields } from '@tidemark/shared/sample/trace-context'
import { StoreError } from '@tidemark/shared/store/ports/store'
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Logger } from 'pino'
import type { Refusal } from './refusal.ts'

/** Of many errors of one kind an answer explains so many; the full list, where there is one, is an extension of its own. */
const ERRORS_MAX = 20

/** Of a body's fields all errors are listed, unless somebody makes fields up. */
const FIELD_ERRORS_MAX = 100
const FIELD_LENGTH_MAX = 100

/** Keys are forgotten one by one, but a client that is told to wait for long gives up. */
const CROWDED_RETRY_AFTER_MAX_S = 60

/** What a client is told about one sample that was not accepted. */
export interface RejectedSample {
  readonly index: number
  readonly reason: string
}

/** What became of a request's samples. */
export interface IngestResult {
  readonly accepted: number
  readonly rejected: readonly RejectedSample[]
  readonly receipts: readonly string[]
}

export interface ParameterError {
  readonly parameter: string
  readonly detail: string
}

/**
 * Everything that a request can meet. 4xx says that the same request will never succeed, so clients throw the data away;
 * whatever is our fault or passes by itself is 503 with a Retry-After in seconds.
 */
export type Fault =
  | { readonly kind: 'route-unknown' }
  | { readonly kind: 'method-not-allowed'; readonly allow: string }
  | { readonly kind: 'request-malformed' }
  | { readonly kind: 'body-empty' }
  | { readonly kind: 'body-incomplete' }
  | { readonly kind: 'body-malformed'; readonly reason: string }
  | { readonly kind: 'body-too-large'; readonly bytesMax: number }
  | { readonly kind: 'samples-too-many'; readonly samplesMax: number }
  | { readonly kind: 'media-type-unsupported'; readonly reason: string }
  | { readonly kind: 'samples-invalid'; readonly result: IngestResult }
  | { readonly kind: 'idempotency-key-invalid' }
  | { readonly kind: 'idempotency-key-reused' }
  | { readonly kind: 'parameters-invalid'; readonly errors: readonly ParameterError[] }
  /** Of a body that is JSON and not what it should be. */
  | { readonly kind: 'fields-invalid'; readonly errors: readonly FieldFault[] }
  /** The rules are not those of the version that the request holds for the present one. */
  | { readonly kind: 'version-changed'; readonly version: number }
  | { readonly kind: 'rule-unknown' }
  | { readonly kind: 'mute-unknown' }
  | { readonly kind: 'alert-unknown' }
  | { readonly kind: 'alert-resolved' }
  | { readonly kind: 'key-unknown' }
  | { readonly kind: 'receipt-without-key' }
  | { readonly kind: 'verdicts-gone' }
  | { readonly kind: 'dead-unknown' }
  | { readonly kind: 'dead-unreadable'; readonly reason: string }
  | { readonly kind: 'not-analysed-yet'; readonly backlog: number }
  | { readonly kind: 'samples-not-stored'; readonly result: IngestResult; readonly retryAfterS: number }
  | { readonly kind: 'store-unavailable'; readonly retryAfterS: number }
  | { readonly kind: 'overloaded'; readonly reason: string; readonly retryAfterS: number }
  | { readonly kind: 'internal' }

/** Thrown where a request cannot go on; `onError` of the app answers it. */
export class RequestFault extends Error {
  readonly fault: Fault

  constructor(fault: Fault, options?: ErrorOptions) {
    super(fault.kind, options)
    this.name = 'RequestFault'
    this.fault = fault
  }
}

/** What clients wait when the store is out of reach: 1 or 2 s, so that those who were refused together come back apart. */
export function outageRetryAfterS(): number {
  return Math.random() < 0.5 ? 1 : 2
}

/** What clients wait when too many Idempotency-Keys are remembered: some are forgotten then. Apart, like all who are refused. */
export function crowdedRetryAfterS(roomInMs: number): number {
  return Math.min(CROWDED_RETRY_AFTER_MAX_S, 1 + Math.ceil((roomInMs / 1000) * (1 + Math.random() / 2)))
}

/** RFC 9457, without type and instance: those follow from the fault's kind and the request. */
interface Problem {
  readonly status: ContentfulStatusCode
  readonly title: string
  readonly detail: string
  readonly headers?: Readonly<Record<string, string>>
  readonly members?: Readonly<Record<string, unknown>>
}

/** An answer, whoever sends it. */
export interface Answer {
  readonly status: ContentfulStatusCode
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The answer to a fault of a request of `path`, as application/problem+json. */
export function answerTo(fault: Fault, path: string): Answer {
  const { status, title, detail, headers, members } = toProblem(fault)
  const body = { type: problemType(fault.kind), title, status, detail, instance: path, ...members }
  return { status, headers: { 'Content-Type': 'application/problem+json', ...headers }, body: JSON.stringify(body) }
}

export function respondWith(c: Context, fault: Fault): Response {
  const { status, headers, body } = answerTo(fault, c.req.path)
  return c.body(body, status, headers)
}

/** What was thrown while a request was served, as a fault; what nobody foresaw is logged. */
export function faultOf(
  error: unknown,
  { log, route, trace }: { readonly log: Logger; readonly route: string; readonly trace: TraceContext | undefined },
): Fault {
  if (error instanceof RequestFault) return error.fault
  if (error instanceof StoreError) return { kind: 'store-unavailable', retryAfterS: outageRetryAfterS() }
  log.error({ err: error, route, ...traceFields(trace === undefined ? [] : [trace]) }, 'a request failed')
  return { kind: 'internal' }
}

export function problemType(kind: Fault['kind'] | Refusal): string {
  return `urn:tidemark:problem:${kind}`
}

function toProblem(fault: Fault): Problem {
  switch (fault.kind) {
    case 'route-unknown':
      return { status: 404, title: 'No such route', detail: 'Nothing is served under this path. See /openapi.json.' }
    case 'method-not-allowed':
      return {
        status: 405,
        title: 'Method not allowed',
        detail: `This path takes ${fault.allow}.`,
        headers: { Allow: fault.allow },
      }
    case 'request-malformed':
      return { status: 400, title: 'Malformed request', detail: 'The request target or the Host header is not valid.' }
    case 'body-empty':
      return {
        status: 400,
        title: 'Empty body',
        detail: 'The body is empty. /openapi.json says what it should be.',
      }
    case 'body-incomplete':
      return { status: 400, title: 'Incomplete body', detail: 'The connection ended before the body did.' }
    case 'body-malformed':
      return { status: 400, title: 'Malformed body', detail: sentence(fault.reason) }
    case 'body-too-large':
      return {
        status: 413,
        title: 'Body too large',
        detail: `A body may have ${fault.bytesMax} bytes here. Samples can be sent in several requests.`,
      }
    case 'samples-too-many':
      return {
        status: 413,
        title: 'Too many samples',
        detail: `A request may bring ${fault.samplesMax} samples. Send them in several requests.`,
      }
    case 'media-type-unsupported':
      return { status: 415, title: 'Unsupported media type', detail: sentence(fault.reason) }
    case 'samples-invalid':
      return {
        status: 400,
        title: 'No valid sample',
        detail: `None of the samples was accepted. ${sentence(fault.result.rejected[0]?.reason ?? 'there was none')}`,
        members: {
          errors: fault.result.rejected.slice(0, ERRORS_MAX).map(({ index, reason }) => ({ index, detail: reason })),
          ...fault.result,
        },
      }
    case 'idempotency-key-invalid':
      return {
        status: 400,
        title: 'Invalid Idempotency-Key',
        detail: 'Idempotency-Key must be one string of 1 to 255 printable ASCII characters, in quotes or without.',
      }
    case 'idempotency-key-reused':
      return {
        status: 422,
        title: 'Idempotency-Key reused',
        detail: 'This Idempotency-Key came with another body before. Use a new one for each request.',
      }
    case 'parameters-invalid':
      return {
        status: 400,
        title: 'Invalid query parameters',
        detail: sentence(fault.errors.map(({ parameter, detail }) => `${parameter} ${detail}`).join('; ')),
        members: { errors: fault.errors },
      }
    case 'fields-invalid': {
      const errors = fault.errors.slice(0, FIELD_ERRORS_MAX).map(({ field, detail }) => ({
        field: field.slice(0, FIELD_LENGTH_MAX),
        detail,
      }))
      const first = errors.slice(0, 3).map(({ field, detail }) => (field === '' ? detail : `${field}: ${detail}`))
      const more = fault.errors.length - first.length
      return {
        status: 422,
        title: 'Invalid fields',
        detail: sentence(`this is wrong: ${first.join('; ')}${more > 0 ? `; and ${more} more` : ''}`),
        members: { errors },
      }
    }
    case 'version-changed':
      return {
        status: 412,
        title: 'The rules have changed',
        detail: `The rules are at version ${fault.version} by now. Read them again and decide anew.`,
        members: { version: fault.version },
      }
    case 'rule-unknown':
      return { status: 404, title: 'No such rule', detail: 'There is no rule of this id.' }
    case 'mute-unknown':
      return { status: 404, title: 'No such mute', detail: 'There is no mute of this id, or not any more.' }
    case 'alert-unknown':
      return { status: 404, title: 'No such alert', detail: 'There is no alert of this id, or not any more.' }
    case 'alert-resolved':
      return {
        status: 409,
        title: 'Resolved already',
        detail: 'This alert does not fire any more, so there is nothing to take care of.',
      }
    case 'key-unknown':
      return { status: 404, title: 'Unknown key', detail: 'No sample of this key was ever analysed.' }
    case 'receipt-without-key':
      return {
        status: 404,
        title: 'No such sample',
        detail: 'The entry that this receipt names holds no sample of this key.',
      }
    case 'dead-unknown':
      return { status: 404, title: 'No such dead entry', detail: 'There is no dead entry of this id, or not any more.' }
    case 'dead-unreadable':
      return {
        status: 409,
        title: 'Cannot be put back',
        detail: `This entry cannot be put back: ${fault.reason}. It can only be discarded.`,
      }
    case 'verdicts-gone':
      return {
        status: 404,
        title: 'Verdicts not kept',
        detail:
          'The verdicts on the entry of this receipt are not kept any more. Ask for a key to get its newest analysis.',
      }
    case 'not-analysed-yet':
      return {
        status: 503,
        title: 'Not analysed yet',
        detail: 'The sample was not analysed within the wait. Ask again.',
        headers: { 'Retry-After': '1' },
        members: { backlog: fault.backlog },
      }
    case 'samples-not-stored':
      return {
        status: 503,
        title: 'Samples not stored',
        detail: `${fault.result.accepted} samples were accepted. Send the others again, those that broke no rule.`,
        headers: retryAfter(fault.retryAfterS),
        members: { ...fault.result },
      }
    case 'store-unavailable':
      return {
        status: 503,
        title: 'Store unavailable',
        detail: 'The store does not answer. Send the request again.',
        headers: retryAfter(fault.retryAfterS),
      }
    case 'overloaded':
      return {
        status: 503,
        title: 'Overloaded',
        detail: sentence(fault.reason),
        headers: retryAfter(fault.retryAfterS),
      }
    case 'internal':
      return { status: 500, title: 'Internal error', detail: 'The gateway failed to answer. Its log says why.' }
  }
}

function retryAfter(seconds: number): Record<string, string> {
  return { 'Retry-After': String(Math.max(1, Math.ceil(seconds))) }
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`
}
