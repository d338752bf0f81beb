import { STATUS_CODES } from 'node:http'
import { problemType } from './problem.ts'

/** Why input never becomes a request of the app. The texts repeat nothing of the client's input. */
const PROBLEMS = {
  'request-malformed': [400, 'Malformed request', 'Not a valid HTTP/1.1 request.'],
  'request-timeout': [408, 'Request timeout', 'The request was not received in full before the timeout.'],
  'body-too-large': [413, 'Body too large', 'The chunk extensions of the body are too long.'],
  'headers-too-large': [431, 'Headers too large', 'The request has too many headers, or they are too long.'],
  'expectation-unknown': [417, 'Unknown expectation', 'The only supported expectation is 100-continue.'],
  'tunnel-refused': [405, 'Method not allowed', 'CONNECT is not supported.'],
} as const

export type Refusal = keyof typeof PROBLEMS

/** Refusals by the error code of node:http's parser or timeout. */
const REFUSALS = new Map<unknown, Refusal>([
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request-timeout'],
  ['HPE_HEADER_OVERFLOW', 'headers-too-large'],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 'body-too-large'],
])

export function refusalOf(error: NodeJS.ErrnoException): Refusal {
  return REFUSALS.get(error.code) ?? 'request-malformed'
}

/** Returns the response. It closes the connection: the next request's beginning is unknown. */
export function refusalResponse(refusal: Refusal) {
  const [status, title, detail] = PROBLEMS[refusal]
  const body = JSON.stringify({ type: problemType(refusal), title, status, detail })
  const headers = {
    'Content-Type': 'application/problem+json',
    'Content-Length': String(Buffer.byteLength(body)),
    'X-Content-Type-Options': 'nosniff',
    Connection: 'close',
    ...(status === 405 ? { Allow: 'GET, HEAD, POST' } : {}),
  }
  return { status, headers, body }
}

/** Returns the response as it is sent, for a connection that node:http no longer handles. */
export function toBytes({ status, headers, body }: ReturnType<typeof refusalResponse>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`
}
