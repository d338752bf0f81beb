import { STATUS_CODES } from 'node:http'
import { problemType } from './problem.ts'

/** What is answered to that which never becomes a request of the app: what is no HTTP, or comes too slowly. */
export type Refusal =
  | 'request-malformed'
  | 'request-timeout'
  | 'body-too-large'
  | 'headers-too-large'
  | 'expectation-unknown'
  | 'tunnel-refused'

interface Explanation {
  readonly status: number
  readonly title: string
  readonly detail: string
}

/** Nothing of what the client wrote is repeated: it was not understood. */
const EXPLANATIONS: Readonly<Record<Refusal, Explanation>> = {
  'request-malformed': { status: 400, title: 'Malformed request', detail: 'This is no valid request of HTTP/1.1.' },
  'request-timeout': { status: 408, title: 'Request timeout', detail: 'The request did not come whole in time.' },
  'body-too-large': { status: 413, title: 'Body too large', detail: 'The extensions of its chunks are too long.' },
  'headers-too-large': { status: 431, title: 'Headers too large', detail: 'Too many headers, or too long ones.' },
  'expectation-unknown': {
    status: 417,
    title: 'Unknown expectation',
    detail: 'The only expectation that can be met is 100-continue.',
  },
  'tunnel-refused': { status: 405, title: 'Method not allowed', detail: 'This is no proxy.' },
}

/** What an HTTP parser's error, or a time-out, is answered with. */
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

export interface RefusalAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The answer, after which the connection is of no more use: where the next request would begin is not known. */
export function answerOf(refusal: Refusal): RefusalAnswer {
  const { status, title, detail } = EXPLANATIONS[refusal]
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

/** The same as bytes, for a connection of which the HTTP server has given up. */
export function bytesOf({ status, headers, body }: RefusalAnswer): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`
}
