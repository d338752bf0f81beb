import { STATUS_CODES } from 'node:http'
import { problemType } from './problem.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** Why input never becomes a request of the app. The texts repeat nothing of the client's input. */
const PROBLEMS = {
  'request-malformed': [400, 'Malformed request', 'Not a valid HTTP/1.1 request.'],
  'request-timeout': [408, 'Request timeout', 'The request was not received in full before the timeout. Retry it.'],
  'body-too-large': [413, 'Body too large', 'The chunk extensions of the body are too long. Send it without them.'],
  'headers-too-large': [
    431,
    'Headers too large',
    'The limit is 50 headers, and 16 KiB for the request target and all headers together. Send fewer or shorter ones.',
  ],
  'expectation-unknown': [
    417,
    'Unknown expectation',
    'The only supported expectation is 100-continue. Send the request without Expect.',
  ],
  'tunnel-refused': [405, 'Method not allowed', 'CONNECT is not supported.'],
} as const

/** Of responses without a request of the app. */
export const REFUSAL_HEADERS: Readonly<Record<string, string>> = Object.fromEntries(
  SECURITY_HEADERS.flatMap((name, i) => (i % 2 === 0 ? [[name, String(SECURITY_HEADERS[i + 1])]] : [])),
)

type RefusalKind = keyof typeof PROBLEMS

export interface Refusal {
  readonly kind: RefusalKind
  /** What exactly is wrong; undefined where the kind says it. */
  readonly detail?: string
}

/** Refusals by the error code of node:http's parser or timeout. */
const REFUSALS = new Map<unknown, RefusalKind>([
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request-timeout'],
  ['HPE_HEADER_OVERFLOW', 'headers-too-large'],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 'body-too-large'],
])

/** Reasons that replace those of the parser, which describe its state and name no remedy. */
const REASONS = new Map<unknown, string>([
  ['HPE_INVALID_URL', 'its target must be a path with other characters as %XX'],
  ['HPE_INVALID_EOF_STATE', 'the connection ended before its end. Send it again, with the right Content-Length'],
  [
    'HPE_INVALID_METHOD',
    'it does not begin with a method such as POST. The body before it may be longer than its Content-Length, or ' +
      'this is TLS, which the gateway speaks only with TLS_CERT_FILE and TLS_KEY_FILE',
  ],
  ['HPE_INVALID_CONSTANT', 'its first line must end with HTTP/1.1, and have no spaces in the target (write %20)'],
  ['HPE_PAUSED_H2_UPGRADE', 'HTTP/2 is not supported'],
])

export function refusalOf(error: NodeJS.ErrnoException & { readonly reason?: string }): Refusal {
  const kind = REFUSALS.get(error.code)
  if (kind !== undefined) return { kind }
  // The parser's reasons are fixed sentences, such as "Invalid character in Content-Length".
  return malformed(REASONS.get(error.code) ?? (error.code?.startsWith('HPE_') === true ? error.reason : undefined))
}

/** Refuses a request that breaks the rules of HTTP. */
export function malformed(reason: string | undefined): Refusal {
  const kind = 'request-malformed'
  return reason === undefined || reason === '' ? { kind } : { kind, detail: `Not a valid HTTP/1.1 request: ${reason}.` }
}

/** Returns the response. It closes the connection: the next request's beginning is unknown. */
export function refusalResponse({ kind, detail: exact }: Refusal) {
  const [status, title, detail] = PROBLEMS[kind]
  const body = JSON.stringify({ type: problemType(kind), title, status, detail: exact ?? detail })
  const headers = {
    'Content-Type': 'application/problem+json',
    'Content-Length': String(Buffer.byteLength(body)),
    ...REFUSAL_HEADERS,
    Connection: 'close',
    ...(status === 405 ? { Allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' } : {}),
  }
  return { status, headers, body }
}

/** Returns the response as it is sent, for a connection that node:http no longer handles. */
export function toBytes({ status, headers, body }: ReturnType<typeof refusalResponse>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`
}
