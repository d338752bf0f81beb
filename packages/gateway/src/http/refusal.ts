import { STATUS_CODES } from 'node:http'
import { problemType } from './problem.ts'

/** Why input never becomes a request of the app: it is not HTTP, too slow, or not supported. */
export type Refusal =
  | 'request-malformed'
  | 'request-timeout'
  | 'body-too-large'
  | 'headers-too-large'
  | 'expectation-unknown'
  | 'tunnel-refused'

/** The texts repeat nothing of the client's input, which was not understood. */
const PROBLEMS: Readonly<Record<Refusal, { status: number; title: string; detail: string }>> = {
  'request-malformed': { status: 400, title: 'Malformed request', detail: 'Not a valid HTTP/1.1 request.' },
  'request-timeout': {
    status: 408,
    title: 'Request timeout',
    detail: 'The request was not received in full before the timeout.',
  },
  'body-too-large': { status: 413, title: 'Body too large', detail: 'The chunk extensions of the body are too long.' },
  'headers-too-large': {
    status: 431,
    title: 'Headers too large',
    detail: 'The request has too many headers, or they are too long.',
  },
  'expectation-unknown': {
    status: 417,
    title: 'Unknown expectation',
    detail: 'The only supported expectation is 100-continue.',
  },
  'tunnel-refused': { status: 405, title: 'Method not allowed', detail: 'CONNECT is not supported.' },
}

/** Returns the refusal for an error of node:http's parser, or for its timeout. */
export function refusalOf(error: Error): Refusal {
  switch ('code' in error ? error.code : undefined) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'request-timeout'
    case 'HPE_HEADER_OVERFLOW':
      return 'headers-too-large'
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 'body-too-large'
    default:
      return 'request-malformed'
  }
}

export interface RefusalResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Returns the response. It closes the connection: the next request's beginning is unknown. */
export function refusalResponse(refusal: Refusal): RefusalResponse {
  const { status, title, detail } = PROBLEMS[refusal]
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
export function toBytes({ status, headers, body }: RefusalResponse): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`
}
